"""From TOML values to the fields of a struct: key by key, so that one fault does not hide another."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from foretell.service import declaration
from foretell.service.durations import seconds
from foretell.service.layers import Table
from foretell.service.positions import KeyPath
from foretell.service.problems import Faults, suggestion

Given: TypeAlias = dict[str, Any]
"""What a table of the file gives, by field: only what stands there and is right. A table in it is one of these too."""

NOTHING = object()
"""What is given for a value that was wrong; the fault is told already."""

SEVERAL = {
    "schedule": '; write several times in one line, "0 7,19 * * *"; '
    "times that do not fit in one line need a second action"
}
"""How several values are written of a key that takes one, where that is not plain."""
WORDS: dict[object, str] = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
LARGEST = 2**63
WIDEST = 60
"""Characters of a value that a message shows."""


def fields(
    kind: type,
    values: Mapping[str, object],
    path: KeyPath,
    faults: Faults,
    *,
    also: Callable[[str], str] | None = None,
) -> Given:
    """Return the right values of a table by field, and tell what is wrong. `also` explains unknown keys."""
    known = declaration.keys(kind)
    result = {}
    for key, value in values.items():
        if key not in known:
            mend = (also and also(key)) or suggestion(key, known)
            faults.add((*path, key), f'unknown key "{key}"{mend}')
            continue
        read = _value(known[key].type, value, (*path, key), faults)
        if known[key].is_duration and read is not NOTHING:
            read = seconds(cast("str | float", read), (*path, key), faults)
        if read is not NOTHING:
            result[known[key].field.name] = read
    return result


def keys(kind: type) -> list[str]:
    """Return every key of a table."""
    return list(declaration.keys(kind))


def required(kind: type) -> list[str]:
    """Return the keys of a table that have no default."""
    return [name for name, key in declaration.keys(kind).items() if key.field.required]


def _value(kind: object, value: object, path: KeyPath, faults: Faults) -> object:
    if isinstance(value, dict) and (option := _tabular(kind)):
        if get_origin(option) is dict:
            return _entries(get_args(option)[1], value, path, faults)
        return fields(cast("type[Struct]", option), value, path, faults)
    if kind is object:
        return _free(value, path, faults)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        mend = _mended(_plain(kind), value) or (
            SEVERAL.get(str(path[-1]), "") if isinstance(value, list) else ""
        )
        faults.add(path, f'"{path[-1]}" must be {_words(kind)}, not {_shown(value)}{mend}')
        return NOTHING


def _entries(kind: object, values: Table, path: KeyPath, faults: Faults) -> Given:
    read = {key: _value(kind, value, (*path, key), faults) for key, value in values.items()}
    return {key: value for key, value in read.items() if value is not NOTHING}


def _free(value: object, path: KeyPath, faults: Faults) -> object:
    """Check that a value that is handed on as it is can be written into a record, which is JSON."""
    if isinstance(value, dict):
        return _entries(object, value, path, faults)
    if isinstance(value, list):
        return [_free(item, (*path, place), faults) for place, item in enumerate(value)]
    large = isinstance(value, int) and not -LARGEST <= value < LARGEST
    if large or (isinstance(value, float) and not math.isfinite(value)):
        faults.add(path, f'"{path[-1]}" must be a finite number of at most 64 bits')
        return NOTHING
    return value


@cache
def _tabular(kind: object) -> object:
    """Return what of a type a table can be: a struct, or one of any keys; None where it cannot be one."""
    for option in _options(_plain(kind)):
        if get_origin(option) is dict or (isinstance(option, type) and issubclass(option, Struct)):
            return option
    return None


def _plain(kind: object) -> object:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _options(kind: object) -> tuple[object, ...]:
    """Return the alternatives of a type, without what says that it may be left out."""
    if get_origin(kind) not in {Union, types.UnionType}:
        return (kind,)
    return tuple(_plain(option) for option in get_args(kind) if option is not types.NoneType)


def _words(kind: object) -> str:
    """Say a type as a person would."""
    if get_origin(kind) is Annotated:
        return _words(_plain(kind)) + "".join(_limits(meta) for meta in get_args(kind)[1:])
    if get_origin(kind) in {Union, types.UnionType}:
        return " or ".join(_words(option) for option in get_args(kind) if option is not types.NoneType)
    if get_origin(kind) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return f"an array of {_many(get_args(kind)[0])}"
    return WORDS.get(kind, "a table")


def _many(kind: object) -> str:
    """Say several of a type."""
    if get_origin(kind) in {Union, types.UnionType}:
        return " or ".join(map(_many, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"arrays of {_many(get_args(kind)[0])}"
    return f"{_words(kind).split(' ', 1)[1]}s"


def _limits(meta: Meta) -> str:
    if meta.min_length:
        return " that is not empty"
    if meta.gt is not None:
        return f" above {meta.gt}"
    if meta.ge is not None:
        return f" from {meta.ge} to {meta.le}"
    return ""


def _shown(value: object) -> str:
    names = {
        bool: "the boolean",
        int: "the integer",
        float: "the number",
        str: "the string",
        list: "the array",
        datetime: "the date",
        date: "the date",
        time: "the time",
    }
    if isinstance(value, dict):
        return "a table"
    try:
        text = msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, OverflowError):
        text = "that is too large"
    return f"{names[type(value)]} {text if len(text) <= WIDEST else text[: WIDEST - 1] + '…'}"


def _mended(kind: object, value: object) -> str:
    """Return the fix where it is plain: a number or date where text is asked for."""
    if str in _options(kind) and isinstance(value, int | float | date) and not isinstance(value, bool):
        return "; put it in quotes"
    if isinstance(value, str) and any(get_origin(option) is tuple for option in _options(kind)):
        return f'; write ["{value}"]' if '"' not in value else ""
    return ""
