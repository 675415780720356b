"""The groups of dependencies, and the extras, that a project names."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from foretell.service.requirements.place import table

DEVELOP = {"dev": "develop", "dev-packages": "develop"}
"""What Pipenv calls its packages for development, and what its lock does."""
OWN = frozenset({"default", "_meta"})


def same(name: str) -> str:
    """Return a name as all its spellings have it in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


def known(path: Path) -> frozenset[str]:
    """Return the groups and extras that can be asked for of what is installed from a file; none where it has none."""
    try:
        match path.name:
            case "pyproject.toml" | "uv.lock" | "poetry.lock" | "pdm.lock":
                return frozenset(
                    map(same, of_project(tomllib.loads(_text(path.with_name("pyproject.toml")))))
                )
            case "pylock.toml":
                return frozenset(map(same, of_pylock(tomllib.loads(_text(path)))))
            case "Pipfile.lock":
                held = msgspec.json.decode(_text(path), type=dict[str, msgspec.Raw])
                return frozenset({same(name) for name in held} - OWN | DEVELOP.keys())
            case _:
                pass
    except (OSError, ValueError, RecursionError):
        pass  # what is wrong with it, the making of the environment tells in full
    return frozenset()


def of_project(pyproject: dict[str, object]) -> list[str]:
    """Return what a pyproject.toml names, in the words of every tool."""
    return [
        name
        for where in (
            ("dependency-groups",),
            ("project", "optional-dependencies"),
            ("tool", "poetry", "group"),
            ("tool", "poetry", "extras"),
            ("tool", "pdm", "dev-dependencies"),
        )
        for name in table(pyproject, *where)
    ] + ["dev"] * bool(table(pyproject, "tool", "poetry", "dev-dependencies"))


def of_pylock(lock: dict[str, object]) -> list[str]:
    """Return what a pylock.toml names."""
    found = [lock.get(key) for key in ("dependency-groups", "extras")]
    return [str(name) for names in found if isinstance(names, list) for name in names]


def options(pyproject: Path, groups: Sequence[str]) -> Iterator[str]:
    """Return uv's options for groups and extras of a project that it reads itself."""
    extras = set(map(same, table(toml(pyproject), "project", "optional-dependencies")))
    for name in groups:
        yield from ("--extra" if name in extras else "--group", name)


def toml(path: Path) -> dict[str, object]:
    """Return what a file of TOML says; nothing where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}  # uv says what is wrong with it


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
