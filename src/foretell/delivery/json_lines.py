"""
Newline-delimited JSON: a line is an object, as RFC 8259 has it, and a number is its digits.

DuckDB (2.0) reads more than JSON (NaN, a comma before a bracket), takes the first of two equal keys, and numbers with a
fraction by way of a double. So every line is held against what DuckDB is lax about, and where a number's own text is
what counts, it is made a string in the line before it is taken from it.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from foretell.delivery.files import (
    BOM,
    CHUNK,
    ROW,
    Cell,
    Connection,
    DataFile,
    FileSource,
    broken,
    no_room,
    scratch,
    shown,
    unreadable,
)
from foretell.delivery.rules import strict
from foretell.delivery.sql import duckdb, literal, paths
from foretell.errors import DeliveryRejectedError

READING = f"maximum_object_size = {ROW}, hive_partitioning = false"
NUMBER = r"""'((?:[^"0-9-]|"(?:[^"\\]|\\.)*")*)(-?[0-9][0-9.eE+-]*|$)'"""
"""What stands before a number, strings included, and the number; at the end of a line, nothing."""
MARK = "\ufdd0"
"""A code point that is no character, around a number that was made a string."""
LONG = "'[0-9.]{16}|[eE]-?[0-9]{3}'"
"""Numbers that a double may not hold as they are written."""
MARKED = f"regexp_matches(json, '(?i){MARK}|\\\\ufdd0')"
OBJECTS = 'write one object a line: to_json(..., orient="records", lines=True)'


def without_mark(file: DataFile, work: Path) -> DataFile:
    """Return the file without a byte order mark, which DuckDB takes for a part of the first line."""
    try:
        with file.bytes() as content:
            if content.read(len(BOM)) != BOM:
                return file
            plain = scratch(work, file)
            with plain.open("wb") as out:
                shutil.copyfileobj(content, out, CHUNK)
    except (OSError, EOFError, zlib.error) as error:
        raise no_room(file, error) or unreadable(file, why=str(error)) from error
    return DataFile(plain, file.name)


def keys(connection: Connection, file: DataFile) -> list[str] | None:
    """Return the keys of all lines, or None where there is no line; a line that is no sound object is refused."""
    lines = f"read_ndjson_objects({paths([file.path])}, {READING}, ignore_errors = true)"
    unsound = f"json_type(json) IS DISTINCT FROM 'OBJECT' OR NOT ({strict('json')})"
    numbered = (
        f"SELECT row_number() OVER () AS row, {unsound} AS unsound, json_keys(json) AS keys FROM {lines}"
    )
    kinds = f"SELECT keys, min(CASE WHEN unsound THEN row END), min(row) FROM ({numbered}) GROUP BY keys"
    try:
        found = connection.execute(kinds).fetchall()
        bad = [row for _, row, _ in found if row is not None]
        bad += [row for names, _, row in found if names and len(set(names)) < len(names)]
        if not bad:
            return sorted({name for names, *_ in found for name in names}) if found else None
    except duckdb.Error as error:
        raise broken(file, error) from error
    raise _unsound(file, min(bad))


def _unsound(file: DataFile, row: int) -> DeliveryRejectedError:
    """Tell what is wrong with a row."""
    with file.text() as lines:
        line = next(islice((line for line in lines if line.strip()), row - 1, None), "").strip()
    where = f'row {row} of "{file.name}"'
    try:
        pairs = json.loads(line, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        return DeliveryRejectedError(f"{where} is not a JSON object", why=str(error), hint=OBJECTS)
    if not line.startswith("{"):
        return DeliveryRejectedError(f"{where} is not a JSON object", why=shown(line), hint=OBJECTS)
    names = [name for name, _ in pairs]
    for name, value in pairs:
        place, times = f'{where}, column "{name}"', names.count(name)
        if times > 1:
            what = f'the key "{name}" occurs {times} times'
            return DeliveryRejectedError(what, where=place, hint="write each key once")
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            return DeliveryRejectedError(
                f'the value in column "{name}" is not JSON',
                where=place,
                why=f"NaN, Infinity and numbers beyond FLOAT64 are not allowed: {shown(line)}",
                hint="write null where there is no value",
            )
    why = "it is not UTF-8, or contains half of a surrogate pair"
    return DeliveryRejectedError(
        f"{where} is not a JSON object", why=why, hint='write it with encoding="utf-8"'
    )


def opened(file: DataFile, names: Sequence[str]) -> FileSource:
    """Return a file with these keys as columns; every line is taken apart once, however many they are."""
    pointers = [literal("/" + name.replace("~", "~0").replace("/", "~1")) for name in names]
    lines = f"read_ndjson_objects({{files}}, {READING})"
    all_of_them = f"[{', '.join(pointers)}]"
    values = f"json_extract(json, {all_of_them}) AS found, json_extract_string(json, {all_of_them}) AS told"
    relation = f"(SELECT json, {values} FROM {lines})"
    cells = (_cell(place, pointer) for place, pointer in enumerate(pointers, 1))
    return FileSource((file,), relation, dict(zip(names, cells, strict=True)))


def _cell(place: int, pointer: str) -> Cell:
    found = f"found[{place}]"
    told = f"CAST({found} AS VARCHAR)"
    exact = f"CAST(({_numbers_as_text(MARK)} -> {pointer}) AS VARCHAR)"
    return Cell(
        found,
        "JSON",
        text=f"told[{place}]",
        digits=f"CASE WHEN json_type({found}) = 'DOUBLE' THEN ({_numbers_as_text()} ->> {pointer})"
        f" ELSE told[{place}] END",
        document=f"CASE WHEN NOT regexp_matches(json, {LONG}) THEN {told} WHEN {MARKED} THEN NULL"
        f" ELSE regexp_replace({exact}, '\"{MARK}([^\"]*){MARK}\"', '\\1', 'g') END",
    )


def _numbers_as_text(mark: str = "") -> str:
    """Return SQL for the line with every number made a string, the mark before and after it."""
    made = f"regexp_replace(json, {NUMBER}, '\\1\"{mark}\\2{mark}\"', 'g')"
    return f"left({made}, -{2 + 2 * len(mark)})"  # without the empty string that the end of the line became
