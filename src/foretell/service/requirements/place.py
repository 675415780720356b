"""A directory that may say what is needed."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cached_property
from pathlib import Path, PurePosixPath

REQUIRES = re.compile(r"^\s*(?:install_requires|\[options\])", re.MULTILINE)


class Place:
    """A directory, listed once: most of what is looked for is not there. `name` is relative to `root`."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self.names = listed(root / name)

    def has(self, name: str, *, directory: bool = False) -> bool:
        """Tell whether there is a file of this name, or a directory."""
        if name not in self.names:
            return False
        place = self.root / self.name / name
        return place.is_dir() if directory else place.is_file()

    def inner(self, file: str) -> str:
        """Return a file's path from the root."""
        return str(PurePosixPath(self.name, file))

    def text(self, file: str) -> str:
        """Return what a file holds; nothing where it is not there."""
        if file not in self.names:
            return ""
        try:
            return (self.root / self.name / file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    @cached_property
    def pyproject(self) -> dict[str, object]:
        """What pyproject.toml says; nothing where it cannot be read, which the making of the environment tells."""
        text = self.text("pyproject.toml")
        try:
            return tomllib.loads(text) if text else {}
        except (ValueError, RecursionError):
            return {}

    @property
    def project(self) -> dict[str, object]:
        """The table [project] of pyproject.toml."""
        return table(self.pyproject, "project")

    @property
    def poetry(self) -> dict[str, object]:
        """The table [tool.poetry] of pyproject.toml."""
        return table(self.pyproject, "tool", "poetry")

    @property
    def declares_dependencies(self) -> bool:
        """Whether pyproject.toml says what is needed, if only by its build backend."""
        dynamic = self.project.get("dynamic")
        by_backend = isinstance(dynamic, list) and "dependencies" in dynamic
        return by_backend or bool(self.project.get("dependencies") or self.poetry.get("dependencies"))

    @property
    def setup(self) -> str | None:
        """The file of setuptools that says what is needed."""
        if self.has("setup.py"):
            return "setup.py"
        return "setup.cfg" if REQUIRES.search(self.text("setup.cfg")) else None


def table(value: object, *keys: str) -> dict[str, object]:
    """Return a table within tables; an empty one where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def listed(directory: Path) -> frozenset[str]:
    """Return the names in a directory; none where it cannot be read."""
    try:
        return frozenset(os.listdir(directory))  # noqa: PTH208 - names, without a Path for each
    except OSError:
        return frozenset()
