"""What is inferred of a file's columns: the narrowest type of which every value is, and a line that can be pasted."""

from __future__ import annotations

import tomllib
from pathlib import Path

import duckdb
import pytest

from foretell.delivery.columns import alternative, anything, declaring, infer, mending, tables
from foretell.delivery.declaration import line, named
from foretell.service.delivery import Column, Delivery

CSV = {
    "id": ("007,012", "STRING"),
    "count": ("1,-2", "INT64"),
    "gap": ("1,", "INT64"),
    "huge": ("12345678901234567890,1", "NUMERIC"),
    "p": ("0.5,1e-3", "FLOAT64"),
    "whole": ("1.0,2", "FLOAT64"),
    "nan": ("nan,0.5", "FLOAT64"),
    "digits": ("0.12345678901234567,0.1", "FLOAT64"),
    "money": ("90071992547409.93,0.01", "NUMERIC"),
    "big": ("9007199254740993,0.5", "NUMERIC"),
    "day": ("2026-01-01,2026-12-31", "DATE"),
    "no_day": ("2026-02-30,2026-12-31", "STRING"),
    "at": ("2026-01-01T06:00:00Z,2026-01-01 06:00:00.5+02:00", "TIMESTAMP"),
    "local": ("2026-01-01 06:00:00,2026-01-01T06:00:00.123456", "DATETIME"),
    "both": ("2026-01-01 06:00:00,2026-01-01 06:00:00Z", "STRING"),
    "clock": ("06:00:00,23:59:59.5", "TIME"),
    "ok": ("True,false", "BOOL"),
    "bit": ("1,0", "INT64"),
    "letter": ("t,f", "STRING"),
    "doc": ('{},"[1, 2]"', "JSON"),
    "none": (",", "STRING"),
    "empty": ('"",1', "STRING"),
    "mixed": ("1,a", "STRING"),
    "padded": (" 1,2", "STRING"),
    "exponent": ("1e400,1", "STRING"),
}


def test_a_type_is_taken_only_if_every_value_is_of_it(tmp_path: Path) -> None:
    rows = [[values.partition(",")[place] for values, _ in CSV.values()] for place in (0, 2)]
    (tmp_path / "p.csv").write_text("\n".join(",".join(row) for row in [list(CSV), *rows]))
    found = infer(anything("p.csv"), tmp_path, tmp_path / "aside")
    assert {each.name: each.type for each in found} == {name: kind for name, (_, kind) in CSV.items()}


def test_the_last_row_counts_too(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("n\n" + "1\n" * 20_000 + "x\n")
    assert declaring(anything("p.csv"), tmp_path, tmp_path / "aside") == 'columns = "n:STRING"'


def test_what_json_tells_apart_stays_apart(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"n": 1, "f": 1, "s": "1", "d": "2026-01-01", "b": true, "l": [1], "o": {"a": 1}, "m": 1, "z": null}\n'
        '{"n": 2, "f": 2.5, "s": "2", "d": null, "b": false, "l": [], "o": null, "m": "a", "z": null}\n'
    )
    types = {each.name: each.type for each in infer(anything("p.jsonl"), tmp_path, tmp_path / "aside")}
    expected = {
        "n": "INT64",
        "f": "FLOAT64",
        "s": "STRING",
        "d": "DATE",
        "b": "BOOL",
        "l": "JSON",
        "o": "JSON",
    }
    assert types == {**expected, "m": "STRING", "z": "STRING"}
    assert list(types) == ["n", "f", "s", "d", "b", "l", "o", "m", "z"]


def test_parquet_says_its_types_itself(tmp_path: Path) -> None:
    values = {
        "b": ("true", "BOOL"),
        "i": ("1::TINYINT", "INT64"),
        "u": ("18446744073709551615::UBIGINT", "NUMERIC"),
        "f": ("0.5::FLOAT", "FLOAT64"),
        "n": ("1.25::DECIMAL(18, 2)", "NUMERIC"),
        "m": ("1.25::DECIMAL(20, 12)", "BIGNUMERIC"),
        "s": ("'007'", "STRING"),
        "x": ("'a'::BLOB", "BYTES"),
        "d": ("DATE '2026-01-01'", "DATE"),
        "t": ("TIME '06:00:00'", "TIME"),
        "l": ("TIMESTAMP '2026-01-01 06:00:00'", "DATETIME"),
        "z": ("TIMESTAMPTZ '2026-01-01 06:00:00Z'", "TIMESTAMP"),
        "k": ("[1, 2]", "JSON"),
        "r": ("{'a': 1}", "JSON"),
        "e": ("NULL::DOUBLE", "FLOAT64"),
    }
    select = ", ".join(f'{value} AS "{name}"' for name, (value, _) in values.items())
    duckdb.execute(f"COPY (SELECT {select}) TO '{tmp_path}/p.parquet'")
    found = infer(anything("p.parquet"), tmp_path, tmp_path / "aside")
    assert {each.name: each.type for each in found} == {name: kind for name, (_, kind) in values.items()}


def test_what_directories_say_is_a_column_where_nothing_is_declared(tmp_path: Path) -> None:
    for day in ("2026-01-01", "2026-01-02"):
        (tmp_path / f"day={day}").mkdir()
        duckdb.execute(f"COPY (SELECT 'a7' AS id) TO '{tmp_path}/day={day}/p.parquet'")
    found = infer(anything("day=*/p.parquet"), tmp_path, tmp_path / "aside")
    assert {each.name: each.type for each in found} == {"day": "DATE", "id": "STRING"}
    declared = Delivery(
        file="*/p.parquet", table="t", columns=(Column(name="id", type="INT64", source="id"),)
    )
    assert mending(declared, tmp_path, tmp_path / "aside") == 'columns = "id:STRING"'


def test_what_is_declared_is_kept_as_far_as_it_holds(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("key,n,p,more\n1,2.5,1,x\n")
    columns = (
        Column(name="id", type="STRING", source="key", mode="REQUIRED"),
        Column(name="n", type="INT64", source="n"),
        Column(name="p", type="NUMERIC", source="p"),
        Column(name="gone", type="STRING", source="gone"),
        Column(name="run", type="STRING", source="@run"),
        Column(name="day", type="DATE", source="@date"),
    )
    delivery = Delivery(file="p.csv", table="t", columns=columns, mode="partition", partition="day")
    assert mending(delivery, tmp_path, tmp_path / "aside") == (
        'columns = {id = {type = "STRING", mode = "REQUIRED", from = "key"}, n = "FLOAT64", p = "NUMERIC", '
        'more = "STRING", run = {type = "STRING", from = "@run"}}'
    )


def test_what_is_ignored_is_not_declared(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("n,more\n2.5,x\n")
    delivery = Delivery(
        file="p.csv", table="t", columns=(Column(name="n", type="INT64", source="n"),), extra="ignore"
    )
    assert mending(delivery, tmp_path, tmp_path / "aside") == 'columns = "n:FLOAT64"'


def test_bytes_and_nested_values_are_not_declared_as_text(tmp_path: Path) -> None:
    duckdb.execute(f"COPY (SELECT [1] AS l, 'a'::BLOB AS b, 1 AS n) TO '{tmp_path}/p.parquet'")
    columns = tuple(Column(name=name, type="STRING", source=name) for name in "lbn")
    delivery = Delivery(file="p.parquet", table="t", columns=columns)
    assert mending(delivery, tmp_path, tmp_path / "aside") == 'columns = "l:JSON,b:BYTES,n:STRING"'


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"a,a\n", b"a\n1,2\n", b"\xff\n1\n"])
def test_of_what_is_no_table_nothing_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    assert mending(anything("p.csv"), tmp_path, tmp_path / "aside") == ""


def test_there_is_nothing_to_mend_where_the_declaration_holds(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("n\n1\n")
    delivery = Delivery(file="p.csv", table="t", columns=(Column(name="n", type="FLOAT64", source="n"),))
    assert mending(delivery, tmp_path, tmp_path / "aside") == ""


def test_a_text_that_means_no_value_is_told(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,p\na,0.5\nb,NA\nNA,1\n")
    lines = alternative(anything("p.csv"), tmp_path, tmp_path / "aside")
    assert lines == 'null = ["NA"]\ncolumns = "id:STRING,p:FLOAT64"'
    declared = (Column(name="id", type="STRING", source="id"), Column(name="p", type="STRING", source="p"))
    told = Delivery(file="p.csv", table="t", columns=declared, null=("NA",))
    assert alternative(told, tmp_path, tmp_path / "aside") == lines


def test_a_column_that_gains_no_type_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,p\n1,0.5\n2,x\n")
    columns = (Column(name="id", type="STRING", source="id"), Column(name="p", type="STRING", source="p"))
    delivery = Delivery(file="p.csv", table="t", columns=columns)
    assert alternative(delivery, tmp_path, tmp_path / "aside") == ""


def test_names_become_what_a_warehouse_takes() -> None:
    taken: set[str] = set()
    odd = ["a", "A", "my col", "1st", "Größe", "", "_PARTITIONTIME", "x" * 200, "日本", "my-col"]
    made = [named(name, taken) for name in odd]
    expected = [
        "a",
        "A_2",
        "my_col",
        "_1st",
        "Groe",
        "column",
        "PARTITIONTIME",
        "x" * 120,
        "column_2",
        "my_col_2",
    ]
    assert made == expected


def test_the_line_is_toml_whatever_the_names() -> None:
    odd = [Column(name=f"c{place}", type="STRING", source=text) for place, text in enumerate('a"b\\ \n\x7fé')]
    value = tomllib.loads(line(odd))["columns"]
    assert [told["from"] for told in value.values()] == [each.source for each in odd]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["predictions.csv", "model.bin", "metrics.json"], ["predictions.csv"]),
        (["part-0.csv", "part-1.csv", "part-10.csv"], ["part-*.csv"]),
        (["d=1/p.parquet", "d=2/p.parquet"], ["d=*/p.parquet"]),
        (["a.jsonl.gz", "b.tsv", "c.CSV"], ["a.jsonl.gz", "b.tsv", "c.CSV"]),
        (["model.pkl", "._a.csv", ".cache/a.csv", "d/.part.parquet"], []),
    ],
)
def test_the_parts_of_a_table_are_one(names: list[str], expected: list[str]) -> None:
    assert tables(names) == expected
