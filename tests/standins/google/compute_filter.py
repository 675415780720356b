"""Filters of lists as Compute Engine reads them: `(labels.a = "b") AND (status = RUNNING)`, or `name eq .*-1`."""

from __future__ import annotations

import re
from typing import Any

from tests.standins.google.discovery import Json
from tests.standins.google.standin import Refusal

TERM = re.compile(
    r"""\(?\s*(?P<field>[A-Za-z][\w.\-]*)\s*(?P<sign>!=|=|:|\beq\b|\bne\b)\s*(?P<value>"[^"]*"|'[^']*'|[^\s()]+)\s*\)?\s*(?:AND\s*)?"""
)


def fits(text: str, item: Json) -> bool:
    """Whether an item passes a filter; what is not understood is refused, as it is there."""
    at = 0
    verdicts = []
    signs = set()
    while at < len(text):
        found = TERM.match(text, at)
        if not found:
            raise Refusal(400, f"Invalid value for field 'filter': '{text}'.")
        at = found.end()
        signs.add(found["sign"] in ("eq", "ne"))
        verdicts.append(_holds(_field(item, found["field"]), found["sign"], found["value"].strip("\"'")))
    if len(signs) > 1:
        raise Refusal(400, "Invalid value for field 'filter': two kinds of expressions cannot be mixed.")
    return all(verdicts)


def _field(item: Json, path: str) -> Any:
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _holds(value: Any, sign: str, wanted: str) -> bool:
    told = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    match sign:
        case "=":
            return told == wanted
        case "!=":
            return told != wanted
        case "eq":
            return bool(re.fullmatch(wanted, told))
        case "ne":
            return not re.fullmatch(wanted, told)
        case _:
            return value is not None and (wanted == "*" or wanted in told)
