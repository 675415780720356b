"""Files as programs really write them: what is read of each, and what is said of those that are something else."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foretell.service.delivery import Column
from foretell.warehouses.documents import document
from tests.unit.delivery.test_validate import Desk, column

ID, P = column("id"), column("p", "FLOAT64")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# CSV


@pytest.mark.parametrize(
    "content",
    [
        "id,p\r\na,0.5\nb,0.6\r\n",
        "id,p\na,0.5\r\nb,0.6",
        "id,p\ra,0.5\nb,0.6\r\n",
        '\ufeff"id","p"\r\n"a",0.5\n"b",0.6\n',
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_lines_may_end_in_several_ways(desk: Desk, content: str, *, zipped: bool) -> None:
    data = content.encode()
    file = "p.csv" + ".gz" * zipped
    desk.write(file, gzip.compress(data, mtime=0) if zipped else data)
    assert desk.rows(ID, P, file=file) == [("a", 0.5), ("b", 0.6)]


def test_line_ends_inside_of_values_stay_as_they_are(desk: Desk) -> None:
    desk.write("p.csv", 'id,p\r\n"a\r\n,""b\rc\n",1\nd"e,2\n"x\r\ny",3')
    assert desk.rows(ID, P) == [('a\r\n,"b\rc\n', 1), ('d"e', 2), ("x\r\ny", 3)]


def test_a_fault_in_a_file_of_several_line_ends_is_on_its_row(desk: Desk) -> None:
    desk.write("p.csv", 'id,p\r\n"a\nb",1\r\nc,2\nd,e\n')
    assert desk.refusal(ID, P).where == 'row 3 of "p.csv", column "p"'


def test_rows_of_several_megabytes_are_read(desk: Desk) -> None:
    long, lines = "x" * 2_100_000, "y\n" * 1_500_000
    desk.write("p.csv", f'id,p\n{long},1\n"{lines}",2\n')
    desk.write("p.jsonl", json.dumps({"id": "z" * 17_000_000, "p": 3}) + "\n")
    assert desk.rows(ID, P, file="p.csv") == [(long, 1), (lines, 2)]
    assert desk.rows(ID, P, file="p.jsonl") == [("z" * 17_000_000, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["p.csv", "p.jsonl"])
def test_rows_of_a_hundred_megabytes_are_read(desk: Desk, file: str) -> None:
    long = "z" * 99_000_000
    desk.write(file, f"id,p\na,1\n{long},2\n" if file == "p.csv" else json.dumps({"id": long, "p": 2}) + "\n")
    assert desk.rows(ID, P, file=file)[-1] == (long, 2)


@pytest.mark.parametrize(
    ("name", "content", "why", "mend"),
    [
        ("p.csv", b"sep=;\nid;p\na;1\n", "its first line, sep=;", "write commas between fields"),
        ("p.csv", b"sep=,\r\nid,p\r\na,1\r\n", "its first line, sep=,", "remove that line"),
        ("p.tsv", b"\xef\xbb\xbfsep=\t\nid\tp\n", "its first line, sep=", "write tabs between fields"),
        ("p.csv", gzip.compress(b"id,p\na,1\n", mtime=0), "it is gzip", 'rename it to "p.csv.gz"'),
        ("p.jsonl", gzip.compress(b"{}\n", mtime=0), "it is gzip", 'rename it to "p.jsonl.gz"'),
        ("p.csv", b"PK\x03\x04rest", "an Excel workbook", "write it as text"),
        ("p.csv", b"PAR1rest", "it is Parquet", ".parquet"),
        ("p.csv", "id,p\n".encode("utf-16"), "it is UTF-16, not UTF-8", 'encoding="utf-8"'),
        ("p.csv", b"id;p\na;1\n", 'in the file: "id;p"', 'it has ";" between its fields: write commas'),
        ("p.tsv", b"id,p\na,1\n", 'in the file: "id,p"', 'write tabs (in pandas: sep="\\t")'),
        ("p.csv", b"id,p,\na,0.5,\n", 'not declared: ""', "the header ends with a delimiter"),
        ("p.csv", b"id,p\na,0.5\nb,0.6,\n", "has 2 fields, the line 3", "remove the delimiter"),
        ("p.csv", b"id,p\na,\nb,0.6,", "has 2 fields, the line 3", "remove the delimiter"),
    ],
)  # fmt: skip
def test_what_is_something_else_is_called_by_its_name(
    desk: Desk, name: str, content: bytes, why: str, mend: str
) -> None:
    desk.write(name, content)
    refusal = desk.refusal(ID, P, file=name)
    assert why in refusal.why
    assert mend in refusal.hint


def test_a_last_field_may_be_empty(desk: Desk) -> None:
    desk.write("p.csv", 'id,p\na,\n"b,\n",1\nc,')
    assert desk.rows(ID, P) == [("a", None), ("b,\n", 1), ("c", None)]


@pytest.mark.parametrize(
    ("kind", "text", "mend"),
    [
        ("INT64", "1,234", "without thousands separators"),
        ("NUMERIC", "1 234.5", "without thousands separators"),
        ("FLOAT64", "1.234,5", "with a decimal point, not a comma"),
        ("FLOAT64", "0,5", "with a decimal point, not a comma"),
        ("FLOAT64", "NULL", 'leave the field empty where there is no value, or declare null = ["NULL"]'),
        ("INT64", "nan", 'declare null = ["nan"]'),
        ("DATE", "NaT", 'declare null = ["NaT"]'),
        ("BOOL", "", "leave the field empty"),
        ("FLOAT64", "9007199254740993", "cannot represent this whole number exactly"),
        ("DATE", "0000-01-01", "is 0001-01-01 to 9999-12-31"),
        ("TIMESTAMP", "9999-12-31 23:59:59-05:00", "is 0001-01-01 to 9999-12-31, in UTC"),
        ("TIMESTAMP", "0001-01-01 00:00:00+05:00", "is 0001-01-01 to 9999-12-31, in UTC"),
        ("TIMESTAMP", "2026-11-21 06:00:00+99:00", "write 2026-11-21 06:00:00+00:00"),
        ("DATETIME", "9999-12-31 24:00:00", "is 0001-01-01 to 9999-12-31"),
        ("DATETIME", "2026-11-21 24:00:00", "write 2026-11-21 06:00:00"),
        ("TIME", "24:00:00", "up to 23:59:59.999999"),
    ],
)
def test_the_hint_fits_the_text(desk: Desk, kind: str, text: str, mend: str) -> None:
    desk.write("p.csv", f'id,x\na,"{text}"\n')
    refusal = desk.refusal(ID, column("x", kind))
    assert refusal.what == f'"{text}" in column "x" is not {kind}'
    assert mend in refusal.hint


@pytest.mark.parametrize(
    "text", ["-9007199254740992", "00012", "100000000000000000000", "9007199254740993.0"]
)
def test_a_whole_number_that_a_double_holds_is_one(desk: Desk, text: str) -> None:
    desk.write("p.csv", f"x\n{text}\n")
    assert desk.rows(column("x", "FLOAT64")) == [(float(text),)]


# JSON

JSON_TEXTS = [
    '{"shap": NaN}', "[-Infinity]", "NaN", "[1,]", '{"a": 1,}', "[1e400]", "-1e999", "1" * 400 + ".5",
    "[" * 501 + "]" * 501, '{"a":' * 600 + "1" + "}" * 600, "{'a': 1}", '"\\ud800"', "01",
]  # fmt: skip


@pytest.mark.parametrize("text", JSON_TEXTS, ids=lambda text: text[:20])
def test_json_is_what_its_standard_says_and_a_double_holds(desk: Desk, text: str) -> None:
    quoted = text.replace('"', '""')
    desk.write("p.csv", f'id,x\na,"[1]"\nb,"{quoted}"\n')
    refusal = desk.refusal(ID, column("x", "JSON"))
    assert refusal.what.endswith('in column "x" is not JSON')
    assert refusal.where == 'row 2 of "p.csv", column "x"'
    pq.write_table(pa.table({"x": ["1", text]}), desk.output / "p.parquet")
    assert desk.refusal(column("x", "JSON"), file="p.parquet").where == 'row 2 of "p.parquet", column "x"'


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "NaN, Infinity, 1e400, ,]"}', '"x\\"y, nan"', "[1e308, -0, 1E+2, 0.1000000000000000055]",
        "[" * 500 + "]" * 500, "[" + "[]," * 3000 + "[]]", '{"a": 1, "a": 2}', '["[[[[", "\\\\"]', "null",
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_only_looks_like_that_is_kept_letter_by_letter(desk: Desk, text: str) -> None:
    quoted = text.replace('"', '""')
    desk.write("p.csv", f'x\n"{quoted}"\n')
    assert desk.rows(column("x", "JSON")) == [(text,)]


@pytest.mark.parametrize(
    ("line", "kind", "value"),
    [
        ('{"n": 90071992547409.93}', "NUMERIC", "90071992547409.930000000"),
        ('{"n": 1.10}', "STRING", "1.10"),
        ('{"a": "-1 \\"2", "n": 1e3, "b": [1.5, {"n": 2}]}', "STRING", "1e3"),
        ('{"n": 12345678901234567890123}', "STRING", "12345678901234567890123"),
        ('{"n": true}', "STRING", "true"),
        ('{"n": {"a": [90071992547409.931, "1.50", -0.1e-400], "b": "\\u00e5\\ud83d\\ude00"}}', "JSON",
         '{"a":[90071992547409.931,"1.50",-0.1e-400],"b":"å😀"}'),
        ('{"n": 0.100000000000000005551}', "JSON", "0.100000000000000005551"),
        ('{"n": 0.1}', "FLOAT64", "0.1"),
        ('{"n": "1.10"}', "NUMERIC", "1.100000000"),
    ],
)  # fmt: skip
def test_a_number_of_json_is_its_digits(desk: Desk, line: str, kind: str, value: str) -> None:
    desk.write("p.jsonl", line + "\n")
    assert str(desk.rows(column("n", kind), file="p.jsonl", extra="ignore")[0][0]) == value


@pytest.mark.parametrize(
    ("line", "kind", "told"),
    [
        ('{"n": 0.100000000000000005551}', "NUMERIC", '"0.100000000000000005551" in column "n" is not NUMERIC'),
        ('{"n": 9007199254740993}', "FLOAT64", '"9007199254740993" in column "n" is not FLOAT64'),
        ('{"n": NaN}', "FLOAT64", 'the value in column "n" is not JSON'),
        ('{"n": 1e400}', "FLOAT64", 'the value in column "n" is not JSON'),
        ('{"n": [1, -Infinity]}', "JSON", 'the value in column "n" is not JSON'),
        ('{"n": 1, "n": 2}', "INT64", 'the key "n" occurs 2 times'),
        ('{"n": {"a": 1}}', "STRING", '"{"a":1}" in column "n" is JSON, not STRING'),
        ('{"n": 1,}', "INT64", 'row 2 of "p.jsonl" is not a JSON object'),
        ('{"n": "\\udc00"}', "STRING", 'row 2 of "p.jsonl" is not a JSON object'),
        ('{"n": 12345678901234567.5, "\\ufdd0": 1}', "JSON", '"12345678901234568.0" in column "n" is not JSON'),
    ],
)  # fmt: skip
def test_what_is_no_json_or_would_be_rounded_is_refused_with_its_row(
    desk: Desk, line: str, kind: str, told: str
) -> None:
    desk.write("p.jsonl", f'{{"n": null}}\n\n{line}\n')
    refusal = desk.refusal(column("n", kind), file="p.jsonl", extra="ignore")
    assert refusal.what == told
    assert 'row 2 of "p.jsonl"' in (refusal.where or told)


def test_a_byte_order_mark_is_no_part_of_a_line(desk: Desk) -> None:
    for file, pack in (("p.jsonl", bytes), ("p.jsonl.gz", gzip.compress)):
        desk.write(file, pack('\ufeff{"id": "a", "p": 1}\n{"id": "b"}\n'.encode()))
        assert desk.rows(ID, P, file=file) == [("a", 1.0), ("b", None)]


@pytest.mark.parametrize(
    "text", [*JSON_TEXTS, " " + "[" * 100_000, "9" * 5000, "", '{"a": 1e-400}'], ids=lambda text: text[:20]
)
def test_whatever_is_stored_can_be_shown(text: str) -> None:
    assert document(text) == text
    assert document('{"a": [1, 1.5, null, "x"], "b": 123456789012345678901}') in (
        {"a": [1, 1.5, None, "x"], "b": 123456789012345678901},
        '{"a": [1, 1.5, null, "x"], "b": 123456789012345678901}',
    )


# Several files


def test_an_empty_file_among_others_is_an_empty_part(desk: Desk) -> None:
    desk.write("part-0.jsonl", "")
    desk.write("part-1.jsonl", '{"id": "a", "p": 0.5}\n')
    desk.write("part-2.jsonl", "\n \n")
    desk.write("part-3.csv", "")
    desk.write("part-4.csv.gz", gzip.compress(b"", mtime=0))
    desk.write("part-5.csv", "\ufeff")
    assert desk.rows(ID, P, file="part-*") == [("a", 0.5)]
    assert desk.rows(ID, P, file="part-0.jsonl") == []
    assert desk.rows(ID, P, file="part-[02].jsonl") == []
    assert "header" in desk.refusal(ID, P, file="part-*.csv").hint


def test_no_file_that_is_hidden_is_a_part(desk: Desk) -> None:
    for name in ("a/1.csv", "a/._1.csv", "a/.1.csv.crc", ".b/2.csv", "a/b/c/3.csv"):
        desk.write(name, "id,p\nx,1\n" if name.endswith("csv") and "." not in name[:-4] else b"\0\5")
    assert len(desk.rows(ID, P, file="**/*.csv")) == 2
    assert len(desk.rows(ID, P, file="a/**")) == 2
    assert len(desk.rows(ID, P, file="a/*")) == 1
    assert 'file = "a/**"' in desk.refusal(ID, P, file="a").hint


def test_a_column_may_be_in_the_names_of_directories(desk: Desk) -> None:
    day, city, n = column("day", "DATE"), column("city"), column("n", "INT64")
    frame = pd.DataFrame({"day": ["2026-11-21", "2026-11-22"], "city": ["Malmö/N", None], "n": [1, 2]})
    frame.to_parquet(desk.output / "parts", partition_cols=["day", "city"])
    found = sorted(desk.rows(day, city, n, file="parts/**/*.parquet"), key=str)
    assert [(str(a), b, c) for a, b, c in found] == [("2026-11-21", "Malmö/N", 1), ("2026-11-22", None, 2)]
    desk.write("day=2026-11-23/p.csv", "n\n3\n")
    desk.write("day=2026-11-24/p.jsonl", '{"n": 4}\n{"n": 5, "day": "2026-11-25"}\n')
    desk.write("day=2026-11-26/p.jsonl", '{"n": 6}\n')
    rows = [(day and str(day), n) for day, n in desk.rows(day, n, file="day=*/*")]
    assert rows == [("2026-11-23", 3), (None, 4), ("2026-11-25", 5), ("2026-11-26", 6)]
    desk.write("day=today/p.csv", "n\n3\n")
    assert desk.refusal(day, n, file="day=t*/*").what == '"today" in column "day" is not DATE'


# Parquet


def test_names_are_those_of_the_file(desk: Desk) -> None:
    pq.write_table(
        pa.table([pa.array([1]), pa.array([2]), pa.array([{"X": 3}])], names=["x", "X", "s"]),
        desk.output / "p.parquet",
    )
    y, s = Column(name="y", type="INT64", source="X"), column("s", "JSON")
    assert desk.rows(column("x", "INT64"), y, s, file="p.parquet") == [(1, 2, '{"X":3}')]
    assert 'in the file: "x", "X", "s"' in desk.refusal(column("z"), file="p.parquet").why
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]), desk.output / "p.parquet")
    assert desk.refusal(column("x"), file="p.parquet").why == 'it has duplicate columns: "x"'


def test_the_index_of_a_frame_without_a_name_is_left_out(desk: Desk) -> None:
    frame = pd.DataFrame({"id": list("abcd"), "p": [0.9, 0.1, 0.6, 0.7]}).query("p > 0.5")
    frame.to_parquet(desk.output / "p.parquet")
    assert desk.rows(ID, P, file="p.parquet") == [("a", 0.9), ("c", 0.6), ("d", 0.7)]
    there = column("__index_level_0__", "INT64")
    assert desk.rows(there, ID, P, file="p.parquet")[1] == (2, "c", 0.6)
    frame.set_index([["x", "y", "z"], [1, 2, 3]]).to_parquet(desk.output / "p.parquet")
    assert desk.rows(ID, P, file="p.parquet") == [("a", 0.9), ("c", 0.6), ("d", 0.7)]
    frame.rename_axis("customer").to_parquet(desk.output / "p.parquet")
    assert 'not declared: "customer"' in desk.refusal(ID, P, file="p.parquet").why


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        (pa.array([3_000_000], pa.date32()), "DATE", "is not DATE"),
        (pa.array([-(2**62)], pa.timestamp("us")), "DATETIME", "is not DATETIME"),
        (pa.array([10**15], pa.timestamp("ms")), "DATETIME", "is not DATETIME"),
        (pa.array([2**53 + 1]), "FLOAT64", '"9007199254740993" in column "x" is not FLOAT64'),
        (pa.array([2**64 - 1], pa.uint64()), "INT64", "is not INT64"),
        (pa.array([0.1], pa.float32()), "NUMERIC", '"0.10000000149011612" in column "x" is not NUMERIC'),
        (pa.array([[float("nan")]]), "JSON", "is not JSON"),
        (pa.array([{"a": b"x"}]), "JSON", "has the type"),
        (pa.array([{"": [1], "a": 1}]), "JSON", "has the type"),
        (pa.array([{"": 1}]), "STRING", "has the type"),
    ],
)
def test_parquet_of_values_that_no_column_takes_is_refused(
    desk: Desk, values: pa.Array, kind: str, told: str
) -> None:
    pq.write_table(pa.table({"x": values}), desk.output / "p.parquet")
    assert told in desk.refusal(column("x", kind), file="p.parquet").what
