"""What a model needs to run, read from its files, and the key under which such an environment is kept."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from msgspec import Struct

from foretell.errors import EnvironmentFailedError
from foretell.requirements import groups as naming
from foretell.requirements.convert import converted
from foretell.requirements.lines import lines
from foretell.requirements.place import table
from foretell.service import Source

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


class Step(Struct, frozen=True, kw_only=True):
    """
    One call of an installer: `files`, relative, or the `text` of a requirements file that stands for another kind.

    `complete` means that all there is to install is named. `for_pip` says whether pip reads it as well.
    """

    files: tuple[str, ...] = ()
    text: str = ""
    options: tuple[str, ...] = ()
    complete: bool = False
    for_pip: bool = True


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


def steps(requirements: Sequence[Path], root: Path, groups: Sequence[str]) -> list[Step]:
    """Return the calls of an installer for these files; EnvironmentFailedError where a lock cannot be read."""
    plain: list[str] = []
    others: list[Step] = []
    options: list[str] = []
    for path in requirements:
        name = os.path.relpath(path, root)
        if made := converted(path, root, groups):
            others.append(Step(text=made[0], complete=made[1]))
        elif path.name == "pylock.toml":
            others.append(Step(files=(name,), options=tuple(_of_pylock(path, groups)), for_pip=False))
        else:
            plain.append(name)
            options += _of_project(path, name, groups) if path.name == "pyproject.toml" else []
    for_pip = not any(path.suffix in (".toml", ".py", ".cfg") for path in map(Path, plain))
    return [Step(files=tuple(plain), options=tuple(options), for_pip=for_pip), *others] if plain else others


def group_options(pyproject: Path, groups: Sequence[str]) -> Iterator[str]:
    """Return uv's options for groups and extras of a project that it reads itself."""
    extras = set(map(naming.same, table(_toml(pyproject), "project", "optional-dependencies")))
    for name in groups:
        yield from ("--extra" if name in extras else "--group", name)


def _of_project(path: Path, name: str, groups: Sequence[str]) -> Iterator[str]:
    options = list(group_options(path, groups))
    for option, value in zip(options[::2], options[1::2], strict=True):
        yield from (option, value if option == "--extra" else f"{name}:{value}")


def _of_pylock(path: Path, groups: Sequence[str]) -> Iterator[str]:
    extras = _toml(path).get("extras")
    named = {naming.same(str(name)) for name in extras} if isinstance(extras, list) else set()
    for name in groups:
        yield from ("--extra" if name in named else "--group", name)


def _toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # uv says what is wrong with it


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
            hint="mend [source] in foretell.toml, or add the file",
        ) from error


def _is_local(path: Path, data: bytes) -> bool:
    """Tell whether a file asks for something that lies in the source tree, or is made of it."""
    if path.name in SETUP:
        return True
    if path.suffix == ".py":
        return b"path" in data
    return bool(LOCAL_LOCKED.get(path.name, LOCAL).search(data.decode(errors="replace")))
