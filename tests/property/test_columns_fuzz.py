"""The line that is printed for what was written: what was written is accepted under it, and is what is delivered."""

from __future__ import annotations

import io
import json
import math
import re
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell import load
from foretell.delivery.columns import anything, declaring
from foretell.delivery.validate import check

pytestmark = pytest.mark.slow
FEW = settings(max_examples=12, deadline=None, database=None)
MANY = settings(max_examples=400, deadline=None, database=None)

WRITTEN: list[st.SearchStrategy[str]] = [
    st.integers().map(str),
    st.integers(0, 10**6).map(lambda number: f"{number:09d}"),
    st.integers(0, 1).map(str),
    st.floats().map(repr),
    st.floats(width=32).map(lambda number: f"{number:.18e}"),
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.booleans().map(str),
    st.sampled_from(
        ["t", "f", "yes", "no", "NA", "nan", "null", "-", "1,5", "1_000", "+1", "0x10", "1e5", "٣"]
    ),
    st.dates().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat()),
    st.times().map(str),
    st.recursive(
        st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ).map(json.dumps),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
]
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=12
).filter(lambda name: not name.startswith(("@", "sep=", "\ufeff")) and bool(name.strip()))

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
READ = {"JSON": 'CAST("{}" AS VARCHAR)', "TIMESTAMP": 'epoch_us("{}")'}
MEANING: dict[str, Callable[[str], object]] = {
    "STRING": str,
    "INT64": int,
    "FLOAT64": float,
    "NUMERIC": Decimal,
    "BIGNUMERIC": Decimal,
    "BOOL": lambda text: {"true": True, "false": False}[text.lower()],
    "DATE": date.fromisoformat,
    "TIME": time.fromisoformat,
    "DATETIME": datetime.fromisoformat,
    "TIMESTAMP": lambda text: (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1),
    "JSON": json.loads,
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[str | None]]:
    """Columns by name; most are written in one way all through."""
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    rows = draw(st.integers(1, 5))
    found: dict[str, list[str | None]] = {}
    for name in names:
        ways = draw(st.lists(st.sampled_from(WRITTEN), min_size=1, max_size=2))
        cell = st.none() | st.one_of(ways) if draw(st.booleans()) else st.one_of(ways)
        found[name] = draw(st.lists(cell, min_size=rows, max_size=rows))
    return found


def delivered(content: bytes, name: str) -> tuple[dict[str, str], list[dict[str, object]]]:
    """Deliver a file under the line that is printed for it; give the types and the rows, by the file's own names."""
    with tempfile.TemporaryDirectory() as directory, duckdb.connect() as connection:
        output = Path(directory, "output")
        output.mkdir()
        (output / name).write_bytes(content)
        line = declaring(anything(name), output, output.with_name("aside"))
        text = f'name = "t"\n[actions.a]\ncommand = "x"\n[actions.a.delivery]\nfile = "{name}"\n{line}\n'
        Path(directory, "foretell.toml").write_text(text, encoding="utf-8")
        delivery = load(Path(directory)).actions["a"].delivery
        assert delivery
        checked = check(delivery, output, output.with_name("into"), date="2026-11-21", run="r")
        cells = ", ".join(READ.get(each.type, '"{}"').format(each.name) for each in delivery.columns)
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(
            f"SELECT {cells} FROM read_parquet(?)", [[str(file) for file in checked.files]]
        )
        sources = [each.source for each in delivery.columns]
        return (
            {each.source: each.type for each in delivery.columns},
            [dict(zip(sources, row, strict=True)) for row in rows.fetchall()],
        )


def same(value: object, text: str | None, kind: str) -> bool:
    if value is None or text is None:
        return value is None and text is None
    meant = MEANING[kind](text)
    if isinstance(meant, float) and math.isnan(meant):
        return isinstance(value, float) and math.isnan(value)
    return (json.loads(str(value)) if kind == "JSON" else value) == meant


def csv_is_delivered_as_it_stands_under_the_printed_line(table: dict[str, list[str | None]]) -> None:
    def cell(text: str | None) -> str:
        return "" if text is None else '"' + text.replace('"', '""') + '"'

    content = io.StringIO()
    for row in [list(table), *zip(*table.values(), strict=True)]:
        content.write(",".join(map(cell, row)) + "\n")
    types, rows = delivered(content.getvalue().encode(), "p.csv")
    for name, cells in table.items():
        assert all(same(row[name], text, types[name]) for row, text in zip(rows, cells, strict=True)), (
            name,
            types,
        )
        if types[name] in {"INT64", "NUMERIC", "FLOAT64"}:
            assert not any(text and re.match(r"[-+]?0\d", text) for text in cells)


JSON = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = [
    JSON,
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dates().map(str),
    st.text(max_size=5),
    st.integers().map(str),
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.text("ab", max_size=2), st.integers(0, 9), max_size=2),
]


def json_lines_are_delivered_as_they_stand_under_the_printed_line(rows: st.DataObject) -> None:
    names = rows.draw(st.lists(NAMES.filter(str.isprintable), min_size=1, max_size=4, unique=True))
    ways = [rows.draw(st.sampled_from(VALUES)) for _ in names]
    lines = rows.draw(st.lists(st.tuples(*ways), min_size=1, max_size=5))
    content = "".join(json.dumps(dict(zip(names, line, strict=True))) + "\n" for line in lines)
    types, found = delivered(content.encode(), "p.jsonl")
    for row, line in zip(found, lines, strict=True):
        for name, value in zip(names, line, strict=True):
            kind = types[name]
            written = value if value is None or isinstance(value, str) else json.dumps(value)
            if kind == "JSON" and isinstance(value, str):
                written = json.dumps(value)
            assert same(row[name], written, kind), (name, kind, row[name], written)


test_csv_is_delivered_as_it_stands = FEW(
    given(tables())(csv_is_delivered_as_it_stands_under_the_printed_line)
)
test_json_lines_are_delivered_as_they_stand = FEW(
    given(st.data())(json_lines_are_delivered_as_they_stand_under_the_printed_line)
)
test_much_csv = pytest.mark.soak(MANY(given(tables())(csv_is_delivered_as_it_stands_under_the_printed_line)))
test_many_json_lines = pytest.mark.soak(
    MANY(given(st.data())(json_lines_are_delivered_as_they_stand_under_the_printed_line))
)
