"""What the model wrote, as tables: CSV, newline-delimited JSON and Parquet files, their columns by name."""

from __future__ import annotations

import csv
import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TextIO, TypeAlias, cast

from msgspec import Struct

from foretell.delivery.sql import duckdb, identifier, literal, paths
from foretell.errors import DeliveryRejectedError, WarehouseError

Connection: TypeAlias = duckdb.DuckDBPyConnection

DELIMITERS = {".csv": ",", ".tsv": "\t"}
NDJSON = {".ndjson", ".jsonl", ".json"}
SUPPORTED = ".csv, .tsv, .ndjson, .jsonl, .json (each also with .gz) or .parquet"
CHUNK = 1 << 20
"""Bytes that are scanned at a time."""
SHOWN = 80
"""Characters of a value, and names of a list, that a message shows at most."""


class File(Struct, frozen=True):
    """A file, and its name in the output directory."""

    path: Path
    name: str

    @property
    def suffix(self) -> str:
        return Path(self.path.name.lower().removesuffix(".gz")).suffix

    @property
    def zipped(self) -> bool:
        return self.path.name.lower().endswith(".gz")

    @property
    def delimiter(self) -> str:
        return DELIMITERS[self.suffix]

    def text(self) -> TextIO:
        opened = gzip.open if self.zipped else open
        return cast("TextIO", opened(self.path, "rt", encoding="utf-8-sig", errors="replace", newline=""))


class Cell(Struct, frozen=True):
    """A column's value in SQL over the relation of its file, and DuckDB's name of its type there."""

    sql: str
    type: str = "VARCHAR"


class Source(Struct, frozen=True):
    """
    Files with the same columns, in the same order. `relation` is a table function in SQL with {files} in it.

    `lines` is what CSV must come to: rows and line breaks inside of values together. None for other formats.
    """

    files: tuple[File, ...]
    relation: str
    columns: dict[str, Cell]
    lines: int | None = None

    def over(self, files: Iterable[File]) -> str:
        return self.relation.replace("{files}", paths(file.path for file in files))


def find(pattern: str, output: Path) -> list[File]:
    """Give the files in `output` that a path or glob means, sorted; a name that is there is not read as a glob."""
    if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise DeliveryRejectedError(
            f'"{pattern}" is not in the output directory', hint="name a file in it by `file`"
        )
    exact = output / pattern
    found = [exact] if exact.is_file() else [path for path in sorted(output.glob(pattern)) if path.is_file()]
    if found:
        return [File(path, path.relative_to(output).as_posix()) for path in found]
    there = [path.relative_to(output).as_posix() for path in sorted(output.rglob("*")) if path.is_file()]
    raise DeliveryRejectedError(
        f'the command wrote no "{pattern}"',
        where="the output directory",
        why=f"there is {listed(there)}" if there else "it is empty",
        hint="write the predictions there, or name their file by `file` in the action's delivery",
    )


def open_all(connection: Connection, files: Sequence[File], *, null: Sequence[str] = ()) -> list[Source]:
    """
    Open files in their order, neighbours of the same columns together. A key that a line of JSON lacks is NULL.

    `null` are the texts that mean no value as whole, unquoted cells of CSV, beside the empty one.
    """
    keys = sorted({key for file in files if file.suffix in NDJSON for key in _keys(connection, file)})
    opened = [_open(connection, file, keys, null) for file in files]
    alike = groupby(opened, key=lambda source: (source.relation, tuple(source.columns.items())))
    return [_together(list(sources)) for _, sources in alike]


def _together(sources: list[Source]) -> Source:
    files = tuple(file for source in sources for file in source.files)
    lines = [source.lines for source in sources if source.lines is not None]
    return Source(files, sources[0].relation, sources[0].columns, sum(lines) if lines else None)


def _open(connection: Connection, file: File, keys: list[str], null: Sequence[str]) -> Source:
    if not file.path.stat().st_size:
        raise DeliveryRejectedError(f'"{file.name}" is empty', hint="write at least a header")
    if file.suffix in DELIMITERS:
        return _open_csv(file, null)
    if file.suffix in NDJSON:
        return _open_ndjson(file, keys)
    if file.suffix == ".parquet" and not file.zipped:
        return _open_parquet(connection, file)
    raise DeliveryRejectedError(
        f'"{file.name}" is in no format that can be delivered', hint=f"write {SUPPORTED}"
    )


def _open_csv(file: File, null: Sequence[str]) -> Source:
    """
    Take every field as text. The columns are called c0, c1, ... so that any header will do.

    DuckDB (2.0) reads pieces of a file in parallel, and where a piece begins inside a quoted field that holds both
    line breaks and quotes, it has been seen to take the inside for rows. So where there are quotes, it may not.
    """
    try:
        header = _header(file)
        breaks, quoted, ended = _scan(file)
    except (OSError, EOFError, csv.Error, zlib.error) as error:
        raise unreadable(file, why=str(error)) from error
    nulls = ", ".join(map(literal, ["", *null]))
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(header)))
    relation = (
        f"read_csv({{files}}, delim = '{file.delimiter}', quote = '\"', escape = '\"', header = true,"
        f" auto_detect = false, strict_mode = true, nullstr = [{nulls}], allow_quoted_nulls = false,"
        f" hive_partitioning = false, parallel = {not quoted}, columns = {{{columns}}})"
    )
    lines = breaks + (not ended) - 1 - sum(name.count("\n") for name in header)
    return Source((file,), relation, {name: Cell(f"c{place}") for place, name in enumerate(header)}, lines)


def _header(file: File) -> list[str]:
    with file.text() as lines:
        header = next(csv.reader(lines, delimiter=file.delimiter), [])
    if any("\ufffd" in name or "\0" in name for name in header):
        raise unreadable(file, why="its header is not UTF-8", hint='write it with encoding="utf-8"')
    if not header:
        raise unreadable(file, why="its first line, the header, is empty")
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if twice:
        raise unreadable(file, why=f"its header has {listed(twice)} more than once")
    return header


def _scan(file: File) -> tuple[int, bool, bool]:
    """Give the number of line breaks, whether there is a quote, and whether the last line is ended."""
    breaks, quoted, last = 0, False, b""
    with gzip.open(file.path) if file.zipped else file.path.open("rb") as content:
        while chunk := content.read(CHUNK):
            breaks += chunk.count(b"\n")
            quoted = quoted or b'"' in chunk
            last = chunk[-1:]
    return breaks, quoted, last == b"\n"


def count_records(files: Iterable[File]) -> int:
    """
    Count the records of CSV files, slowly and for certain; DeliveryRejectedError where a quote is left open.

    DuckDB (2.0) leaves out, without a word, what follows a quote that is not closed when it reads in one piece.
    """
    csv.field_size_limit(sys.maxsize)
    records = 0
    for file in files:
        with file.text() as lines:
            reader = csv.reader(lines, delimiter=file.delimiter, strict=True)
            try:
                width = len(next(reader, []))
                records += sum(1 for row in reader if row or width == 1)
            except csv.Error as error:
                raise unreadable(file, why=f"line {reader.line_num}: {error}") from error
    return records


def _keys(connection: Connection, file: File) -> list[str]:
    """Give the keys of all lines, after seeing that each line is one object."""
    lines = f"read_ndjson_objects({paths([file.path])}, hive_partitioning = false, ignore_errors = true)"
    numbered = f"SELECT row_number() OVER () AS row, json FROM {lines}"
    not_object = f"SELECT min(row) FROM ({numbered}) WHERE json_type(json) IS DISTINCT FROM 'OBJECT'"
    try:
        ((row,),) = connection.execute(not_object).fetchall()
        keys = connection.execute(f"SELECT DISTINCT unnest(json_keys(json)) FROM {lines}").fetchall()
    except duckdb.Error as error:
        raise broken(file, error) from error
    if row is None:
        return [key for (key,) in keys]
    raise DeliveryRejectedError(
        f'row {row} of "{file.name}" is not a JSON object',
        hint='write one object a line: to_json(..., orient="records", lines=True)',
    )


def _open_ndjson(file: File, keys: list[str]) -> Source:
    if not keys:
        raise unreadable(file, why="no line of it has a key")
    pointers = {key: "/" + key.replace("~", "~0").replace("/", "~1") for key in keys}
    columns = {key: Cell(f"(json -> {literal(pointer)})", "JSON") for key, pointer in pointers.items()}
    return Source((file,), "read_ndjson_objects({files}, hive_partitioning = false)", columns)


def _open_parquet(connection: Connection, file: File) -> Source:
    relation = "read_parquet({files}, hive_partitioning = false)"
    described = f"DESCRIBE FROM {relation.replace('{files}', paths([file.path]))}"
    try:
        columns = connection.execute(described).fetchall()
    except duckdb.Error as error:
        raise broken(file, error) from error
    return Source((file,), relation, {name: Cell(identifier(name), kind) for name, kind, *_ in columns})


def broken(file: File, error: duckdb.Error) -> DeliveryRejectedError | WarehouseError:
    """Tell what DuckDB says of a file it cannot read, or that this machine has no room to read it."""
    said = str(error).strip()
    first = said.partition("\n")[0].partition(": ")[2] or said
    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in said:
        return WarehouseError(f'there is no room to check "{file.name}" on this machine', why=first)
    found = re.search(r"CSV Error on Line: (\d+)\s+Original Line: ?(.*?)\n(.+)", said)
    if not found:
        return unreadable(file, why=first)
    line, text, why = found.groups()
    return DeliveryRejectedError(
        f'line {line} of "{file.name}" cannot be read',
        where=shown(text),
        why=why[:1].lower() + why[1:].rstrip("."),
        hint="write it as UTF-8, every row with as many fields as the header",
    )


def unreadable(file: File, *, why: str, hint: str = "") -> DeliveryRejectedError:
    """Tell that a file is not what its name says."""
    return DeliveryRejectedError(f'"{file.name}" cannot be read', why=why, hint=hint)


def shown(value: object) -> str:
    """Give a value in quotes, cut where it is long."""
    text = str(value)
    return f'"{text}"' if len(text) <= SHOWN else f'"{text[:SHOWN]}…"'


def listed(names: Sequence[str]) -> str:
    """Give names in quotes, the first of them where they are many."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(shown(name) for name in names[:SHOWN]) + more
