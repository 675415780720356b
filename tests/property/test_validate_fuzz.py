"""Whatever bytes a model writes: rows that mean the same, or a refusal that says why."""

from __future__ import annotations

import csv
import io
import math
import tempfile
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from foretell.delivery.validate import check
from foretell.errors import DeliveryRejectedError
from foretell.service.delivery import Column, Delivery

pytestmark = pytest.mark.slow
FEW = settings(max_examples=25, deadline=None, database=None)


def rows(content: bytes, kinds: list[str], name: str = "p.csv") -> list[tuple[object, ...]]:
    """Check a file with the columns a, b, ... and give the rows; DeliveryRejectedError is the caller's."""
    columns = tuple(
        Column(name=letter, type=kind, source=letter) for letter, kind in zip("abc", kinds, strict=False)
    )
    with tempfile.TemporaryDirectory() as directory, duckdb.connect() as connection:
        output = Path(directory)
        (output / name).write_bytes(content)
        delivery = Delivery(file=name, table="t", columns=columns)
        checked = check(delivery, output, output / "into", date="2026-11-21", run="r")
        found = connection.execute("FROM read_parquet(?)", [[str(file) for file in checked.files]]).fetchall()
    assert len(found) == checked.rows
    return found


nasty = st.text(st.sampled_from("ab\",\n\r\t å;'\\"), max_size=8)


@FEW
@given(
    table=st.lists(st.tuples(nasty, nasty, nasty), max_size=20),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
def test_what_a_csv_writer_writes_is_read_back(
    table: list[tuple[str, str, str]], quoting: int, end: str, *, last: bool
) -> None:
    # Python's own writer leaves a lone carriage return unquoted, and its reader then takes it for a line's end.
    assume(quoting != csv.QUOTE_MINIMAL or not any("\r" in value for row in table for value in row))
    text = io.StringIO()
    csv.writer(text, quoting=quoting, lineterminator=end).writerows([("a", "b", "c"), *table])
    content = text.getvalue() if last else text.getvalue().removesuffix(end)
    empty = "" if quoting != csv.QUOTE_MINIMAL else None
    expected = [tuple(value or empty for value in row) for row in table]
    assert rows(content.encode(), ["STRING"] * 3) == expected


@FEW
@given(
    body=st.lists(
        st.sampled_from([b"a", b",", b'"', b"\n", b"\r\n", b"1", b"\xff", b"\0", b" "]), max_size=30
    )
)
@example([b"1", b",", b'"', b"\n"])
@example([b"a", b'"', b",", b"1", b"\n", b'"', b"1", b",", b"a"])
def test_any_bytes_are_rows_or_a_refusal_and_no_row_is_lost(body: list[bytes]) -> None:
    content = b"a,b\n" + b"".join(body)
    try:
        found = rows(content, ["STRING", "STRING"])
    except DeliveryRejectedError:
        return
    records = csv_records(content.decode())
    assert records != "unexpected end of data"
    if isinstance(records, int):
        assert len(found) == records


def csv_records(text: str) -> int | str:
    """Give the number of records after the header, or what Python's strict reader minds: spaces after a quote, say."""
    try:
        return sum(1 for record in csv.reader(io.StringIO(text, newline=""), strict=True) if record) - 1
    except csv.Error as error:
        return str(error)


@FEW
@given(
    content=st.binary(max_size=60),
    name=st.sampled_from(["p.parquet", "p.ndjson", "p.csv.gz", "p.json.gz", "p.tsv"]),
)
def test_any_bytes_in_any_format_are_rows_or_a_refusal(content: bytes, name: str) -> None:
    with suppress(DeliveryRejectedError):
        rows(content, ["STRING"], name)


@FEW
@given(data=st.data(), place=st.integers(0), bit=st.integers(0, 7))
def test_a_parquet_file_with_a_flipped_bit_is_rows_or_a_refusal(
    data: st.DataObject, place: int, bit: int
) -> None:
    content = bytearray(PARQUET)
    content[place % len(content)] ^= 1 << bit
    cut = data.draw(st.sampled_from([len(content), place % len(content)]))
    with suppress(DeliveryRejectedError):
        rows(bytes(content[:cut]), ["STRING", "FLOAT64"], "p.parquet")


def parquet() -> bytes:
    with tempfile.TemporaryDirectory() as directory, duckdb.connect() as connection:
        file = Path(directory) / "p.parquet"
        connection.execute(f"COPY (SELECT range::VARCHAR AS a, random() AS b FROM range(500)) TO '{file}'")
        return file.read_bytes()


PARQUET = parquet()

number = st.from_regex(r"\A ?[+-]?[0-9]{0,3}[._]?[0-9]{0,12}(e[+-]?[0-9]{1,3})? ?\Z")


def taken(text: str, kind: str) -> object:
    """The value that a text becomes, or None where it is refused."""
    quoted = '"' + text.replace('"', '""') + '"'
    try:
        ((value,),) = rows(f"a\n{quoted}\n".encode(), [kind])
    except DeliveryRejectedError:
        return None
    return value


@FEW
@given(number)
@example("3.7")
@example("1_0")
@example("0.0000000001")
@example("1e400")
def test_a_number_that_is_taken_is_the_number_that_was_written(text: str) -> None:
    whole, exact, real = taken(text, "INT64"), taken(text, "NUMERIC"), taken(text, "FLOAT64")
    assert whole is None or whole == int(text)
    assert exact is None or exact == Decimal(text.strip())
    assert real is None or (real == float(text) and "_" not in text and not math.isinf(real))


@FEW
@given(st.from_regex(r"\A[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?\Z"))
@example("2026-02-30")
@example("2026-11-21 00:00:00")
@example("2026-11-21 12:00:00")
def test_a_date_that_is_taken_is_the_date_that_was_written(text: str) -> None:
    found = taken(text, "DATE")
    if found is not None:
        year, month, day = text[:10].rstrip(" T").split(" ")[0].split("T")[0].split("-")
        assert found == date(int(year), int(month), int(day))
        assert not text[10:].strip(" T0:")
