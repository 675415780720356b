"""
What any writer wrote is delivered as it stands, or refused with row and column.

Rows are written by those who write predictions, and read again by who knows nothing of Foretell: Python's own csv rules
(with the difference between an empty field and a quoted one), Python's json with every number as its text, pyarrow.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.delivery.validate import check
from foretell.errors import DeliveryRejectedError
from foretell.service.delivery import Column, Delivery

KINDS = (
    "STRING",
    "INT64",
    "FLOAT64",
    "NUMERIC",
    "BIGNUMERIC",
    "BOOL",
    "DATE",
    "TIME",
    "DATETIME",
    "TIMESTAMP",
    "JSON",
)
HEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


class Number(str):
    """A number of JSON, as its digits."""

    __slots__ = ()


class Word(str):
    """A string of JSON."""

    __slots__ = ()


class Quoted(str):
    """A field of CSV that stands in quotes."""

    __slots__ = ()


Table = list[list[object]]
Writer = Callable[[Path, Table], None]

# --- what is written --------------------------------------------------------------------------------------------------

nasty = st.text(st.sampled_from("aé\",\n\r\t;'\\ 0[{N"), max_size=6)
words = st.sampled_from(
    ["NA", "NULL", "nan", "1,234", "1.10", "007", "1e3", "true", "2026-11-21", "{", "[NaN]", '{"a": 1.10}', "[1e400]",
     '{"a": [1, 2,]}', "24:00:00", "0000-01-01", "9999-12-31 24:00:00", "9999-12-31 23:59:59-05:00", "1_0", "0x1F",
     "90071992547409.93", "2026-11-21T06:00:00Z", "06:00:00.1234567", "inf", "-", "\ufdd0", "[" * 501 + "]" * 501]
)  # fmt: skip
integers = st.sampled_from([0, -7, 2**31, 2**53 + 1, 2**63 - 1, 10**18, 10**15]) | st.integers(
    -(2**63), 2**63 - 1
)
floats = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from(
    [0.1, 1e22, 5e-324, 90071992547409.93, -0.0]
)
decimals = st.decimals(-(10**20), 10**20, places=9) | st.sampled_from(
    [
        Decimal("1.10"),
        Decimal("0.100000000000000005551"),
        Decimal("90071992547409.93"),
        Decimal("12345678901234567890.5"),
    ]
)
dates = st.dates() | st.sampled_from([date(1, 1, 1), date(9999, 12, 31)])
moments = st.datetimes() | st.sampled_from([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)])  # noqa: DTZ001
nested = st.recursive(
    st.none() | st.booleans() | integers | floats | nasty,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(nasty, inner, max_size=3),
    max_leaves=5,
)
COLUMNS = {
    "text": nasty | words,
    "integer": integers,
    "float": floats,
    "decimal": decimals,
    "flag": st.booleans(),
    "date": dates,
    "moment": moments,
    "nested": nested.filter(lambda each: isinstance(each, list | dict)),
}


@st.composite
def tables(draw: st.DrawFn, *, only: tuple[str, ...] = tuple(COLUMNS)) -> Table:
    """Rows of one to three columns, each of values of one sort, some of them missing."""
    sorts = draw(st.lists(st.sampled_from(only), min_size=1, max_size=3))
    columns = [st.none() | COLUMNS[sort] for sort in sorts]
    return draw(st.lists(st.tuples(*columns).map(list), min_size=1, max_size=5))


def names(table: Table) -> list[str]:
    return list("abc"[: len(table[0])])


def plain(value: object) -> object:
    """What a program makes of a value that CSV has no word for."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def by_csv(quoting: int, end: str, mark: str = "") -> Writer:
    def write(path: Path, table: Table) -> None:
        text = io.StringIO()
        writer = csv.writer(text, quoting=quoting, lineterminator=end)
        writer.writerow(names(table))
        writer.writerows([plain(each) for each in row] for row in table)
        path.write_bytes((mark + text.getvalue()).encode())

    return write


def by_r(path: Path, table: Table) -> None:
    """As write.csv(row.names = FALSE) does: text in quotes, NA without."""

    def cell(value: object) -> str:
        if value is None:
            return "NA"
        if isinstance(value, bool):
            return str(value).upper()
        return str(value) if isinstance(value, int | float | Decimal) else quoted(str(plain(value)))

    lines = [",".join(map(quoted, names(table))), *(",".join(map(cell, row)) for row in table)]
    path.write_bytes(("\n".join(lines) + "\n").encode())


def by_hands(path: Path, table: Table) -> None:
    """As several programs do that append to one file: every line ends in another way."""
    ends = ["\r\n", "\n", "\r"]
    cells = [names(table), *([("" if each is None else str(plain(each))) for each in row] for row in table)]
    lines = [",".join(map(quoted, row)) + ends[place % 3] for place, row in enumerate(cells)]
    path.write_bytes("".join(lines).encode())


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def frame(table: Table) -> pd.DataFrame:
    return pd.DataFrame(
        dict(zip(names(table), map(list, zip(*table, strict=True)), strict=True)), dtype=object
    )


def by_json(path: Path, table: Table) -> None:
    """As json.dumps does by default, NaN included; decimals are numbers with all of their digits."""

    def cell(value: object) -> str:
        return str(value) if isinstance(value, Decimal) else json.dumps(value, default=str)

    rows = [
        "{" + ", ".join(f'"{n}": {cell(v)}' for n, v in zip(names(table), row, strict=True)) + "}"
        for row in table
    ]
    path.write_bytes(("\n".join(rows) + "\n").encode())


def arrow(table: Table) -> pa.Table:
    return pa.table(
        dict(zip(names(table), (pa.array(list(each)) for each in zip(*table, strict=True)), strict=True))
    )


def by_arrow(path: Path, table: Table) -> None:
    pq.write_table(arrow(table), path)


def by_pandas(path: Path, table: Table) -> None:
    """A frame of which rows were dropped, so that its index is a column of the file."""
    made = arrow(table).to_pandas()
    pd.concat([made, made]).iloc[len(made) :].iloc[::-1].to_parquet(path)


CSV_WRITERS: dict[str, Writer] = {
    "csv": by_csv(csv.QUOTE_MINIMAL, "\r\n"),
    "csv, all quoted": by_csv(csv.QUOTE_ALL, "\n"),
    "Excel": by_csv(csv.QUOTE_MINIMAL, "\r\n", "\ufeff"),
    "R": by_r,
    "several hands": by_hands,
    "pandas": lambda path, table: frame(table).to_csv(path, index=False),
    "pandas, NA": lambda path, table: frame(table).to_csv(path, index=False, na_rep="NA"),
    "polars": lambda path, table: pl.from_arrow(arrow(table)).write_csv(path),
    "pyarrow": lambda path, table: pyarrow.csv.write_csv(arrow(table), path),
}
JSON_WRITERS: dict[str, Writer] = {
    "json": by_json,
    "pandas": lambda path, table: frame(table).to_json(path, orient="records", lines=True, date_format="iso"),
    "polars": lambda path, table: pl.from_arrow(arrow(table)).write_ndjson(path),
}
PARQUET_WRITERS: dict[str, Writer] = {
    "pyarrow": by_arrow,
    "pandas": by_pandas,
    "polars": lambda path, table: pl.from_arrow(arrow(table)).write_parquet(path),
}

# --- what was written, read by another ----------------------------------------------------------------------------------


def read_csv(path: Path, null: tuple[str, ...]) -> Table:
    """RFC 4180, with any line end; an unquoted field that is empty, or a text of `null`, is no value."""
    text, rows, row, place = path.read_bytes().decode("utf-8-sig"), [], [], 0
    while place < len(text):
        found = re.compile(r'"((?:[^"]|"")*)"|([^,\r\n]*)').match(text, place)
        assert found
        inside, bare = found.groups()
        row.append(None if inside is None and bare in ("", *null) else
                   bare if inside is None else Quoted(inside.replace('""', '"')))  # fmt: skip
        place = found.end()
        end = re.compile(r",|\r\n|\r|\n|$").match(text, place)
        assert end, text[place:]
        place = end.end()
        if end[0] != ",":
            rows.append(row)
            row = []
        elif place == len(text):
            row.append(None)
            rows.append(row)
    return rows[1:]


def read_json(path: Path, columns: list[str]) -> Table:
    def refused(constant: str) -> object:
        raise ValueError(constant)

    def read(line: str) -> list[object]:
        found = json.loads(line, parse_int=Number, parse_float=Number, parse_constant=refused)
        values = [found.get(name) for name in columns]
        return [Word(each) if type(each) is str else each for each in values]

    return [
        read(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=False) if line.strip()
    ]


def read_parquet(path: Path, columns: list[str]) -> Table:
    table = pq.read_table(path, columns=columns)
    return [list(row) for row in zip(*(table.column(name).to_pylist() for name in columns), strict=True)]


# --- whether it is the same -------------------------------------------------------------------------------------------


def same(kind: str, found: object, written: object) -> bool:
    """Whether what was delivered is what was written, in the way of its type and in no other."""
    if written is None or found is None:
        return found is written
    if isinstance(written, float) and kind in {"FLOAT64", "STRING"}:
        real = float(str(found))
        return real == written or (math.isnan(real) and math.isnan(written))
    if kind == "JSON":
        return exact(json.loads(str(found), parse_float=Decimal, parse_int=Decimal)) == exact(
            as_json(written)
        )
    if isinstance(written, str):
        return by_text(kind, found, written)
    if kind == "STRING":
        return text_of(found, written)
    if isinstance(written, bool) or kind == "BOOL":
        return found == bool(written) and written in {0, 1}
    if isinstance(written, Decimal) and kind == "FLOAT64":
        return found == float(written)
    if isinstance(written, float):
        return found == Decimal(repr(written)) and not isinstance(found, str)
    return by_moment(kind, found, written)


def by_moment(kind: str, found: object, written: object) -> bool:
    if isinstance(written, datetime) and kind == "DATE":
        return datetime.combine(found, time()) == written  # type: ignore[arg-type]
    if isinstance(written, datetime) and kind == "TIMESTAMP":
        return found == (written if written.tzinfo else written.replace(tzinfo=UTC))
    if isinstance(written, date) and not isinstance(written, datetime) and kind in {"DATETIME", "TIMESTAMP"}:
        return found == datetime.combine(written, time(), UTC if kind == "TIMESTAMP" else None)
    return found == written


def exact(value: object) -> object:
    if isinstance(value, dict):
        return {key: exact(each) for key, each in value.items()}
    if isinstance(value, list):
        return [exact(each) for each in value]
    return (type(value).__name__, value)


def as_json(written: object) -> object:
    if isinstance(written, Number):
        return Decimal(written)
    if isinstance(written, Word):
        return str(written)
    if isinstance(written, str):
        return json.loads(written, parse_float=Decimal, parse_int=Decimal)
    if isinstance(written, dict):
        return {key: as_inner(each) for key, each in written.items()}
    if isinstance(written, list):
        return [as_inner(each) for each in written]
    return as_inner(written)


def as_inner(written: object) -> object:
    if isinstance(written, bool) or written is None:
        return written
    if isinstance(written, Number):
        return Decimal(written)
    if isinstance(written, int | float):
        return Decimal(repr(written))
    if isinstance(written, dict | list):
        return as_json(written)
    return str(written)


def text_of(found: object, written: object) -> bool:
    text = str(found)
    if isinstance(written, bool):
        return text == str(written).lower()
    if isinstance(written, datetime):
        return datetime.fromisoformat(text) == written
    if isinstance(written, Decimal):
        return Decimal(text) == written
    return text == str(written)


def by_text(kind: str, found: object, text: str) -> bool:
    """Whether a value is what a text says, by Python's own reading of it."""
    stripped = text.strip(" ")
    try:
        match kind:
            case "STRING":
                return found == text
            case "INT64":
                return re.fullmatch(r"[+-]?\d+", stripped) is not None and found == int(stripped)
            case "FLOAT64":
                real = float(stripped)
                whole = re.fullmatch(r"[+-]?\d+", stripped)
                return "_" not in text and (
                    found == (int(stripped) if whole else real)
                    or (math.isnan(real) and math.isnan(float(str(found))))
                )
            case "NUMERIC" | "BIGNUMERIC":
                return found == Decimal(stripped)
            case "BOOL":
                return {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}[
                    stripped.lower()
                ] is found
            case "DATE":
                return datetime.combine(found, time()) == datetime.fromisoformat(stripped)  # type: ignore[arg-type]
            case "TIME":
                return found == time.fromisoformat(stripped)
            case "DATETIME":
                return found == datetime.fromisoformat(stripped)
            case _:
                moment = datetime.fromisoformat(stripped)
                return found == (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, KeyError, InvalidOperation):
        return False


# --- the property -----------------------------------------------------------------------------------------------------


def delivered(path: Path, columns: list[str], kinds: list[str], null: tuple[str, ...]) -> Table:
    declared = tuple(Column(name=n, type=k, source=n) for n, k in zip(columns, kinds, strict=False))
    delivery = Delivery(file=path.name, table="t", columns=declared, null=null)
    checked = check(delivery, path.parent, path.parent / "into", date="2026-11-21", run="r")
    rows = [row for file in checked.files for row in read_parquet(file, columns)]
    assert len(rows) == checked.rows
    return rows


def told(refusal: DeliveryRejectedError) -> bool:
    """Whether a refusal names row and column, or a line, or what is wrong with the columns or the file as a whole."""
    said = str(refusal)
    return bool(
        re.search(
            r'row \d+ of ".*", column|row \d+ of|line \d+|holds "|has the type|the columns of|cannot be read',
            said,
            re.DOTALL,
        )
    )


UNWRITTEN = (
    pa.ArrowException,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    OverflowError,
    ValueError,
    TypeError,
)
"""What writers raise where they have no word for a value, or no column for values of several types."""

FORMATS: dict[str, tuple[dict[str, Writer], str, Callable[[Path, list[str]], Table]]] = {
    "CSV": (CSV_WRITERS, "csv", lambda path, _: read_csv(path, ())),
    "CSV with NA": (CSV_WRITERS, "csv", lambda path, _: read_csv(path, ("NA",))),
    "JSON lines": (JSON_WRITERS, "jsonl", read_json),
    "Parquet": (PARQUET_WRITERS, "parquet", read_parquet),
}


@st.composite
def cases(draw: st.DrawFn, writers: tuple[str, ...]) -> tuple[str, Table, list[str]]:
    table = draw(tables())
    kinds = st.lists(st.sampled_from(KINDS), min_size=len(table[0]), max_size=len(table[0]))
    return draw(st.sampled_from(writers)), table, draw(kinds)


def hold(name: str, case: tuple[str, Table, list[str]]) -> None:
    """Write a table, deliver it as it is declared, and compare."""
    writers, ending, read = FORMATS[name]
    writer, table, kinds = case
    columns = names(table)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"p.{ending}"
        try:
            writers[writer](path, table)
        except UNWRITTEN:
            return  # the writer itself has no word for it
        try:
            found = delivered(path, columns, kinds, ("NA",) if name.endswith("NA") else ())
        except DeliveryRejectedError as refusal:
            assert told(refusal), refusal  # noqa: PT017
            return
        written = read(path, columns)
    assert len(found) == len(written), (found, written)
    for row, expected in zip(found, written, strict=True):
        for kind, value, cell in zip(kinds, row, expected, strict=True):
            assert same(kind, value, cell), (kind, value, cell)


SOUND: dict[str, tuple[str, st.SearchStrategy[object]]] = {
    "text": (
        "STRING",
        st.text(st.sampled_from("abcé 07"), min_size=1).filter(lambda text: text.strip() == text),
    ),
    "integer": ("INT64", st.integers(-(2**53), 2**53)),
    "float": ("FLOAT64", st.floats(-1e9, 1e9)),
    "flag": ("BOOL", st.booleans()),
    "date": ("DATE", st.dates(date(1700, 1, 1), date(2200, 1, 1))),
    "moment": ("DATETIME", st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))),  # noqa: DTZ001
}
"""Sorts of values that no format has a doubt about, and the type that each is declared as."""
BY_JSON = ("text", "integer", "float", "flag")


@st.composite
def sound_tables(draw: st.DrawFn, sorts: tuple[str, ...]) -> tuple[Table, list[str]]:
    chosen = draw(st.lists(st.sampled_from(sorts), min_size=1, max_size=3))
    rows = st.lists(st.tuples(*(SOUND[sort][1] for sort in chosen)).map(list), min_size=1, max_size=5)
    return draw(rows), [SOUND[sort][0] for sort in chosen]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "writer"),
    [(name, writer) for name in ("CSV", "JSON lines", "Parquet") for writer in FORMATS[name][0]],
)
def test_values_of_the_declared_types_are_delivered_whoever_wrote_them(name: str, writer: str) -> None:
    writers, ending, read = FORMATS[name]

    @settings(max_examples=10, deadline=None, database=None, suppress_health_check=HEALTHY)
    @given(sound_tables(BY_JSON if name == "JSON lines" else tuple(SOUND)))
    def sound(case: tuple[Table, list[str]]) -> None:
        table, kinds = case
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / f"p.{ending}"
            writers[writer](path, table)
            found = delivered(path, names(table), kinds, ())
            written = read(path, names(table))
        assert len(found) == len(table)
        for row, expected in zip(found, written, strict=True):
            assert all(map(same, kinds, row, expected)), (kinds, row, expected)

    sound()


def check_format(name: str, examples: int) -> None:
    writers, *_ = FORMATS[name]
    few = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=HEALTHY)

    @few
    @given(cases(tuple(sorted(writers))))
    def anything(case: tuple[str, Table, list[str]]) -> None:
        hold(name, case)

    anything()


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_delivered_as_it_stands_or_refused(name: str) -> None:
    check_format(name, 60)


@pytest.mark.soak
@pytest.mark.parametrize("name", FORMATS)
def test_the_same_of_many_more_tables(name: str) -> None:
    check_format(name, 3000)
