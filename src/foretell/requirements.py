"""What a model needs to run, read from its files, and the key under which such an environment is kept."""

from __future__ import annotations

import os
import re
import sys
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from foretell.errors import EnvironmentFailedError
from foretell.service import Source

FORMAT = 1
"""Grows when environments made by an older Foretell must not be used any more."""
INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*([^\s#]+)", re.MULTILINE)
LOCAL = re.compile(
    r"""^\s* (?: (?:-e|--editable) [\s=]            # -e lib
              | (?:-f|--find-links) [\s=]* [./~]    # --find-links ./wheels
              | [./~]                               # ./lib, /somewhere/lib
              | file:
              | [^#\n:]* @ \s* file:                # lib @ file:///somewhere/lib
              | [^#\n:]* \.(?:whl|zip|tar\.gz)\b )  # lib-1.0-py3-none-any.whl
    """,
    re.MULTILINE | re.VERBOSE,
)
LOCAL_LOCKED = re.compile(r'source = \{ (?:editable|directory|path) = "(?!\.")')


class Needs(Struct, frozen=True, kw_only=True):
    """
    What an environment is made of.

    `python` is a version or specifier, or None for Foretell's own interpreter. `requirements` are the files
    to install from, `project` is the directory of a pyproject.toml with its uv.lock; both absolute.
    """

    key: str
    python: str | None
    requirements: tuple[Path, ...]
    project: Path | None

    @property
    def nothing(self) -> bool:
        """Whether no environment is asked for."""
        return self.python is None and not self.requirements and self.project is None


def read(source: Source, snapshot: Path, interpreter: Path) -> Needs:
    """
    Read the files that say what is needed; EnvironmentFailedError where one is missing.

    `interpreter` is the one that serves where no Python is asked for.
    """
    project = None if source.locked is None else snapshot / source.locked
    requirements = tuple(snapshot / path for path in source.requirements) if project is None else ()
    files = [project / "pyproject.toml", project / "uv.lock"] if project else list(requirements)
    texts = _read_all(snapshot, files)
    key = sha256(f"{FORMAT}\0{sys.platform}\0{os.uname().machine}\0{source.python}\0".encode())
    if source.python is None:
        key.update(f"{interpreter}\0{sys.version}\0".encode())
    for path, data in texts.items():
        key.update(f"{os.path.relpath(path, snapshot)}\0{len(data)}\0".encode() + data)
    if any(_is_local(path, data) for path, data in texts.items()):
        # what is installed is part of the sources, so every state of them has an environment of its own
        key.update(snapshot.name.encode())
    return Needs(key=key.hexdigest()[:32], python=source.python, requirements=requirements, project=project)


def files(source: Source, root: Path) -> tuple[tuple[Path, ...], bool]:
    """
    List the files that say what is needed, with those they include, as absolute paths.

    With whether they ask for something that lies in the source tree. EnvironmentFailedError where one is missing.
    """
    asked = source.requirements if source.locked is None else _of_project(source.locked)
    texts = _read_all(root, [root / name for name in asked])
    return tuple(texts), any(_is_local(path, data) for path, data in texts.items())


def _of_project(directory: str) -> tuple[str, ...]:
    return f"{directory}/pyproject.toml", f"{directory}/uv.lock"


def _read_all(snapshot: Path, paths: list[Path]) -> dict[Path, bytes]:
    """Read files and, in order, what they include."""
    texts: dict[Path, bytes] = {}
    waiting = paths[::-1]
    while waiting:
        path = waiting.pop()
        if path in texts:
            continue
        texts[path] = _read(snapshot, path)
        if path.suffix not in (".toml", ".lock"):
            included = INCLUDE.findall(texts[path].decode(errors="replace"))
            waiting += [path.parent / name for name in reversed(included) if "://" not in name]
    return texts


def _read(snapshot: Path, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        name = os.path.relpath(path, snapshot)
        raise EnvironmentFailedError(
            f'the requirements file "{name}" cannot be read',
            why=(error.strerror or str(error)).lower(),
            hint="mend [source] in foretell.toml, or add the file",
        ) from error


def _is_local(path: Path, data: bytes) -> bool:
    """Tell whether a file asks for something that lies in the source tree."""
    text = data.decode(errors="replace")
    if path.suffix == ".toml":
        return False
    return bool((LOCAL_LOCKED if path.name == "uv.lock" else LOCAL).search(text))
