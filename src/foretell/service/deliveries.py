"""The delivery of an action: which file becomes rows of which table, with every column resolved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from foretell.service.delivery import RESERVED, TYPES, Column, Delivery, Granularity
from foretell.service.discovery import inside
from foretell.service.model import Action, Target
from foretell.service.positions import KeyPath
from foretell.service.problems import Faults, suggestion
from foretell.service.reader import Given

COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
TABLE = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]{0,127}\.)?[A-Za-z_][A-Za-z0-9_]{0,127}")

CANONICAL: dict[str, str] = {
    name: next(first for first in TYPES if TYPES[first] == TYPES[name]) for name in TYPES
}
"""Every type name, and the one that stands for its synonyms."""

CONSTANTS: dict[str, frozenset[str]] = {
    "@date": frozenset({"DATE", "DATETIME", "TIMESTAMP", "STRING"}),
    "@run": frozenset({"STRING"}),
    "@model": frozenset({"STRING"}),
}
"""What a column can be taken from besides the file, and the types that can hold it."""

CLUSTERING = frozenset({"STRING", "INT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "DATETIME", "TIMESTAMP"})
"""Types that BigQuery can cluster by."""

PARTITION_TYPES: dict[Granularity, str] = {"day": "DATE", "month": "DATE", "hour": "TIMESTAMP"}


def delivery(given: Given, path: KeyPath, faults: Faults, *, has_inputs: bool) -> Delivery:
    """Resolve a delivery; what is wrong becomes faults."""
    columns = _columns(given.get("columns"), (*path, "columns"), faults)
    found = Delivery(**{"file": "", **given, "columns": columns})
    if "file" not in given:
        faults.missing((*path, "file"), 'missing key "file": the file in the output directory to deliver')
    else:
        inside(found.file, (*path, "file"), faults, below="the output directory")
    if not TABLE.fullmatch(found.table):
        faults.add(
            (*path, "table"),
            f'bad table name "{found.table}"; write "name" or "dataset.name", with A-Z, a-z, 0-9 and _',
        )
    if not has_inputs:
        _no_model(columns, path, faults)
    _tell_unclustered(found, (*path, "cluster"), faults)
    _tell_no_cells(found.null, (*path, "null"), faults)
    found = replace(found, null=tuple(dict.fromkeys(text for text in found.null if text)))
    if found.mode == "partition":
        return _partitioned(found, path, faults)
    for key in ("partition", "granularity"):
        if key in given:
            faults.add((*path, key), f'"{key}" is only allowed with mode = "partition"')
    return found


def one_table_each(actions: Mapping[str, Action], targets: Mapping[str, Target], faults: Faults) -> None:
    """Tell where two deliveries would go to one table (or to the view of another's), on whatever target."""
    for target in targets.values():
        taken: dict[str, str] = {}
        for action in actions.values():
            for name in _names(action.delivery, target):
                other = taken.setdefault(name.lower(), action.name)
                if other != action.name:
                    key = ("actions", action.name, "delivery", "table")
                    faults.add(
                        key,
                        f'the table "{name}" is also the table of [actions.{other}]; give each action its own',
                    )


def _names(delivery: Delivery | None, target: Target) -> list[str]:
    if delivery is None:
        return []
    name = delivery.table if "." in delivery.table else f"{target.warehouse.dataset}.{delivery.table}"
    return [name, f"{name}_latest"] if delivery.mode == "partition" else [name]


def _columns(given: str | dict[str, str | Given] | None, key: KeyPath, faults: Faults) -> tuple[Column, ...]:
    if not given:
        without = "or remove this table and run once: the run prints the line that fits its output"
        faults.missing(key, f'missing key "columns": write "customer_id:STRING,label:BOOL"; {without}')
        return ()
    if isinstance(given, str):
        listed = list(_listed(given, key, faults))
    else:
        listed = [
            (name, {"type": value} if isinstance(value, str) else value, (*key, name))
            for name, value in given.items()
        ]
    _tell_twins([name for name, _, _ in listed], key, faults)
    return tuple(_column(name, told, place, faults) for name, told, place in listed)


def _listed(text: str, key: KeyPath, faults: Faults) -> Iterable[tuple[str, Given, KeyPath]]:
    """Read "customer_id:STRING,label:BOOL"; a comma inside of parentheses does not part columns."""
    for piece in re.split(r",(?![^(]*\))", text.strip().removesuffix(",")):
        name, colon, kind = (part.strip() for part in piece.partition(":"))
        if name and colon and kind:
            yield name, {"type": kind}, key
        else:
            faults.add(key, f'bad column "{piece.strip()}"; write name:TYPE, separated by commas')


def _tell_twins(names: list[str], key: KeyPath, faults: Faults) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            faults.add(
                (*key, name),
                f'duplicate column "{name}"; a warehouse ignores upper and lower case',
            )
        seen.add(name.lower())


def _column(name: str, given: Given, path: KeyPath, faults: Faults) -> Column:
    column = Column(**{"name": name, "type": "STRING", "source": name, **given})
    if not COLUMN.fullmatch(name):
        mend = 'use A-Z, a-z, 0-9 and _, and name the column of the file with "from"'
        faults.add(path, f'bad column name "{name}"; {mend}')
    elif RESERVED.match(name):
        mend = 'choose another, and name the column of the file with "from"'
        faults.add(path, f'BigQuery reserves the column name "{name}"; {mend}')
    if "type" not in given:
        faults.missing((*path, "type"), f'the column "{name}" has no "type"{suggestion("", CANONICAL)}')
    kind = CANONICAL.get(column.type.upper())
    if kind is None:
        why = suggestion(column.type, CANONICAL)
        faults.add((*path, "type"), f'the column "{name}" has the unknown type "{column.type}"{why}')
    if column.source.startswith("@"):
        _tell_constant(column.source, kind, path, faults)
    return replace(column, type=kind or "STRING")


def _tell_constant(source: str, kind: str | None, path: KeyPath, faults: Faults) -> None:
    holding = CONSTANTS.get(source)
    if holding is None:
        faults.add((*path, "from"), f'unknown source "{source}"{suggestion(source, CONSTANTS)}')
    elif kind and kind not in holding:
        faults.add((*path, "type"), f'"{source}" needs the type {" or ".join(sorted(holding))}, not {kind}')


def _tell_unclustered(delivery: Delivery, key: KeyPath, faults: Faults) -> None:
    """Tell of columns that a table cannot be clustered by."""
    types = {column.name: column.type for column in delivery.columns} | (
        {delivery.partition: "DATE"} if delivery.partition else {}
    )
    for name in delivery.cluster:
        if name not in types:
            faults.add(key, f'there is no column "{name}"{suggestion(name, types)}')
        elif types[name] not in CLUSTERING:
            faults.add(key, f'BigQuery cannot cluster by the column "{name}" of type {types[name]}')


def _tell_no_cells(texts: Iterable[str], key: KeyPath, faults: Faults) -> None:
    """Tell of texts that cannot be a whole cell of CSV without quotes around it."""
    for text in texts:
        if re.search('[,\t\r\n"\0]', text):
            faults.add(
                key,
                f"{json.dumps(text)} can never be a whole unquoted cell, and a quoted cell is always a value",
            )


def _no_model(columns: Iterable[Column], path: KeyPath, faults: Faults) -> None:
    for column in columns:
        if column.source == "@model":
            key = (*path, "columns", column.name, "from")
            faults.add(key, '"@model" is the run of the first input, and this action has no "inputs"')


def _partitioned(delivery: Delivery, path: KeyPath, faults: Faults) -> Delivery:
    """Add the column that mode "partition" needs, where it is not declared."""
    if delivery.partition is None:
        faults.missing(
            (*path, "partition"), 'mode "partition" needs the key "partition": the name of a column'
        )
        return delivery
    wanted = PARTITION_TYPES[delivery.granularity]
    declared = next((c for c in delivery.columns if c.name == delivery.partition), None)
    columns = delivery.columns
    if declared is None:
        added = {"type": wanted, "source": "@date"}
        columns = (*columns, _column(delivery.partition, added, (*path, "partition"), faults))
        _tell_twins([column.name for column in columns], (*path, "partition"), faults)
    elif declared.type != wanted:
        why = f'needs a {wanted} column, and "{declared.name}" is {declared.type}'
        faults.add((*path, "partition"), f'granularity "{delivery.granularity}" {why}')
    return replace(delivery, columns=columns)
