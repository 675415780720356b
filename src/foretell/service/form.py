"""The form of foretell.toml: its tables and their kinds, as a JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import dedent

import msgspec
from msgspec import Struct

from foretell.service.declaration import Key, keys
from foretell.service.delivery import Column, Delivery
from foretell.service.kinds import PLATFORMS, WAREHOUSES
from foretell.service.model import Action, AirflowSettings, Image, Service, Source, Target
from foretell.service.times import Times

TABLES = (Service, Source, Action, AirflowSettings, Delivery, Column, Image, Target, Times)
"""What foretell.toml is made of, but for the settings of platforms and warehouses."""

REQUIRED = " Default: none, it is required."
ANY_VALUE: dict[str, object] = {"type": ["string", "number", "boolean", "array", "object"]}


def schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of foretell.toml, for editors."""
    platforms, warehouses = PLATFORMS.all().values(), WAREHOUSES.all().values()
    kinds: list[type] = [*TABLES, *platforms, *warehouses]
    types = {(kind, key.name): key.type for kind in kinds for key in keys(kind).values()}
    found, _ = msgspec.json.schema_components(
        types.values(), schema_hook=lambda _free: ANY_VALUE, ref_template="#/$defs/{name}"
    )
    said = dict(zip(types, found, strict=True))
    # What a kind of platform or warehouse takes is known here, not to the table that it stands in.
    said[Target, "platform"] |= _one_of(platforms)
    said[Target, "actions"]["additionalProperties"] = _one_of(platforms)
    said[Target, "warehouse"] |= _one_of(warehouses)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "foretell.toml",
        "$ref": f"#/$defs/{Service.__name__}",
        # What must be there may also stand in the file that is extended, so only the name is asked for.
        "anyOf": [{"required": ["name"]}, {"required": ["extends"]}],
        "$defs": {
            kind.__name__: _table(kind, {name: said[kind, name] for name in keys(kind)}) for kind in kinds
        },
    }


def _one_of(kinds: Iterable[type]) -> dict[str, object]:
    return {"type": "object", "anyOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds]}


def _table(kind: type[Struct], said: dict[str, dict[str, object]]) -> dict[str, object]:
    tag = kind.__struct_config__.tag
    own = {} if tag is None else {"kind": {"enum": [tag]}}
    return {
        "type": "object",
        "description": dedent(kind.__doc__ or "").strip().partition("\n\n")[0],
        "properties": own | {name: _property(key, said[name]) for name, key in keys(kind).items()},
        "additionalProperties": False,
    }


def _property(key: Key, said: dict[str, object]) -> dict[str, object]:
    described = {"description": key.description + REQUIRED} if key.is_required else {}
    default = {} if key.default is None else {"default": key.default}
    return _without_null(said) | described | default


def _without_null(schema: dict[str, object]) -> dict[str, object]:
    """Leave null out: TOML has none, and a key without a value is one that is not there."""
    options = schema.get("anyOf")
    if isinstance(options, list):
        options = [option for option in options if option != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        schema = {**rest, **options[0]} if len(options) == 1 else {**rest, "anyOf": options}
    return schema
