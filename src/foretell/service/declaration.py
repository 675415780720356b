"""
How a key of foretell.toml is declared: on the field of the value that it fills, once.

`Annotated[int, says("How often …")] = 2` is type, meaning and default; reader, schema and reference follow it.
A key that is written by another name or type than its field has is `Written`; a field without a key is `RESOLVED`.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, TypeAlias, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import FieldInfo

WORDS = " Default: "
"""What separates the meaning of a key from its default in words."""


def says(description: str, *, default: str = "") -> Meta:
    """Describe a key; `default` in words where the field cannot tell it, because it depends on something."""
    return Meta(description=f"{description}{WORDS}{default}." if default else description)


class Written(Struct, frozen=True, kw_only=True):
    """How a key is written where it is not as its field: another type, another name."""

    type: object = None
    name: str | None = None


RESOLVED = Written()
"""Marks a field that no key fills: it follows from others, or from where the table stands."""
DURATION = Written(type=str | float)
Seconds: TypeAlias = Annotated[float, DURATION]
"""A duration: in the file text such as "6h", "1h30m", "90s", "1d", or a number of seconds."""


class Key(Struct, frozen=True, kw_only=True):
    """A key of a table: its name, its type in the file with limits and description, and the field it fills."""

    name: str
    type: object
    field: FieldInfo
    description: str
    is_duration: bool

    @property
    def is_required(self) -> bool:
        """Whether neither the field nor its description knows a default."""
        return self.field.required and WORDS not in self.description

    @property
    def default(self) -> object:
        """The default as the file would have it; None where there is none, or where it is told in words."""
        found = self.field.default
        if found is NODEFAULT or isinstance(found, Struct) or WORDS in self.description:
            return None
        return _duration(found) if self.is_duration else msgspec.to_builtins(found)


@cache
def keys(kind: type[Struct]) -> dict[str, Key]:
    """Return the keys that a table of this kind may have, by name."""
    found = [_key(field) for field in msgspec.structs.fields(kind)]
    return {key.name: key for key in found if key}


@cache
def defaults(kind: type[Struct]) -> dict[str, object]:
    """Return what fields are when nobody has said anything about them; to find out takes a millisecond."""
    return {
        field.name: field.default if field.default_factory is NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(kind)
    }


def _key(field: FieldInfo) -> Key | None:
    plain, *marks = get_args(field.type) if get_origin(field.type) is Annotated else (field.type,)
    if RESOLVED in marks:
        return None
    written = next((mark for mark in marks if isinstance(mark, Written)), RESOLVED)
    metas = [mark for mark in marks if isinstance(mark, Meta)]
    kind = plain if written.type is None else written.type
    return Key(
        name=written.name or field.encode_name,
        type=Annotated[(kind, *metas)] if metas else kind,
        field=field,
        description="".join(meta.description or "" for meta in metas),
        is_duration=written is DURATION,
    )


def _duration(seconds: object) -> object:
    """Write seconds as the file would: in the largest unit of which they are a whole number."""
    if not isinstance(seconds, int | float):
        return seconds
    unit, size = next(
        (unit, size) for unit, size in (("h", 3600), ("m", 60), ("s", 1)) if seconds % size == 0 or size == 1
    )
    return f"{seconds / size:g}{unit}"
