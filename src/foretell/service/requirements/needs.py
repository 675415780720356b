"""What a model needs to run, read from its files, and the key under which such an environment is kept."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from foretell.errors import EnvironmentFailedError
from foretell.service.model import Source
from foretell.service.requirements.lines import lines

FORMAT = 1
"""Grows when environments made by an older Foretell must not be used any more."""
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
LOCAL_LOCKED = {
    "uv.lock": re.compile(r'source = \{ (?:editable|directory|path) = "(?!\.")'),
    "poetry.lock": re.compile(r'^type = "(?:directory|file)"', re.MULTILINE),
    "pdm.lock": re.compile(r"^path = ", re.MULTILINE),
    "Pipfile.lock": re.compile(r'"(?:path|file)": "(?!\w+://)'),
    "pylock.toml": re.compile(r"\bpath = "),
    "pyproject.toml": re.compile(r"\bpath\s*=|@\s*file:|^dynamic\s*=[^\]]*\bdependencies\b", re.MULTILINE),
}
"""What in a file asks for something that lies in the source tree, or for all of it."""
SETUP = ("setup.py", "setup.cfg")
METADATA = re.compile(r"^# /// script\s*$\n(?:^#(?:| .*)$\n)+?^# ///$", re.MULTILINE)
WITH_PROJECT = ("poetry.lock", "pdm.lock")


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
    groups: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether no environment is asked for."""
        return self.python is None and not self.requirements and self.project is None


def read(source: Source, snapshot: Path, interpreter: Path, environ: Mapping[str, str] = os.environ) -> Needs:
    """
    Read the files that say what is needed; EnvironmentFailedError where one is missing.

    `interpreter` is the one that serves where no Python is asked for.
    """
    project = None if source.locked is None else snapshot / source.locked
    requirements = tuple(snapshot / path for path in source.requirements) if project is None else ()
    texts = _read_all(snapshot, _asked(source, snapshot), environ)
    key = sha256(f"{FORMAT}\0{sys.platform}\0{os.uname().machine}\0{source.python}\0".encode())
    if source.python is None:
        key.update(f"{interpreter}\0{sys.version}\0".encode())
    for path, data in texts.items():
        key.update(f"{os.path.relpath(path, snapshot)}\0{len(data)}\0".encode() + data)
    for name in source.groups:
        key.update(f"\0group\0{name}\0".encode())
    if any(_is_local(path, data) for path, data in texts.items()):
        # what is installed is part of the sources, so every state of them has an environment of its own
        key.update(snapshot.name.encode())
    return Needs(
        key=key.hexdigest()[:32],
        python=source.python,
        requirements=requirements,
        project=project,
        groups=source.groups,
    )


def files(
    source: Source, root: Path, environ: Mapping[str, str] = os.environ
) -> tuple[tuple[Path, ...], bool]:
    """
    List the files that say what is needed, with those they include, as absolute paths.

    With whether they ask for something that lies in the source tree. EnvironmentFailedError where one is missing.
    """
    texts = _read_all(root, _asked(source, root), environ)
    return tuple(texts), any(_is_local(path, data) for path, data in texts.items())


def _asked(source: Source, root: Path) -> list[Path]:
    """Return the files that are read for what is installed, less those that they include."""
    if source.locked is not None:
        return [root / source.locked / "pyproject.toml", root / source.locked / "uv.lock"]
    found = []
    for path in (root / name for name in source.requirements):
        found.append(path)
        beside = path.with_name("pyproject.toml")
        if path.name in WITH_PROJECT and beside.is_file():
            found.append(beside)
    return found


def _read_all(snapshot: Path, paths: list[Path], environ: Mapping[str, str]) -> dict[Path, bytes]:
    """Read files and, in order, what they include."""
    texts: dict[Path, bytes] = {}
    waiting = paths[::-1]
    while waiting:
        path = waiting.pop()
        if path in texts:
            continue
        data = _read(snapshot, path)
        texts[path] = data if path.suffix != ".py" or path.name in SETUP else _metadata(data)
        if path.suffix not in (".toml", ".lock", ".py", ".cfg"):
            included = [line.file for line in lines(data, environ) if line.file and "://" not in line.file]
            waiting += [path.parent / name for name in reversed(included)]
    return texts


def _metadata(script: bytes) -> bytes:
    """Return what a script says of its needs: the rest of it changes nothing in its environment."""
    found = METADATA.search(script.decode(errors="replace"))
    return found[0].encode() if found else b""


def _read(snapshot: Path, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        name = os.path.relpath(path, snapshot)
        raise EnvironmentFailedError(
            f'the requirements file "{name}" cannot be read',
            why=(error.strerror or str(error)).lower(),
            hint="correct [source] in foretell.toml, or add the file",
        ) from error


def _is_local(path: Path, data: bytes) -> bool:
    """Tell whether a file asks for something that lies in the source tree, or is made of it."""
    if path.name in SETUP:
        return True
    if path.suffix == ".py":
        return b"path" in data
    return bool(LOCAL_LOCKED.get(path.name, LOCAL).search(data.decode(errors="replace")))
