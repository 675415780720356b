"""
The contract of a delivery: what the model wrote, matched by column name, checked strictly, kept as Parquet.

One pass of DuckDB reads, checks and writes. Only when it fails does a second, slower one look for the first
fault, by the same conditions, so that the message can name file, row, column and value.

What counts as a value: an empty CSV field is NULL, a quoted empty one is the empty string. Text must be of its
type as it stands: "3.0" is not INT64, BOOL is true/false, t/f or 1/0 in any case, FLOAT64 may be nan and inf,
a TIMESTAMP without offset is UTC, BYTES are base64. Nothing is ever rounded or cut.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from foretell.delivery.declaration import entry
from foretell.delivery.formats import (
    Cell,
    Connection,
    File,
    Source,
    broken,
    count_records,
    find,
    listed,
    open_all,
    shown,
    unreadable,
)
from foretell.delivery.sql import duckdb, identifier, literal, paths
from foretell.errors import DeliveryRejectedError, ForetellError
from foretell.service import TYPES, Column, Delivery

DAY = "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
CLOCK = r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0*)?)?"
OFFSET = " ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"


class Checked(Struct, frozen=True, kw_only=True):
    """The checked rows: Parquet files of exactly the declared columns, in their types and order, and how many."""

    files: tuple[Path, ...]
    rows: int


class Rule(Struct, frozen=True):
    """
    When text is a value of a type, beyond what DuckDB's cast asks, which rounds and guesses.

    `guard` is SQL over {text} and {value}, the text after the cast. `hint` mends the usual slip.
    """

    guard: str = "true"
    hint: str = ""


def _form(pattern: str) -> str:
    """Text that matches, give or take spaces around it."""
    return f"regexp_full_match({{text}}, ' *({pattern}) *')"


RULES = {
    "VARCHAR": Rule(),
    "BLOB": Rule(hint="write bytes as base64"),
    "BIGINT": Rule(
        _form("[+-]?[0-9]+"),
        'write whole numbers without a fraction (in pandas: .astype("Int64")), or declare FLOAT64',
    ),
    "DOUBLE": Rule(
        "NOT contains({text}, '_') AND (NOT isinf({value}) OR contains(lower({text}), 'inf'))",
        "write numbers with a decimal point and without separators",
    ),
    "DECIMAL(38,9)": Rule(
        _form(r"[+-]?[0-9]*(\.[0-9]{0,9}0*)?"),
        "write at most 29 digits before and 9 after the point, or declare FLOAT64",
    ),
    "DECIMAL(38,18)": Rule(
        _form(r"[+-]?[0-9]*(\.[0-9]{0,18}0*)?"),
        "write at most 20 digits before and 18 after the point, or declare FLOAT64",
    ),
    "BOOLEAN": Rule(_form("(?i)true|false|t|f|1|0"), "write true or false"),
    "DATE": Rule(
        _form(rf"{DAY}([ T]0?0:00(:00(\.0+)?)?)?"), "write dates as 2026-11-21, or declare DATETIME"
    ),
    "TIME": Rule(_form(CLOCK), "write times as 06:00:00"),
    "TIMESTAMP": Rule(
        _form(f"{DAY}([ T]{CLOCK})?"), "write 2026-11-21 06:00:00, without offset, or declare TIMESTAMP"
    ),
    "TIMESTAMP WITH TIME ZONE": Rule(
        _form(f"{DAY}([ T]{CLOCK}({OFFSET})?)?"),
        "write 2026-11-21 06:00:00+00:00, to the microsecond at most",
    ),
    "JSON": Rule(hint="write one valid JSON document"),
}

WIDENINGS = {
    "BIGINT": {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"},
    "DOUBLE": {"FLOAT"},
    "TIMESTAMP": {"TIMESTAMP_S", "TIMESTAMP_MS"},
}
"""Types of a file that become a declared one without loss. Any other goes through its text, by the rules of CSV."""


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
    with connection or desk(into) as opened:
        sources = open_all(opened, files, null=delivery.null)
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
        raise _first_fault(connection, contract, source, error) from error
    _all_read(connection, contract, source, part, count)
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


def _first_fault(
    connection: Connection, contract: Contract, source: Source, error: duckdb.Error
) -> ForetellError:
    """Find the row that made the pass fail: the first in the order of the files, which only one thread keeps."""
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
            RULES[TYPES[column.type]].hint,
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
        direct = cell.type == kind or cell.type in WIDENINGS.get(kind, ())
        found = cell.sql if direct else _text(source, column, cell)
        cells.append(f"{found} AS {text}, {_cast(found, kind, direct=direct)} AS {value}")
        unsound = f"{text} IS NOT NULL AND NOT ({_sound(kind, text, value)})"
        whens = [] if direct else [f"WHEN {unsound} THEN 'type'"]
        whens += [f"WHEN {value} IS NULL THEN 'null'"] if column.mode == "REQUIRED" else []
        whens += _in_partition(contract, column, value)
        faults.append(f"CASE {' '.join(whens)} END" if whens else "CAST(NULL AS VARCHAR)")
    return ", ".join(cells), faults


def _cast(found: str, kind: str, *, direct: bool) -> str:
    if kind == "BLOB" and not direct:
        return f"TRY(from_base64({found}))"
    if kind == "JSON" and direct:  # a JSON null is meant as no value
        return f"CASE WHEN json_type({found}) <> 'NULL' THEN {found} END"
    return f"{'CAST' if direct else 'TRY_CAST'}({found} AS {kind})"


def _sound(kind: str, text: str, value: str) -> str:
    guard = RULES[kind].guard.replace("{text}", text).replace("{value}", value)
    return f"{value} IS NOT NULL AND {guard}"


def _in_partition(contract: Contract, column: Column, value: str) -> list[str]:
    """A delivery replaces its partition and nothing else: a row of another one would stay for ever."""
    if contract.partition is None or column.name != contract.delivery.partition:
        return []
    start = f"date_trunc('{contract.delivery.granularity}', {value})"
    partition = f"CAST({literal(contract.partition)} AS {TYPES[column.type]})"
    return [f"WHEN {start} IS DISTINCT FROM {partition} THEN 'partition'"]


def _text(source: Source, column: Column, cell: Cell) -> str:
    """Give the text of a cell, so that every format obeys the rules of CSV."""
    nested = cell.type.startswith(("STRUCT", "MAP", "UNION")) or cell.type.endswith("]")
    if cell.type == "BLOB" or (nested and TYPES[column.type] != "JSON"):
        raise DeliveryRejectedError(
            f'column "{column.source}" of "{source.files[0].name}" holds {shown(cell.type)}, not {column.type}',
            hint=f"convert it before it is written, or declare {'JSON' if nested else 'BYTES'}",
        )
    if nested:
        return f"CAST(to_json({cell.sql}) AS VARCHAR)"
    return f"({cell.sql} ->> '$')" if cell.type == "JSON" else f"CAST({cell.sql} AS VARCHAR)"


def _matched(contract: Contract, source: Source) -> list[Cell]:
    """Give each declared column's cell, by name; refuse a file that lacks one or has others."""
    declared = contract.delivery.columns
    wanted = [column.source for column in declared if column.source not in contract.constants]
    missing = [name for name in dict.fromkeys(wanted) if name not in source.columns]
    extra = [name for name in source.columns if name not in wanted]
    if missing or (extra and contract.delivery.extra == "refuse"):
        raise _other_columns(contract, source, missing, extra)
    constants = contract.constants
    return [
        _constant(contract, column) if column.source in constants else source.columns[column.source]
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
        hint=_mending(contract.delivery.columns, missing, extra),
    )


def _mending(columns: tuple[Column, ...], missing: list[str], extra: list[str]) -> str:
    hints = []
    if "" in extra:
        hints.append(
            "the column without a name is the index of a pandas frame: to_csv(..., index=False) leaves it out"
        )
    if len(missing) == len(extra) == 1:
        mended = ", ".join(
            entry(column, extra[0] if column.source in missing else column.source) for column in columns
        )
        hints.append(f"if {shown(extra[0])} is meant: columns = {{{mended}}}")
    elif not hints:
        hints.append("write exactly the declared columns, or change `columns` in the action's delivery")
    if extra and not missing:
        hints.append('extra = "ignore" leaves out what is not declared')
    return "; ".join(hints)
