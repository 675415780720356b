"""From a cell of a file to a value of a declared column: the SQL for both, and for what is wrong between them."""

from __future__ import annotations

import re

from msgspec import Struct

from foretell.delivery.declaration import entry
from foretell.delivery.files import Cell, FileSource, listed, shown
from foretell.delivery.rules import RULES, WIDENINGS
from foretell.delivery.sql import literal
from foretell.errors import DeliveryRejectedError
from foretell.service.delivery import TYPES, Column, Delivery

INEXACT = re.compile(r'BLOB|HUGEINT|DECIMAL\((?:1[6-9]|[23]\d)|TUPLE|(?:\(|, )"" ')
"""Types that DuckDB (2.0) puts into JSON as something else, rounded, or not at all where a field has no name."""


class Contract(Struct, frozen=True, kw_only=True):
    """The declaration, with the run's values of @date, @run, @model and its partition."""

    delivery: Delivery
    constants: dict[str, str | None]
    partition: str | None
    texts: frozenset[str] = frozenset()


class Conversion(Struct, frozen=True):
    """
    How a cell becomes a value: SQL for its text (or what it is instead of text), for the value, and for faults.

    `value` is over {text} where the text decides, and `sound`, which holds for what is of the type, over {text} and
    {value}; it is empty where every value is. `nested` holds for an object of JSON that is to be a text. `more` are
    further faults of a value, as WHEN … THEN over {value}.
    """

    text: str
    value: str
    sound: str = ""
    nested: str = ""
    more: tuple[str, ...] = ()

    @property
    def alike(self) -> tuple[str, str] | None:
        """What columns have in common that can be looked at as one; None where this one is by itself."""
        return (self.value, self.sound) if "{text}" in self.value and self.sound and not self.more else None

    def cells(self, place: int) -> str:
        """Return the step's part of a select list over the file: its text as tN, its value as vN."""
        nested = f", {self.nested} AS n{place}" if self.nested else ""
        value = self.value.replace("{text}", self.text)
        return f"{self.text} AS t{place}, {value} AS v{place}{nested}"

    def fault(self, place: int) -> str:
        """Return SQL over these cells that tells what is wrong, "type", "null", …; empty where nothing can be."""
        whens = [f"WHEN n{place} THEN 'nested'"] if self.nested else []
        if self.sound:
            whens.append(f"WHEN {self.unsound(f't{place}', f'v{place}')} THEN 'type'")
        whens += [each.replace("{value}", f"v{place}") for each in self.more]
        return f"CASE {' '.join(whens)} END" if whens else ""

    def unsound(self, text: str, value: str) -> str:
        """Return SQL that holds where this text is no value."""
        sound = self.sound.replace("{text}", text).replace("{value}", value)
        return f"{text} IS NOT NULL AND NOT ({value} IS NOT NULL AND {sound})"


def steps(contract: Contract, source: FileSource) -> list[Conversion]:
    """Return the step of each declared column; DeliveryRejectedError where the file has other columns, or no such."""
    return [
        _step(contract, source, column, cell)
        for column, cell in zip(contract.delivery.columns, _matched(contract, source), strict=True)
    ]


def _step(contract: Contract, source: FileSource, column: Column, cell: Cell) -> Conversion:
    kind = TYPES[column.type]
    found, value = _read(source, column, cell)
    nested = cell.type == "JSON" and kind == "VARCHAR"
    required = ("WHEN {value} IS NULL THEN 'null'",) if column.mode == "REQUIRED" else ()
    return Conversion(
        found,
        value,
        _sound(cell, kind),
        f"json_type({cell.sql}) IN ('OBJECT', 'ARRAY')" if nested else "",
        (*required, *_in_partition(contract, column)),
    )


def _read(source: FileSource, column: Column, cell: Cell) -> tuple[str, str]:
    """Return SQL for the text of a cell, or what it is instead of text, and for its value, over {text} if by that."""
    kind = TYPES[column.type]
    if kind == "JSON" and cell.type == "JSON":  # a JSON null is meant as no value
        there = f"json_type({cell.sql}) <> 'NULL'"
        return (
            f"CASE WHEN {there} THEN CAST({cell.sql} AS VARCHAR) END",
            f"CASE WHEN {there} THEN TRY_CAST({cell.document} AS JSON) END",
        )
    if cell.type == kind:
        return cell.sql, cell.sql
    found = cell.sql if cell.type in WIDENINGS.get(kind, ()) else _text(source, column, cell)
    if kind == "BLOB":
        return found, "TRY(from_base64({text}))"
    return found, f"TRY_CAST({{text}} AS {kind})"


def _sound(cell: Cell, kind: str) -> str:
    """Return SQL over {text} and {value} that holds for a value; empty where every one is."""
    rule = RULES[kind]
    guard = "true" if cell.type in {kind, *WIDENINGS.get(kind, ())} and kind != "JSON" else rule.guard
    parts = [f"({part})" for part in (guard, rule.within) if part != "true"]
    certain = kind in {cell.type, "VARCHAR"}  # text is text, and what has the type already is of the type
    return "" if certain and not parts else " AND ".join(parts) or "true"


def _in_partition(contract: Contract, column: Column) -> list[str]:
    """A delivery replaces its partition and nothing else: a row of another one would stay for ever."""
    if contract.partition is None or column.name != contract.delivery.partition:
        return []
    start = f"date_trunc('{contract.delivery.granularity}', {{value}})"
    partition = f"CAST({literal(contract.partition)} AS {TYPES[column.type]})"
    return [f"WHEN {start} IS DISTINCT FROM {partition} THEN 'partition'"]


def _text(source: FileSource, column: Column, cell: Cell) -> str:
    """Return the text of a cell, so that every format obeys the rules of CSV."""
    kind = TYPES[column.type]
    nested = cell.type.startswith(("STRUCT", "MAP", "UNION", "VARIANT", "TUPLE")) or cell.type.endswith("]")
    if cell.type == "BLOB" or (nested and (kind != "JSON" or INEXACT.search(cell.type))):
        declared = "declare JSON" if nested and kind != "JSON" else "declare BYTES"
        raise DeliveryRejectedError(
            f'column "{column.source}" of "{source.files[0].name}" has the type {shown(cell.type)}, not {column.type}',
            hint=f"convert it before writing{'' if nested and kind == 'JSON' else f', or {declared}'}",
        )
    if nested:
        return f"CAST(to_json({cell.sql}) AS VARCHAR)"
    if cell.type == "JSON":
        by_digits = kind in {"VARCHAR", "BLOB"} or kind.startswith("DECIMAL")
        return cell.digits if by_digits else cell.text
    if cell.type == "FLOAT" and kind.startswith("DECIMAL"):  # its shortest text is that of another number
        return f"CAST(CAST({cell.sql} AS DOUBLE) AS VARCHAR)"
    return f"CAST({cell.sql} AS VARCHAR)"


def _matched(contract: Contract, source: FileSource) -> list[Cell]:
    """Return each declared column's cell, by name; refuse a file that lacks one or has others."""
    declared = contract.delivery.columns
    wanted = dict.fromkeys(column.source for column in declared if column.source not in contract.constants)
    columns = {**source.path, **source.columns}
    missing = [name for name in wanted if name not in columns]
    extra = [name for name in source.columns if name not in wanted and name not in source.index]
    if missing or (extra and contract.delivery.extra == "refuse"):
        raise _other_columns(contract, source, missing, extra)
    constants = contract.constants
    return [
        _constant(contract, column) if column.source in constants else columns[column.source]
        for column in declared
    ]


def _constant(contract: Contract, column: Column) -> Cell:
    value = contract.constants[column.source]
    if value is None:
        return Cell("CAST(NULL AS VARCHAR)")
    if column.source == "@date":
        partition = contract.partition if column.name == contract.delivery.partition else None
        # The day alone, but where the column has room for the time, and for the offset.
        ends = {"TIMESTAMP": len("2026-11-21T06:00:00"), "TIMESTAMP WITH TIME ZONE": None}
        value = (partition or value)[: ends.get(TYPES[column.type], len("2026-11-21"))]
    return Cell(literal(value))


def _other_columns(
    contract: Contract, source: FileSource, missing: list[str], extra: list[str]
) -> DeliveryRejectedError:
    name, constants = source.files[0].name, contract.constants
    declared = [column.source for column in contract.delivery.columns if column.source not in constants]
    parts = [f"declared: {listed(declared)}", f"in the file: {listed(list(source.columns))}"]
    parts += [f"missing: {listed(missing)}"] if missing else []
    parts += [f"not declared: {listed(extra)}"] if extra else []
    return DeliveryRejectedError(
        f'the columns of "{name}" differ from the declared ones',
        why="; ".join(parts),
        hint=_mending(source, contract.delivery.columns, missing, extra),
    )


def _mending(source: FileSource, columns: tuple[Column, ...], missing: list[str], extra: list[str]) -> str:
    """Return what mends columns that are not the declared ones."""
    hints = []
    names = list(source.columns)
    if "" in extra and names.index("") == len(names) - 1 and len(names) > 1:
        hints.append("the header ends with a delimiter: remove it at the end of every line")
    elif "" in extra:
        hints.append(
            "the column without a name is the index of a pandas data frame: write with to_csv(..., index=False)"
        )
    if len(names) == 1 and (other := re.search("[;|\t,]", names[0])):
        sep, between = {".tsv": ("\\t", "tabs")}.get(source.files[0].suffix, (",", "commas"))
        hints.append(f'it has {shown(other[0])} between its fields: write {between} (in pandas: sep="{sep}")')
    elif len(missing) == len(extra) == 1:
        mended = ", ".join(
            entry(column, extra[0] if column.source in missing else column.source) for column in columns
        )
        hints.append(f"if {shown(extra[0])} is meant: columns = {{{mended}}}")
    elif not hints:
        hints.append("write exactly the declared columns, or change `columns` in the action's delivery")
    if extra and not missing:
        hints.append('extra = "ignore" skips columns that are not declared')
    return "; ".join(hints)
