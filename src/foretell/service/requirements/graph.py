"""Which packages of a lock are reached from a project's own requirements, and under which conditions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from packaging.specifiers import SpecifierSet
from packaging.version import Version

Condition = frozenset[frozenset[str]]
"""Markers of which, in at least one of the sets, all have to hold."""
ALWAYS: Condition = frozenset({frozenset()})
NEVER: Condition = frozenset()


class Edge(Struct, frozen=True, kw_only=True):
    """A requirement of a package: its name, of which one of `allowed` (specifiers) has to hold."""

    name: str
    allowed: tuple[str, ...] = ("",)
    extras: tuple[str, ...] = ()
    marker: str = ""


class Package(Struct, frozen=True, kw_only=True):
    """A package as locked; `extras` are the further requirements of each of its extras."""

    name: str
    version: str
    edges: tuple[Edge, ...] = ()
    extras: Mapping[str, tuple[Edge, ...]] = {}
    marker: str = ""
    """Where it is for, by itself: several versions of one package part the interpreters among them."""


def walk(packages: Sequence[Package], roots: Iterable[Edge]) -> dict[int, str]:
    """Return the marker under which each package is reached, by its place in `packages`."""
    by_name: dict[str, list[int]] = {}
    for place, package in enumerate(packages):
        by_name.setdefault(package.name, []).append(place)
    reached: dict[tuple[int, str], Condition] = {}
    waiting: deque[tuple[Edge, Condition]] = deque((edge, ALWAYS) for edge in roots)
    while waiting:
        edge, above = waiting.popleft()
        for place in _fitting(packages, by_name, edge):
            package = packages[place]
            condition = _both(_both(above, edge.marker), package.marker)
            for extra in ("", *edge.extras):
                before = reached.get((place, extra), NEVER)
                after = _either(before, condition)
                if after != before:
                    reached[place, extra] = after
                    edges = package.extras.get(extra, ()) if extra else package.edges
                    waiting.extend((below, after) for below in edges)
    return {place: _text(condition) for (place, extra), condition in reached.items() if not extra}


def _fitting(packages: Sequence[Package], by_name: Mapping[str, list[int]], edge: Edge) -> list[int]:
    """Return the packages that an edge leads to; one that is alone in its name needs no proof."""
    named = by_name.get(edge.name, [])
    if len(named) < 2:
        return named
    return [place for place in named if _allows(edge, packages[place].version)] or named


def _allows(edge: Edge, version: str) -> bool:
    try:
        return any(SpecifierSet(one).contains(Version(version), prereleases=True) for one in edge.allowed)
    except ValueError:
        return True


def _both(condition: Condition, marker: str) -> Condition:
    return frozenset(one | {marker} for one in condition) if marker else condition


def _either(one: Condition, other: Condition) -> Condition:
    """Join conditions, less those that hold only where a wider one does too."""
    every = one | other
    return frozenset(each for each in every if not any(wider < each for wider in every))


def _text(condition: Condition) -> str:
    if frozenset() in condition:
        return ""
    parts = sorted(" and ".join(f"({marker})" for marker in sorted(one)) for one in condition)
    return parts[0] if len(parts) == 1 else " or ".join(f"({part})" for part in parts)
