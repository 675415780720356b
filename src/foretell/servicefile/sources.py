"""What a service's directory says by itself: source, Python, packages, the usual command."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from posixpath import normpath

from foretell.names import LOCK_FILE
from foretell.service import Action, Source
from foretell.servicefile.faults import Faults
from foretell.servicefile.form import SourceTable
from foretell.servicefile.layers import Table
from foretell.servicefile.lines import KeyPath
from foretell.servicefile.site import Site


def source(site: Site) -> Source:
    """Resolve the source: what the file says, else what the directories hold."""
    table, root, faults = site.form.source, site.root, site.faults
    here = _Place(root, ".")
    path = _path(table, here, faults)
    places = [here] if path == here.name else [_Place(root, path), here]
    requirements, locked = _needed(table, root, places, faults)
    python = _python(table, places, faults)
    link = _linked(table, root, faults)
    return Source(path=path, python=python, requirements=requirements, locked=locked, link=link)


def inside(path: str, key: KeyPath, faults: Faults, *, below: str = "the directory of this file") -> bool:
    """Tell whether a path stays where it belongs, and a fault if it does not."""
    if not path.strip() or "\0" in path:
        faults.add(key, f'"{key[-1]}" must be a path')
    elif path.startswith("/") or "\\" in path or ".." in path.split("/"):
        faults.add(key, f'the path "{path}" must stay inside {below}: relative, with /, without ".."')
    else:
        return True
    return False


def apart(source: Source, actions: Iterable[Action], faults: Faults) -> None:
    """Add a fault for a link that an output or an input would be written into, or that hides it."""
    for number, link in enumerate(source.link):
        for action in actions:
            for place in (action.output, *(item.path for item in action.inputs)):
                if link.startswith(f"{normpath(place)}/") or f"{normpath(place)}/".startswith(f"{link}/"):
                    fault = f'"{link}" is linked, and "{action.name}" writes to "{place}": what it wrote would be there'
                    faults.add(("source", "link", number), f"{fault} for the next run too")


def mains(root: Path, source: Source) -> list[str]:
    """Give the modules that can be run as the model: one for every package that has a main."""
    packages = [(package.name, _listed(package)) for package in sorted(_directories(root / source.path))]
    own = [name for name, files in packages if "__main__.py" in files]
    main = [f"{name}.main" for name, files in packages if "main.py" in files]
    return [*own, *(module for module in main if module.removesuffix(".main") not in own)]


def usual_command(root: Path, module: str, action: str) -> tuple[str, ...]:
    """Give the command of a model that is this module, after the convention of arguments."""
    command = ("python", "-m", module, "--action", "{action}")
    config = (root / "configs" / f"{action}.json").is_file()
    return (*command, "--config", "configs/{action}.json") if config else command


def _path(table: SourceTable, here: _Place, faults: Faults) -> str:
    if table.path is None:
        return "source" if here.has("source", directory=True) else here.name
    key, path = ("source", "path"), table.path or here.name
    if not inside(path, key, faults):
        return "."
    if not _there(here.root, path, directory=True):
        mend = 'a submodule is fetched by "git submodule update --init"'
        faults.add(key, f'there is no directory "{path}" beside this file; {mend}')
        return "."
    return str(PurePosixPath(path))


def _linked(table: SourceTable, root: Path, faults: Faults) -> tuple[str, ...]:
    for number, path in enumerate(table.link):
        key = ("source", "link", number)
        if not inside(path, key, faults):
            continue
        if normpath(path) == ".":
            faults.add(key, "the whole directory cannot be linked: name what is too large to copy")
        elif not (_there(root, path) or _there(root, path, directory=True)):
            faults.add(key, f'there is no "{path}" beside this file')
    return tuple(normpath(path) for path in table.link)


def _directories(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return [path / entry.name for entry in entries if entry.name.isidentifier() and entry.is_dir()]
    except OSError:
        return []


def _there(root: Path, path: str, *, directory: bool = False) -> bool:
    place = root / path
    try:
        return (place.is_dir() if directory else place.is_file()) or _is_built(root)
    except OSError:
        return False


def _is_built(root: Path) -> bool:
    """Tell whether images are made already: then neither the sources nor what they need have to be here."""
    return (root / LOCK_FILE).is_file()


def _needed(
    table: SourceTable, root: Path, places: Sequence[_Place], faults: Faults
) -> tuple[tuple[str, ...], str | None]:
    """Give the requirement files, or the directory of a locked project."""
    if table.requirements is not None:
        for number, name in enumerate(table.requirements):
            key = ("source", "requirements", number)
            if inside(name, key, faults) and not _there(root, name):
                faults.add(key, f'there is no requirement file "{name}" beside this file')
        return table.requirements, None
    for place in places:
        if place.has("pyproject.toml") and place.has("uv.lock"):
            return (), place.name
    there = [place.inner("requirements.txt") for place in places if place.has("requirements.txt")]
    if not there and places[0].project.get("dependencies"):
        there = [places[0].inner("pyproject.toml")]
    return tuple(there), None


def _python(table: SourceTable, places: Sequence[_Place], faults: Faults) -> str | None:
    if table.python is not None:
        if not any(mark.isdigit() for mark in table.python) or not table.python.isprintable():
            faults.add(
                ("source", "python"), f'"python" is no version: "{table.python}"; write "3.11" or ">=3.11"'
            )
        return table.python
    lines = [line.strip() for place in places for line in place.text(".python-version").splitlines()]
    said = [line for line in lines if line and not line.startswith("#")]
    asked = [place.project.get("requires-python") for place in places]
    return next((wish for wish in (*said, *asked) if isinstance(wish, str) and wish), None)


class _Place:
    """A directory that may say what is needed, listed once: most of what is looked for is not there."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self._listed = _listed(root / name)

    def has(self, name: str, *, directory: bool = False) -> bool:
        """Tell whether there is a file of this name, or a directory."""
        if name not in self._listed:
            return False
        place = self.root / self.name / name
        return place.is_dir() if directory else place.is_file()

    def inner(self, file: str) -> str:
        """Give a file's path from the root."""
        return str(PurePosixPath(self.name, file))

    def text(self, file: str) -> str:
        if file not in self._listed:
            return ""
        try:
            return (self.root / self.name / file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    @cached_property
    def project(self) -> Table:
        """What pyproject.toml says of it."""
        text = self.text("pyproject.toml")
        try:
            project = tomllib.loads(text).get("project") if text else None
        except (ValueError, RecursionError):
            # What is wrong with it, the making of the environment tells in full.
            return {}
        return project if isinstance(project, dict) else {}


def _listed(directory: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(directory))  # noqa: PTH208 - names, without a Path for each
    except OSError:
        return frozenset()
