"""
The contract of a delivery: what the model wrote, matched by column name, checked strictly, kept as Parquet.

One pass of DuckDB reads, checks and writes. Only when it fails does a second, slower one look for the first
fault, by the same conditions, so that the message can name file, row, column and value.

What counts as a value: an empty CSV field is NULL, a quoted empty one is the empty string. Text must be of its
type as it stands: "3.0" is not INT64, BOOL is true/false, t/f or 1/0 in any case, FLOAT64 may be nan and inf,
a TIMESTAMP without offset is UTC, BYTES are base64. Nothing is ever rounded or cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct
from msgspec.structs import replace

from foretell.delivery.conversion import Contract, Conversion, steps
from foretell.delivery.csv_files import count_records, refuse_closing_delimiter
from foretell.delivery.files import Cell, Connection, DataFile, FileSource, broken, shown, unreadable
from foretell.delivery.formats import find, open_all
from foretell.delivery.rules import hint as hint_of
from foretell.delivery.sql import duckdb, identifier, literal, paths
from foretell.errors import DeliveryRejectedError, ForetellError
from foretell.service.delivery import TYPES, Column, Delivery

TOO_LONG = ("Maximum line size", "Parallel CSV Reader")
"""What DuckDB (2.0) says of a line that is longer than usual, by what it is longer than."""
MANY = 24
"""Columns of one type that are looked at as a list."""
AT_ONCE = 100
"""Columns of one query for the first fault: DuckDB takes more than twice as long for twice as many."""


class Checked(Struct, frozen=True, kw_only=True):
    """The checked rows: Parquet files of exactly the declared columns, in their types and order, and how many."""

    files: tuple[Path, ...]
    rows: int


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


def _nothing(delivery: Delivery, file: DataFile) -> FileSource:
    """Return a source of the declared columns and no rows."""
    columns = {column.source: Cell("CAST(NULL AS VARCHAR)") for column in delivery.columns}
    return FileSource((file,), "(SELECT 1 WHERE false)", columns)


def _write(connection: Connection, contract: Contract, source: FileSource, part: Path) -> int:
    """Check and write the rows of a source in one pass; give their number."""
    try:
        count = _copy(connection, _rows(contract, source), part)
    except duckdb.Error as error:
        if source.roomy and any(words in str(error) for words in TOO_LONG):
            return _write(connection, contract, replace(source, relation=source.roomy, roomy=""), part)
        raise _first_fault(connection, contract, source, error) from error
    whole = _all_read(connection, contract, source, part, count)
    if not whole and source.roomy:
        # DuckDB (2.0) has been seen to leave out, without a word, a line that is longer than what it takes at once
        return _write(connection, contract, replace(source, relation=source.roomy, roomy=""), part)
    if not whole:
        records = count_records(source.files)
        if records != count:
            raise unreadable(
                source.files[0], why=f"the file has {records} records, but {count} rows were read"
            )
    _none_too_many(connection, source)
    return count


def _rows(contract: Contract, source: FileSource) -> str:
    """
    Return SQL for the rows of a source, which raises an error where one has a fault.

    DuckDB (2.0) takes long to plan a condition for every column, so many columns of one type are looked at as a list.
    """
    each = steps(contract, source)
    alike: dict[tuple[str, str] | None, list[Conversion]] = {}
    for step in each:
        alike.setdefault(step.alike, []).append(step)
    lists = [group for common, group in alike.items() if common and len(group) >= MANY]
    listed = {id(step) for group in lists for step in group}
    values, cells = [], []
    for place, (column, step) in enumerate(zip(contract.delivery.columns, each, strict=True)):
        value = f"CAST(v{place} AS VARCHAR)" if column.type in contract.texts else f"v{place}"
        fault = "" if id(step) in listed else step.fault(place)
        cells.append(step.cells(place) if fault else f"{step.value.replace('{text}', step.text)} AS v{place}")
        if fault:
            value = f"CASE WHEN ({fault}) IS NULL THEN {value} ELSE error('fault') END"
        values.append(f"{value} AS {identifier(column.name)}")
    sound = [
        f"CASE WHEN len(list_filter([{', '.join(step.text for step in group)}], lambda t:"
        f" {group[0].unsound('t', group[0].value.replace('{text}', 't'))})) = 0 THEN true ELSE error('fault') END"
        for group in lists
    ]
    where = f" WHERE {' AND '.join(sound)}" if sound else ""
    return (
        f"SELECT {', '.join(values)} FROM (SELECT {', '.join(cells)} FROM {source.over(source.files)}{where})"
    )


def _copy(connection: Connection, rows: str, part: Path) -> int:
    copy = f"COPY ({rows}) TO {literal(part)} (FORMAT parquet)"
    try:
        ((count,),) = connection.execute(copy).fetchall()
    except duckdb.OutOfMemoryException:
        connection.execute("SET threads = 1")  # each thread fills buffers of its own
        ((count,),) = connection.execute(copy).fetchall()
    return int(count)


def _all_read(connection: Connection, contract: Contract, source: FileSource, part: Path, count: int) -> bool:
    """Return whether every line of CSV became a row or part of a value; False also where that is not plain."""
    if source.lines in (None, count):
        return True
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
    return bool(count + (inside or 0) == source.lines)


def _none_too_many(connection: Connection, source: FileSource) -> None:
    """See that lines of CSV which end after a delimiter do so for want of their last value."""
    if source.closing:
        last = list(source.columns.values())[-1].sql
        empty = f"SELECT count(*) FROM {source.over(source.files)} WHERE {last} IS NULL"
        ((ends,),) = connection.execute(empty).fetchall()
        if source.closing > ends:
            refuse_closing_delimiter(source.files, len(source.columns))


def _first_fault(
    connection: Connection, contract: Contract, source: FileSource, error: duckdb.Error
) -> ForetellError:
    """Find the row that made the pass fail: the first in the order of the files, which only one thread keeps."""
    if isinstance(error, duckdb.FatalException):
        return broken(source.files[0], error)  # the connection is of no more use
    connection.execute("SET threads = 1")
    each = list(enumerate(steps(contract, source)))
    for file in source.files:
        found = []
        for first in range(0, len(each), AT_ONCE):
            some = each[first : first + AT_ONCE]
            try:
                row = connection.execute(_bad(some, source.over([file]))).fetchone()
            except duckdb.Error as reading:
                return broken(file, reading)
            found += [(row[0], first, row[1:])] if row else []
        if found:
            number, first, told = min(found)
            columns = contract.delivery.columns[first : first + AT_ONCE]
            return _told(contract, columns, (file, number), told)
    return broken(source.files[0], error)


def _bad(some: list[tuple[int, Conversion]], relation: str) -> str:
    """Return SQL for the first row with a fault in some columns: its number, then each one's fault, and its text."""
    cells = ", ".join(step.cells(place) for place, step in some)
    faults = ", ".join(f"{step.fault(place) or 'CAST(NULL AS VARCHAR)'} AS f{place}" for place, step in some)
    texts = ", ".join(f"CAST(t{place} AS VARCHAR)" for place, _ in some)
    bad = " OR ".join(f"f{place} IS NOT NULL" for place, _ in some)
    rows = f"SELECT row_number() OVER () AS row, {cells} FROM {relation}"
    return f"SELECT row, {faults}, {texts} FROM ({rows}) WHERE {bad} ORDER BY row LIMIT 1"


def _told(
    contract: Contract, columns: Sequence[Column], at: tuple[DataFile, int], told: tuple[object, ...]
) -> DeliveryRejectedError:
    """Tell the first fault of a row, by each column's fault, then each column's text."""
    (file, number), faults, texts = at, told[: len(columns)], told[len(columns) :]
    column, fault, text = next(each for each in zip(columns, faults, texts, strict=True) if each[1])
    renamed = column.source not in (column.name, *contract.constants)
    origin = f' (in the file "{column.source}")' if renamed else ""
    what, hint = {
        "null": (
            f'column "{column.name}" is REQUIRED and has no value',
            "fill it, or declare the column NULLABLE",
        ),
        "type": (
            f'{shown(text)} in column "{column.name}" is not {column.type}',
            hint_of(TYPES[column.type], str(text)),
        ),
        "nested": (
            f'{shown(text)} in column "{column.name}" is JSON, not {column.type}',
            "write it as text, or declare JSON",
        ),
        "partition": (
            f'{shown(text)} in column "{column.name}" is outside of the run\'s partition, {contract.partition}',
            "remove the column from the file; it is then filled with the run's date",
        ),
    }[str(fault)]
    where = f'row {number} of "{file.name}", column "{column.name}"{origin}'
    return DeliveryRejectedError(what, where=where, hint=hint)
