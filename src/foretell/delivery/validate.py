"""
The contract of a delivery: what the model wrote, matched by column name, checked strictly, kept as Parquet.

One pass of DuckDB reads, checks and writes. Only when it fails does a second, slower one look for the first
fault, by the same conditions, so that the message can name file, row, column and value.

What counts as a value: an empty CSV field is NULL, a quoted empty one is the empty string. Text must be of its
type as it stands: "3.0" is not INT64, BOOL is true/false, t/f or 1/0 in any case, FLOAT64 may be nan and inf,
a TIMESTAMP without offset is UTC, BYTES are base64. Nothing is ever rounded or cut.
"""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct
from msgspec.structs import replace

from foretell.delivery.csv_files import count_records, refuse_closing_delimiter
from foretell.delivery.declaration import entry
from foretell.delivery.files import Cell, Connection, File, Source, broken, listed, shown, unreadable
from foretell.delivery.formats import find, open_all
from foretell.delivery.rules import RULES, WIDENINGS
from foretell.delivery.rules import hint as hint_of
from foretell.delivery.sql import duckdb, identifier, literal, paths
from foretell.errors import DeliveryRejectedError, ForetellError
from foretell.service import TYPES, Column, Delivery

INEXACT = re.compile(r'BLOB|HUGEINT|DECIMAL\((?:1[6-9]|[23]\d)|TUPLE|(?:\(|, )"" ')
"""Types that DuckDB (2.0) puts into JSON as something else, rounded, or not at all where a field has no name."""


class Checked(Struct, frozen=True, kw_only=True):
    """The checked rows: Parquet files of exactly the declared columns, in their types and order, and how many."""

    files: tuple[Path, ...]
    rows: int


class Contract(Struct, frozen=True, kw_only=True):
    """The declaration, with the run's values of @date, @run, @model and its partition."""

    delivery: Delivery
    constants: dict[str, str | None]
    partition: str | None
    texts: frozenset[str] = frozenset()


def check(  # noqa: PLR0913 - what is known of a run has no name of its own here
    delivery: Delivery,
    output: Path,
    into: Path,
    *,
    date: str,
    run: str,
    model: str | None = None,
    partition: str | None = None,
    connection: Connection | None = None,
    texts: frozenset[str] = frozenset(),
) -> Checked:
    """
    Check what the command wrote in the directory `output`; write the rows into the directory `into`.

    `date` is the run's date in the service's time zone (ISO, a day or with time and offset), `run` its id,
    `model` the run id of its first input, `partition` as in Shipment. `connection` is what `desk` gave, if that was
    asked before. `texts` are the types whose checked values are written as their text. Raises DeliveryRejectedError
    at the first fault in the order of files, rows and declared columns, WarehouseError where this machine has no room
    for the work.
    """
    constants = {"@date": date, "@run": run, "@model": model}
    contract = Contract(delivery=delivery, constants=constants, partition=partition, texts=texts)
    files = find(delivery.file, output)
    with connection or desk(into) as opened, TemporaryDirectory(dir=into) as work:
        sources = open_all(opened, files, Path(work), null=delivery.null) or [_nothing(delivery, files[0])]
        parts = tuple(into / f"{number:06d}.parquet" for number in range(len(sources)))
        rows = [_write(opened, contract, *pair) for pair in zip(sources, parts, strict=True)]
    return Checked(files=parts, rows=sum(rows))


def desk(into: Path, *, memory: str | None = None) -> Connection:
    """
    Open what `check` works with, which takes some time and can be done before there is anything to check.

    `memory` is DuckDB's limit ("1GB"); what exceeds it is spilled to `into`.
    """
    into.mkdir(parents=True, exist_ok=True)
    config: dict[str, str | bool | int | float | list[str]] = {"temp_directory": str(into / "spill")}
    if memory:
        config["memory_limit"] = memory
    connection = duckdb.connect(config=config)
    connection.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
    return connection


def _nothing(delivery: Delivery, file: File) -> Source:
    """Return a source of the declared columns and no rows."""
    columns = {column.source: Cell("CAST(NULL AS VARCHAR)") for column in delivery.columns}
    return Source((file,), "(SELECT 1 WHERE false)", columns)


def _write(connection: Connection, contract: Contract, source: Source, part: Path) -> int:
    """Check and write the rows of a source in one pass; give their number."""
    cells, faults = conversion(contract, source)
    values = ", ".join(
        f"CASE WHEN ({fault}) IS NULL THEN {_written(contract, column, f'v{place}')} ELSE error('fault') END"
        f" AS {identifier(column.name)}"
        for place, (column, fault) in enumerate(zip(contract.delivery.columns, faults, strict=True))
    )
    rows = f"SELECT {values} FROM (SELECT {cells} FROM {source.over(source.files)})"
    try:
        count = _copy(connection, rows, part)
    except duckdb.Error as error:
        if source.roomy and "Maximum line size" in str(error):
            return _write(connection, contract, replace(source, relation=source.roomy, roomy=""), part)
        raise _first_fault(connection, contract, source, error) from error
    _all_read(connection, contract, source, part, count)
    _none_too_many(connection, source)
    return count


def _written(contract: Contract, column: Column, value: str) -> str:
    return f"CAST({value} AS VARCHAR)" if column.type in contract.texts else value


def _copy(connection: Connection, rows: str, part: Path) -> int:
    copy = f"COPY ({rows}) TO {literal(part)} (FORMAT parquet)"
    try:
        ((count,),) = connection.execute(copy).fetchall()
    except duckdb.OutOfMemoryException:
        connection.execute("SET threads = 1")  # each thread fills buffers of its own
        ((count,),) = connection.execute(copy).fetchall()
    return int(count)


def _all_read(connection: Connection, contract: Contract, source: Source, part: Path, count: int) -> None:
    """See that every line of CSV became a row or part of a value; where that is not plain, count again."""
    if source.lines in (None, count):
        return
    names = {
        each.source: identifier(each.name)
        for each in contract.delivery.columns
        if each.source in source.columns
    }
    breaks = " + ".join(
        f"sum(length({text}) - length(replace({text}, chr(10), '')))"
        for text in (f"coalesce(CAST({name} AS VARCHAR), '')" for name in names.values())
    )
    ((inside,),) = connection.execute(f"SELECT {breaks} FROM read_parquet({paths([part])})").fetchall()
    if count + (inside or 0) == source.lines:
        return
    records = count_records(source.files)
    if records != count:
        raise unreadable(source.files[0], why=f"{records} records are there, and {count} rows were read")


def _none_too_many(connection: Connection, source: Source) -> None:
    """See that lines of CSV which end after a delimiter do so for want of their last value."""
    if source.closing:
        last = list(source.columns.values())[-1].sql
        empty = f"SELECT count(*) FROM {source.over(source.files)} WHERE {last} IS NULL"
        ((ends,),) = connection.execute(empty).fetchall()
        if source.closing > ends:
            refuse_closing_delimiter(source.files, len(source.columns))


def _first_fault(
    connection: Connection, contract: Contract, source: Source, error: duckdb.Error
) -> ForetellError:
    """Find the row that made the pass fail: the first in the order of the files, which only one thread keeps."""
    if isinstance(error, duckdb.FatalException):
        return broken(source.files[0], error)  # the connection is of no more use
    connection.execute("SET threads = 1")
    cells, faults = conversion(contract, source)
    told = ", ".join(f"{fault} AS f{place}" for place, fault in enumerate(faults))
    told += "".join(f", CAST(t{place} AS VARCHAR)" for place in range(len(faults)))
    any_fault = " OR ".join(f"f{place} IS NOT NULL" for place in range(len(faults)))
    for file in source.files:
        rows = f"SELECT row_number() OVER () AS row, {cells} FROM {source.over([file])}"
        bad = f"SELECT row, {told} FROM ({rows}) WHERE {any_fault} ORDER BY row LIMIT 1"
        try:
            row = connection.execute(bad).fetchone()
        except duckdb.Error as reading:
            return broken(file, reading)
        if row:
            return _told(contract, file, row)
    return broken(source.files[0], error)


def _told(contract: Contract, file: File, row: tuple[object, ...]) -> DeliveryRejectedError:
    """Tell the first fault of a row, which is its number, then each column's fault, then each column's text."""
    columns = contract.delivery.columns
    number, faults, texts = row[0], row[1 : len(columns) + 1], row[len(columns) + 1 :]
    column, fault, text = next(each for each in zip(columns, faults, texts, strict=True) if each[1])
    renamed = column.source not in (column.name, *contract.constants)
    origin = f' (in the file "{column.source}")' if renamed else ""
    what, hint = {
        "null": (f'column "{column.name}" is REQUIRED and has no value', "fill it, or declare it NULLABLE"),
        "type": (
            f'{shown(text)} in column "{column.name}" is not {column.type}',
            hint_of(TYPES[column.type], str(text)),
        ),
        "nested": (
            f'{shown(text)} in column "{column.name}" is JSON, not {column.type}',
            "write it as text, or declare JSON",
        ),
        "partition": (
            f'{shown(text)} in column "{column.name}" is not in the run\'s partition, {contract.partition}',
            "leave the column out of the file, and it is filled with the run's date",
        ),
    }[str(fault)]
    where = f'row {number} of "{file.name}", column "{column.name}"{origin}'
    return DeliveryRejectedError(what, where=where, hint=hint)


def conversion(contract: Contract, source: Source) -> tuple[str, list[str]]:
    """
    Give the SQL that both passes share.

    A select list of each declared column's text tN and value vN; and, over them, what is wrong with each: NULL
    where nothing is, else "type", "null" or "partition".
    """
    cells, faults = [], []
    matched = zip(contract.delivery.columns, _matched(contract, source), strict=True)
    for place, (column, cell) in enumerate(matched):
        kind, text, value = TYPES[column.type], f"t{place}", f"v{place}"
        found, cast = _read(source, column, cell)
        cells.append(f"{found} AS {text}, {cast} AS {value}")
        whens = []
        if cell.type == "JSON" and kind == "VARCHAR":
            cells.append(f"json_type({cell.sql}) IN ('OBJECT', 'ARRAY') AS n{place}")
            whens += [f"WHEN n{place} THEN 'nested'"]
        if sound := _sound(cell, kind):
            sound = sound.replace("{text}", text).replace("{value}", value)
            whens += [f"WHEN {text} IS NOT NULL AND NOT ({value} IS NOT NULL AND {sound}) THEN 'type'"]
        whens += [f"WHEN {value} IS NULL THEN 'null'"] if column.mode == "REQUIRED" else []
        whens += _in_partition(contract, column, value)
        faults.append(f"CASE {' '.join(whens)} END" if whens else "CAST(NULL AS VARCHAR)")
    return ", ".join(cells), faults


def _read(source: Source, column: Column, cell: Cell) -> tuple[str, str]:
    """Return SQL for the text of a cell, or what it is instead of text, and for its value."""
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
        return found, f"TRY(from_base64({found}))"
    return found, f"TRY_CAST({found} AS {kind})"


def _sound(cell: Cell, kind: str) -> str:
    """Return SQL over {text} and {value} that holds for a value; empty where every one is."""
    rule = RULES[kind]
    guard = "true" if cell.type in {kind, *WIDENINGS.get(kind, ())} and kind != "JSON" else rule.guard
    parts = [f"({part})" for part in (guard, rule.within) if part != "true"]
    certain = kind in {cell.type, "VARCHAR"}  # text is text, and what has the type already is of the type
    return "" if certain and not parts else " AND ".join(parts) or "true"


def _in_partition(contract: Contract, column: Column, value: str) -> list[str]:
    """A delivery replaces its partition and nothing else: a row of another one would stay for ever."""
    if contract.partition is None or column.name != contract.delivery.partition:
        return []
    start = f"date_trunc('{contract.delivery.granularity}', {value})"
    partition = f"CAST({literal(contract.partition)} AS {TYPES[column.type]})"
    return [f"WHEN {start} IS DISTINCT FROM {partition} THEN 'partition'"]


def _text(source: Source, column: Column, cell: Cell) -> str:
    """Give the text of a cell, so that every format obeys the rules of CSV."""
    kind = TYPES[column.type]
    nested = cell.type.startswith(("STRUCT", "MAP", "UNION", "VARIANT", "TUPLE")) or cell.type.endswith("]")
    if cell.type == "BLOB" or (nested and (kind != "JSON" or INEXACT.search(cell.type))):
        declared = "declare JSON" if nested and kind != "JSON" else "declare BYTES"
        raise DeliveryRejectedError(
            f'column "{column.source}" of "{source.files[0].name}" holds {shown(cell.type)}, not {column.type}',
            hint=f"convert it before it is written{'' if nested and kind == 'JSON' else f', or {declared}'}",
        )
    if nested:
        return f"CAST(to_json({cell.sql}) AS VARCHAR)"
    if cell.type == "JSON":
        by_digits = kind in {"VARCHAR", "BLOB"} or kind.startswith("DECIMAL")
        return cell.text if by_digits else f"({cell.sql} ->> '$')"
    if cell.type == "FLOAT" and kind.startswith("DECIMAL"):  # its shortest text is that of another number
        return f"CAST(CAST({cell.sql} AS DOUBLE) AS VARCHAR)"
    return f"CAST({cell.sql} AS VARCHAR)"


def _matched(contract: Contract, source: Source) -> list[Cell]:
    """Give each declared column's cell, by name; refuse a file that lacks one or has others."""
    declared = contract.delivery.columns
    wanted = [column.source for column in declared if column.source not in contract.constants]
    columns = {**source.path, **source.columns}
    missing = [name for name in dict.fromkeys(wanted) if name not in columns]
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
    contract: Contract, source: Source, missing: list[str], extra: list[str]
) -> DeliveryRejectedError:
    name, constants = source.files[0].name, contract.constants
    declared = [column.source for column in contract.delivery.columns if column.source not in constants]
    parts = [f"declared: {listed(declared)}", f"in the file: {listed(list(source.columns))}"]
    parts += [f"missing: {listed(missing)}"] if missing else []
    parts += [f"not declared: {listed(extra)}"] if extra else []
    return DeliveryRejectedError(
        f'the columns of "{name}" are not the declared ones',
        why="; ".join(parts),
        hint=_mending(source, contract.delivery.columns, missing, extra),
    )


def _mending(source: Source, columns: tuple[Column, ...], missing: list[str], extra: list[str]) -> str:
    """Return what mends columns that are not the declared ones."""
    hints = []
    names = list(source.columns)
    if "" in extra and names.index("") == len(names) - 1 and len(names) > 1:
        hints.append("the header ends with a delimiter: leave it out at the end of every line")
    elif "" in extra:
        hints.append(
            "the column without a name is the index of a pandas frame: to_csv(..., index=False) leaves it out"
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
        hints.append('extra = "ignore" leaves out what is not declared')
    return "; ".join(hints)
