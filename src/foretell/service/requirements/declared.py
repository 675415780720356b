"""Which of the files that lie there say what the model needs: the first of a list, and what is not read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from msgspec import Struct

from foretell.service.model import Source
from foretell.service.requirements.foreign import FOLDER, FOREIGN
from foretell.service.requirements.place import Place, listed

METADATA = re.compile(r"^# /// script\s*$", re.MULTILINE)
"""What a script that says itself what it needs has in it (PEP 723)."""
BASES = ("base", "main", "prod")


class Declared(Struct, frozen=True, kw_only=True):
    """
    The files that are taken, as `Source` has them, and those that were passed over, by their paths from the root.

    `beside` would have been taken if nothing before them had been there; `foreign` are for other tools, or unclear.
    """

    requirements: tuple[str, ...] = ()
    locked: str | None = None
    beside: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


Kind: TypeAlias = Callable[[Place], str | None]
"""Returns the file of a place that says what is needed in one way."""


def _named(name: str) -> Kind:
    return lambda place: name if place.has(name) else None


def _uv(place: Place) -> str | None:
    return "uv.lock" if place.has("uv.lock") and place.has("pyproject.toml") else None


def _project(place: Place) -> str | None:
    return "pyproject.toml" if place.declares_dependencies else None


def _folder(place: Place) -> str | None:
    """Return the one file of requirements/, or the one that is the base of the others."""
    if not place.has(FOLDER, directory=True):
        return None
    names = [name for name in listed(place.root / place.name / FOLDER) if name.endswith((".txt", ".in"))]
    stems = {name.rpartition(".")[0] for name in names}
    stem = next(iter(stems)) if len(stems) == 1 else next((base for base in BASES if base in stems), None)
    if stem is None:
        return None
    return f"{FOLDER}/{stem}.txt" if f"{stem}.txt" in names else f"{FOLDER}/{stem}.in"


PROJECT = ("pyproject.toml", "setup.py", "setup.cfg")
FIRST = _named("requirements.txt")
KINDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (FIRST, ("requirements.in", f"{FOLDER}/base.txt", f"{FOLDER}/prod.txt")),
    (_uv, PROJECT),
    (_named("pylock.toml"), PROJECT),
    (_named("poetry.lock"), PROJECT),
    (_named("pdm.lock"), PROJECT),
    (_named("Pipfile.lock"), ("Pipfile",)),
    (_project, PROJECT),
    (lambda place: place.setup, ()),
    (_named("requirements.in"), ()),
    (_folder, ()),
)
"""The ways to say what is needed, the first first, each with the files that belong to it and are no other way."""


def look(places: Sequence[Place], scripts: Iterable[str] = ()) -> Declared:
    """
    Look for what is needed: in the source's place, and where nothing says it there, in the root's.

    A requirements.txt of the root adds to one of the source. `scripts` are those of the commands.
    """
    ways = _ways(places, scripts)
    kind = ways[0].kind if ways else None
    together = kind in (FIRST, METADATA)
    return _told(tuple(way.path for way in ways if way.kind is kind)[: None if together else 1], places, ways)


def passed_over(source: Source, root: Path, scripts: Iterable[str] = ()) -> Declared:
    """Return what a source takes, with what lies beside it in `root`, a service's directory or a copy of it."""
    places = places_of(root, source.path)
    taken = source.requirements if source.locked is None else (f"{source.locked}/uv.lock",)
    return _told(tuple(str(PurePosixPath(path)) for path in taken), places, _ways(places, scripts))


def places_of(root: Path, path: str) -> list[Place]:
    """Return the directories that may say what is needed: the source's, and the service's own."""
    here = Place(root, ".")
    return [here] if path == here.name else [Place(root, path), here]


def scripts_of(commands: Iterable[str | Sequence[str]]) -> list[str]:
    """Return the scripts that commands run by Python, as they are named there."""
    return [script for command in commands if (script := _script(command))]


def sentences(declared: Declared) -> list[str]:
    """Say in words what was taken and what was not, one sentence each; nothing where nothing lies there."""
    said = []
    taken = declared.requirements if declared.locked is None else (f"{declared.locked}/uv.lock",)
    if taken:
        said.append(f"packages are installed from {' and '.join(str(PurePosixPath(path)) for path in taken)}")
    elif declared.foreign:
        said.append("no packages are installed: no supported file declares any")
    if declared.beside:
        said.append(f"not read: {', '.join(declared.beside)}; choose with [source] requirements")
    said += [f"{path} is not read: {FOREIGN[PurePosixPath(path).name]}" for path in declared.foreign]
    return said


class _Way(Struct, frozen=True):
    """One way to say what is needed, and what belongs to it; paths from the root."""

    kind: object
    path: str
    owned: frozenset[str]


def _ways(places: Sequence[Place], scripts: Iterable[str]) -> list[_Way]:
    """Return every way that is there, the first first."""
    found = [
        _Way(kind, place.inner(file), frozenset(map(place.inner, owned)))
        for place in places
        for kind, owned in KINDS
        if (file := kind(place))
    ]
    root = places[-1].root
    inline = [_Way(METADATA, script, frozenset()) for script in scripts if _has_metadata(root / script)]
    return found + inline


def _told(taken: tuple[str, ...], places: Sequence[Place], ways: Sequence[_Way]) -> Declared:
    owned = {name for way in ways if way.path in taken for name in way.owned}
    beside = dict.fromkeys(way.path for way in ways if way.path not in taken and way.path not in owned)
    foreign = dict.fromkeys(
        path for place in places for name in _foreign(place) if (path := place.inner(name)) not in owned
    )
    first = PurePosixPath(taken[0]) if taken else None
    locked = str(first.parent) if first and first.name == "uv.lock" else None
    return Declared(
        requirements=() if locked else tuple(dict.fromkeys(taken)),
        locked=locked,
        beside=tuple(beside),
        foreign=tuple(foreign),
    )


def _script(command: str | Sequence[str]) -> str | None:
    words = command.split() if isinstance(command, str) else command
    if words and re.fullmatch(r"(?:.*/)?python[0-9.]*", words[0]):
        # options before the script are Python's own, those after it the script's; -m and -c run none
        words = [word for word in words[1:] if word in ("-m", "-c") or not word.startswith("-")]
    named = words[0] if words else ""
    return str(PurePosixPath(named)) if named.endswith(".py") and not named.startswith("/") else None


def _foreign(place: Place) -> Iterator[str]:
    for name in FOREIGN:
        if name not in place.names or (name == "Pipfile" and "Pipfile.lock" in place.names):
            continue
        if name != FOLDER or (
            place.has(FOLDER, directory=True) and _folder(place) is None and _is_unclear(place)
        ):
            yield name


def _is_unclear(place: Place) -> bool:
    return any(name.endswith((".txt", ".in")) for name in listed(place.root / place.name / FOLDER))


def _has_metadata(script: Path) -> bool:
    try:
        return bool(METADATA.search(script.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return False
