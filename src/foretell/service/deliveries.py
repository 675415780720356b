"""The delivery of an action: which file becomes rows of which table, with every column resolved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from foretell.service.discovery import inside
from foretell.service.form import ColumnTable, DeliveryTable
from foretell.service.model import RESERVED, TYPES, Action, Column, Delivery, Granularity, Target
from foretell.service.positions import KeyPath
from foretell.service.problems import Faults, suggestion

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


def delivery(table: DeliveryTable, path: KeyPath, faults: Faults, *, has_inputs: bool) -> Delivery:
    """Resolve a delivery; what is wrong becomes faults."""
    if table.file is None:
        faults.missing(
            (*path, "file"), 'missing key "file": the file in the output directory that is delivered'
        )
    else:
        inside(table.file, (*path, "file"), faults, below="the output directory")
    if not TABLE.fullmatch(table.table):
        faults.add(
            (*path, "table"),
            f'bad table name "{table.table}"; write "name" or "dataset.name" of A-Z, a-z, 0-9, _',
        )
    columns = _columns(table, path, faults)
    if not has_inputs:
        _no_model(columns, path, faults)
    _tell_unclustered(table, columns, (*path, "cluster"), faults)
    _tell_no_cells(table.null, (*path, "null"), faults)
    plain = Delivery(
        file=table.file or "",
        table=table.table,
        columns=columns,
        mode=table.mode,
        cluster=table.cluster,
        description=table.description,
        null=tuple(dict.fromkeys(text for text in table.null if text)),
        extra=table.extra,
    )
    return _partitioned(plain, table, path, faults)


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
                        f'the table "{name}" is delivered by [actions.{other}] too; give each its own',
                    )


def _names(delivery: Delivery | None, target: Target) -> list[str]:
    if delivery is None:
        return []
    name = delivery.table if "." in delivery.table else f"{target.warehouse.dataset}.{delivery.table}"
    return [name, f"{name}_latest"] if delivery.mode == "partition" else [name]


def _columns(table: DeliveryTable, path: KeyPath, faults: Faults) -> tuple[Column, ...]:
    key = (*path, "columns")
    if not table.columns:
        without = "a run without this table ends with the line for what it wrote"
        faults.missing(key, f'missing key "columns": write "customer_id:STRING,label:BOOL"; {without}')
        return ()
    if isinstance(table.columns, str):
        listed = list(_listed(table.columns, key, faults))
    else:
        listed = [(name, _told(value), (*key, name)) for name, value in table.columns.items()]
    _tell_twins([name for name, _, _ in listed], key, faults)
    return tuple(_column(name, told, place, faults) for name, told, place in listed)


def _told(value: str | ColumnTable) -> ColumnTable:
    return ColumnTable(type=value) if isinstance(value, str) else value


def _listed(text: str, key: KeyPath, faults: Faults) -> Iterable[tuple[str, ColumnTable, KeyPath]]:
    """Read "customer_id:STRING,label:BOOL"; a comma inside of parentheses does not part columns."""
    for piece in re.split(r",(?![^(]*\))", text.strip().removesuffix(",")):
        name, colon, kind = (part.strip() for part in piece.partition(":"))
        if name and colon and kind:
            yield name, ColumnTable(type=kind), key
        else:
            faults.add(key, f'bad column "{piece.strip()}"; write name:TYPE, parted by commas')


def _tell_twins(names: list[str], key: KeyPath, faults: Faults) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            faults.add(
                (*key, name),
                f'the column "{name}" is there twice; a warehouse does not tell upper from lower case',
            )
        seen.add(name.lower())


def _column(name: str, told: ColumnTable, path: KeyPath, faults: Faults) -> Column:
    if not COLUMN.fullmatch(name):
        mend = 'write one of A-Z, a-z, 0-9, _ and name the column of the file by "from"'
        faults.add(path, f'bad column name "{name}"; {mend}')
    elif RESERVED.match(name):
        mend = 'write another and name the column of the file by "from"'
        faults.add(path, f'BigQuery keeps the column name "{name}" for itself; {mend}')
    if told.type is None:
        faults.missing((*path, "type"), f'the column "{name}" has no "type"{suggestion("", CANONICAL)}')
    kind = CANONICAL.get((told.type or "STRING").upper())
    if kind is None:
        why = suggestion(told.type or "", CANONICAL)
        faults.add((*path, "type"), f'the column "{name}" has the unknown type "{told.type}"{why}')
    source = name if told.from_ is None else told.from_
    if source.startswith("@"):
        _tell_constant(source, kind, path, faults)
    return Column(
        name=name, type=kind or "STRING", mode=told.mode, source=source, description=told.description
    )


def _tell_constant(source: str, kind: str | None, path: KeyPath, faults: Faults) -> None:
    holding = CONSTANTS.get(source)
    if holding is None:
        faults.add((*path, "from"), f'unknown source "{source}"{suggestion(source, CONSTANTS)}')
    elif kind and kind not in holding:
        faults.add((*path, "type"), f'"{source}" needs the type {" or ".join(sorted(holding))}, not {kind}')


def _tell_unclustered(table: DeliveryTable, columns: Iterable[Column], key: KeyPath, faults: Faults) -> None:
    """Tell of columns that a table cannot be clustered by."""
    types = {column.name: column.type for column in columns} | (
        {table.partition: "DATE"} if table.partition else {}
    )
    for name in table.cluster:
        if name not in types:
            faults.add(key, f'there is no column "{name}"{suggestion(name, types)}')
        elif types[name] not in CLUSTERING:
            faults.add(key, f'BigQuery clusters by no {types[name]} column: "{name}"')


def _tell_no_cells(texts: Iterable[str], key: KeyPath, faults: Faults) -> None:
    """Tell of texts that cannot be a whole cell of CSV without quotes around it."""
    for text in texts:
        if re.search('[,\t\r\n"\0]', text):
            faults.add(
                key,
                f"{json.dumps(text)} is never a whole cell without quotes, and a quoted cell is always a value",
            )


def _no_model(columns: Iterable[Column], path: KeyPath, faults: Faults) -> None:
    for column in columns:
        if column.source == "@model":
            key = (*path, "columns", column.name, "from")
            faults.add(key, '"@model" is the run of the first input, and this action has no "inputs"')


def _partitioned(delivery: Delivery, table: DeliveryTable, path: KeyPath, faults: Faults) -> Delivery:
    """Add what mode "partition" needs; tell what the other modes have no use for."""
    if table.mode != "partition":
        for key in ("partition", "granularity"):
            if getattr(table, key) is not None:
                faults.add((*path, key), f'"{key}" is only for mode = "partition"')
        return delivery
    if table.partition is None:
        faults.missing(
            (*path, "partition"), 'mode "partition" needs the key "partition": the name of a column'
        )
        return delivery
    granularity = table.granularity or "day"
    wanted = PARTITION_TYPES[granularity]
    declared = next((c for c in delivery.columns if c.name == table.partition), None)
    columns = delivery.columns
    if declared is None:
        added = ColumnTable(type=wanted, from_="@date")
        columns = (*columns, _column(table.partition, added, (*path, "partition"), faults))
        _tell_twins([column.name for column in columns], (*path, "partition"), faults)
    elif declared.type != wanted:
        fault = (
            f'granularity "{granularity}" needs a {wanted} column, and "{declared.name}" is {declared.type}'
        )
        faults.add((*path, "partition"), fault)
    return replace(delivery, columns=columns, partition=table.partition, granularity=granularity)
