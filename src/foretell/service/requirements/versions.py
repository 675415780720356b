"""Poetry's constraints of versions, in the words of Python's own: specifiers and markers."""

from __future__ import annotations

import re

CLAUSE = re.compile(r"(\^|~=|===?|~|!=|<=|>=|<|>|)\s*v?([0-9][^\s,|]*|\*)")
NUMBERS = re.compile(r"\d+(?:\.\d+)*")


class UnclearError(ValueError):
    """A constraint that cannot be read, or not be said in the words of Python's own."""


def alternatives(constraint: str) -> list[str]:
    """
    Return the specifiers that a constraint stands for, of which one has to hold.

    "^1.2 || ^3" is [">=1.2,<2", ">=3,<4"]. An empty text holds for every version. UnclearError where it is none.
    """
    return [_specifiers(part) for part in re.split(r"\|\|?", constraint)]


def specifiers(constraint: str) -> str:
    """Return the one specifier of a constraint; UnclearError where it has alternatives, which no requirement can."""
    found = alternatives(constraint)
    if len(found) > 1:
        raise UnclearError(f'"{constraint}" has alternatives')
    return found[0]


def marker(constraint: str) -> str:
    """Return the marker that says of the interpreter's version what a constraint says; "" where it always holds."""
    found = []
    for part in alternatives(constraint):
        clauses = [re.fullmatch(r"(\W+)(.*)", clause) for clause in part.split(",") if clause]
        if not clauses:
            return ""
        found.append(" and ".join(f'python_full_version {one[1]} "{one[2]}"' for one in clauses if one))
    return found[0] if len(found) == 1 else " or ".join(f"({one})" for one in found)


def _specifiers(part: str) -> str:
    clauses, position, text = [], 0, part.strip()
    while position < len(text):
        found = CLAUSE.match(text, position)
        if not found:
            raise UnclearError(f'"{part.strip()}" is not a version constraint')
        clauses += _clause(found[1], found[2])
        position = found.end()
        position += len(text[position:]) - len(text[position:].lstrip(" \t,"))
    return ",".join(clauses)


def _clause(sign: str, version: str) -> list[str]:
    if version == "*":
        return []
    wild = re.fullmatch(r"(.*?)\.[*xX](?:\.[*xX])*", version)
    if wild and sign in ("", "=", "=="):
        return [f"=={wild[1]}.*"]
    if wild and sign in ("^", "~", ">=", "~="):
        version = wild[1]
    if sign == "^":
        return [f">={version}", f"<{_after(version, _first_that_counts(version))}"]
    if sign == "~":
        return [f">={version}", f"<{_after(version, min(1, len(_numbers(version)) - 1))}"]
    return [f"{sign or '=='}{version}"]


def _numbers(version: str) -> list[int]:
    found = NUMBERS.match(version)
    return [int(number) for number in found[0].split(".")] if found else [0]


def _first_that_counts(version: str) -> int:
    """Return the place of the number that a caret keeps: the first that is not 0, else the last."""
    numbers = _numbers(version)
    return next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)


def _after(version: str, place: int) -> str:
    numbers = _numbers(version)
    return ".".join(map(str, [*numbers[:place], numbers[place] + 1]))
