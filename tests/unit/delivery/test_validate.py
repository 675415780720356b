"""What a delivery's files must hold, and what is said when they do not."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from foretell.delivery.validate import Checked, check
from foretell.delivery.validate import desk as open_desk
from foretell.errors import DeliveryRejectedError, WarehouseError
from foretell.service.delivery import TYPES, Column, Delivery

DATE = "2026-11-21T07:00:00+01:00"


def column(name: str, kind: str = "STRING", **more: str) -> Column:
    return Column(**{"name": name, "type": kind, "source": name, **more})


KEYS = ("mode", "partition_column", "granularity", "null", "extra")
PLAYER, LABEL = column("player_id"), column("label", "BOOL")


class Desk:
    """An output directory, and the check of what is in it."""

    def __init__(self, directory: Path) -> None:
        self.output = directory / "output"
        self.into = directory / "checked"
        self.output.mkdir()

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def parquet(self, name: str, select: str) -> None:
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({select}) TO '{self.output / name}' (FORMAT parquet)")

    def check(self, *columns: Column, file: str = "p.csv", **more: object) -> Checked:
        known = {key: more.pop(key) for key in KEYS if key in more}
        known = {key.removesuffix("_column"): value for key, value in known.items()}
        delivery = Delivery(file=file, table="t", columns=columns, **known)
        return check(delivery, self.output, self.into, **({"date": DATE, "run": "run-1"} | more))

    def rows(self, *columns: Column, **more: object) -> list[tuple[object, ...]]:
        checked = self.check(*columns, **more)
        files = [str(file) for file in checked.files]
        reading = "FROM read_parquet(?, hive_partitioning = false)"
        # Python has no time zone for an instant without another package, so it comes as text.
        values = ", ".join(
            f'CAST("{each.name}" AS VARCHAR)' if each.type == "TIMESTAMP" else f'"{each.name}"'
            for each in columns
        )
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            described = connection.execute(f"DESCRIBE {reading}", [files[:1]]).fetchall()
            assert [row[:2] for row in described] == [(each.name, TYPES[each.type]) for each in columns]
            rows = connection.execute(f"SELECT {values} {reading}", [files]).fetchall()
        assert len(rows) == checked.rows
        return rows

    def refusal(self, *columns: Column, **more: object) -> DeliveryRejectedError:
        with pytest.raises(DeliveryRejectedError) as caught:
            self.check(*columns, **more)
        return caught.value


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# Columns go by name


def test_columns_are_matched_by_name_and_come_in_declared_order(desk: Desk) -> None:
    desk.write("p.csv", "label,player_id\ntrue,a\nfalse,b\n")
    assert desk.rows(PLAYER, LABEL) == [("a", True), ("b", False)]


def test_a_column_is_taken_from_where_it_is_said_to_be(desk: Desk) -> None:
    desk.write("p.csv", "customer_id,label\na,true\n")
    twice = column("again", source="customer_id")
    assert desk.rows(column("player_id", source="customer_id"), LABEL, twice) == [("a", True, "a")]


def test_another_name_is_refused_with_both_lists_and_the_from_that_mends_it(desk: Desk) -> None:
    desk.write("p.csv", "customer_id,label\na,true\n")
    refusal = desk.refusal(column("player_id", mode="REQUIRED"), LABEL)
    assert 'declared: "player_id", "label"; in the file: "customer_id", "label"' in refusal.why
    mending = (
        'columns = {player_id = {type = "STRING", mode = "REQUIRED", from = "customer_id"}, label = "BOOL"}'
    )
    assert mending in refusal.hint


def test_the_index_that_pandas_writes_is_called_that(desk: Desk) -> None:
    desk.write("p.csv", ",label\na,true\n")
    refusal = desk.refusal(PLAYER, LABEL)
    assert "index=False" in refusal.hint
    assert 'columns = {player_id = {type = "STRING", from = ""}, label = "BOOL"}' in refusal.hint
    assert desk.rows(column("player_id", source=""), LABEL) == [("a", True)]


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("player_id", 'missing: "label"'),
        ("player_id,label,score", 'not declared: "score"'),
        ("Player_Id,label", 'missing: "player_id"; not declared: "Player_Id"'),
        ("player_id;label", 'in the file: "player_id;label"'),
        ("player_id,player_id,label", 'repeats "player_id"'),
    ],
)
def test_any_other_header_is_refused(desk: Desk, header: str, why: str) -> None:
    desk.write("p.csv", header + "\n")
    assert why in desk.refusal(PLAYER, LABEL).why


def test_columns_that_are_not_declared_may_be_ignored(desk: Desk) -> None:
    desk.write("1.csv", 'why,player_id,,label\n"a\nb",a,1,true\n')
    desk.write("2.ndjson", '{"player_id": "b", "why": {}, "label": false}\n')
    desk.parquet("3.parquet", "SELECT [1] AS why, 'c' AS player_id, NULL AS label")
    found = [("a", True), ("b", False), ("c", None)]
    assert desk.rows(PLAYER, LABEL, file="*", extra="ignore") == found
    assert 'extra = "ignore"' in desk.refusal(PLAYER, LABEL, file="*").hint
    assert 'missing: "score"' in desk.refusal(PLAYER, column("score"), file="*", extra="ignore").why


def test_constants_are_the_runs_own(desk: Desk) -> None:
    desk.write("p.csv", "player_id\na\n")
    kinds = {"day": "DATE", "local": "DATETIME", "instant": "TIMESTAMP", "text": "STRING"}
    dates = [column(name, kind, source="@date") for name, kind in kinds.items()]
    row = desk.rows(*dates, column("run", source="@run"), column("model", source="@model"), PLAYER)[0]
    assert [str(value) for value in row] == [
        "2026-11-21",
        "2026-11-21 07:00:00",
        "2026-11-21 06:00:00+00",
        "2026-11-21",
        "run-1",
        "None",
        "a",
    ]
    refusal = desk.refusal(PLAYER, column("model", mode="REQUIRED", source="@model"))
    assert refusal.what == 'column "model" is REQUIRED and has no value'


# Files


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", "player_id,label\na,true\nb,\n"),
        ("p.csv", "\ufeffplayer_id,label\r\na,true\r\nb,\r\n"),
        ("p.csv", '"player_id","label"\n"a","true"\n"b",'),
        ("p.tsv", "player_id\tlabel\na\ttrue\nb\t\n"),
        ("p.ndjson", '{"player_id": "a", "label": true}\n\n{"label": null, "player_id": "b"}\n'),
        ("p.jsonl", '{"player_id": "a", "label": true}\r\n{"player_id": "b"}'),
        ("p.json", '{"player_id": "a", "label": 1}\n{"player_id": "b"}'),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_text_format_is_read(desk: Desk, name: str, content: str, *, zipped: bool) -> None:
    data = content.encode()
    file = name + ".gz" * zipped
    desk.write(file, gzip.compress(data, mtime=0) if zipped else data)
    assert desk.rows(PLAYER, LABEL, file=file) == [("a", True), ("b", None)]


def test_a_glob_may_mean_many_files_of_several_formats_and_orders(desk: Desk) -> None:
    desk.write("part/1.csv", "player_id,label\na,t\n")
    desk.write("part/2.csv", "label,player_id\nf,b\n")
    desk.write("part/3.ndjson", '{"player_id": 3}\n')
    desk.write("part/4.ndjson", '{"player_id": 4, "label": true}\n')
    desk.parquet("part/5.parquet", "SELECT 5 AS player_id, false AS label")
    found = desk.rows(PLAYER, LABEL, file="part/*")
    assert found == [("a", True), ("b", False), ("3", None), ("4", True), ("5", False)]


@pytest.mark.parametrize("name", ["a[1].csv", "wh*t?.csv", "it's.csv", "{x}.csv", "day=1/p.csv", "å b.csv"])
def test_names_with_a_meaning_elsewhere_are_names_here(desk: Desk, name: str) -> None:
    desk.write(name, "player_id\na\n")
    desk.write("what!.csv", "player_id\nother\n")
    assert desk.rows(PLAYER, file=name) == [("a",)]


@pytest.mark.parametrize("name", ["a[1].parquet", "wh*t?.parquet", "it''s.parquet"])
def test_parquet_too(desk: Desk, name: str) -> None:
    desk.parquet(name, "SELECT 'a' AS player_id")
    assert desk.rows(PLAYER, file=name.replace("''", "'")) == [("a",)]


def test_nothing_found_is_told_with_what_is_there(desk: Desk) -> None:
    assert desk.refusal(PLAYER).why == "it is empty"
    desk.write("prediction.csv", "player_id\na\n")
    refusal = desk.refusal(PLAYER, file="predictions*.csv")
    assert refusal.what == 'the command did not write "predictions*.csv"'
    assert refusal.why == 'it contains "prediction.csv"'


def test_a_header_alone_is_no_rows(desk: Desk) -> None:
    desk.write("p.csv", "player_id,label\n")
    assert desk.rows(PLAYER, LABEL) == []


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("p.csv", b"", '"p.csv" is empty'),
        ("p.csv", b"\n\n", "its first line, the header, is empty"),
        ("p.csv", b"\nplayer_id,label\na,true\n", "its first line, the header, is empty"),
        ("p.csv", "player_id\n".encode("utf-16"), "not UTF-8"),
        ("p.csv", b"player_id,label\na,true\nb,\xe5\n", "line 3"),
        ("p.csv", b"player_id,label\na,true\nb\n", "line 3"),
        ("p.csv", b"player_id,label\na,true\nb,true,x\n", "line 3"),
        ("p.csv.gz", b"player_id\na\n", '"p.csv.gz" cannot be read'),
        (
            "p.csv.gz",
            gzip.compress(b"player_id,label\n" + b"a,true\n" * 9999, mtime=0)[:60],
            '"p.csv.gz" cannot be read',
        ),
        ("p.ndjson", b"{}\n", 'missing: "player_id", "label"'),
        ("p.ndjson", b'{"player_id": "a", "label": true}\n{"player_id": \n', "row 2"),
        ("p.ndjson", b'{"player_id": "\xe5"}\n', "row 1"),
        ("p.json", b'[{"player_id": "a", "label": true}]', "orient="),
        ("p.json", b'{"player_id": "a",\n "label": true}', "row 1"),
        ("p.parquet", b"PAR1 but not really PAR1", '"p.parquet" cannot be read'),
        ("p.xlsx", b"PK", "is not supported"),
        ("p.parquet.gz", b"PK", "is not supported"),
    ],
)
def test_what_cannot_be_read_is_told(desk: Desk, name: str, content: bytes, told: str) -> None:
    desk.write(name, content)
    assert told in str(desk.refusal(PLAYER, LABEL, file=name))


def test_line_breaks_in_quotes_are_read_as_they_are_written(desk: Desk) -> None:
    # DuckDB's parallel reader takes the inside of such fields for rows where a piece of the file begins there.
    order = random.Random(7)
    texts = ['x,\n"",y\n' * order.randrange(9) for _ in range(150_000)]
    lines = (f'{place},"{text}"\n' for place, text in enumerate(texts))
    desk.write("p.csv", "n,text\n" + "".join(lines))
    checked = desk.check(column("n"), column("text"))
    query = "SELECT CAST(n AS INT), text FROM read_parquet(?)"
    with duckdb.connect() as connection:
        found = connection.execute(query, [str(checked.files[0])]).fetchall()
    assert found == [(place, text.replace('""', '"')) for place, text in enumerate(texts)]


@pytest.mark.parametrize("tail", ['"b,true\n', '"b,true', 'b,"true', '"b\nb,true\nc,true\nd,true\n', '"'])
@pytest.mark.parametrize("zipped", [False, True])
def test_rows_after_an_open_quote_are_not_left_out(desk: Desk, tail: str, *, zipped: bool) -> None:
    # DuckDB's serial reader leaves them out without a word.
    data = f'player_id,label\n"a",true\n{tail}'.encode()
    file = "p.csv" + ".gz" * zipped
    desk.write(file, gzip.compress(data, mtime=0) if zipped else data)
    assert "unexpected end of data" in desk.refusal(PLAYER, LABEL, file=file).why


@pytest.mark.parametrize(
    "content",
    [
        'player_id,label\n"a\n\n1",true\n\n\n"b",false\n\n',
        '"player_id",label\r"a\n\n1",true\r"b",false\r',
    ],
)
def test_blank_lines_and_breaks_inside_of_values_are_told_apart(desk: Desk, content: str) -> None:
    desk.write("p.csv", content)
    assert desk.rows(PLAYER, LABEL) == [("a\n\n1", True), ("b", False)]


def test_neighbours_of_other_types_are_read_by_their_own(desk: Desk) -> None:
    desk.parquet("1.parquet", "SELECT 1 AS x")
    desk.parquet("2.parquet", "SELECT '2' AS x")
    assert desk.rows(column("x", "INT64"), file="*.parquet") == [(1,), (2,)]


# Values

SOUND = {
    "STRING": ["a", " a ", "åäö"],
    "INT64": ["0", "-7", "+7", " 42 ", "9223372036854775807"],
    "FLOAT64": ["0.5", "-1e-5", "3", "nan", "NaN", "inf", "-Infinity", "1e308"],
    "NUMERIC": ["0.1", "-99999999999999999999999999999.999999999", "7", "1.5000000000000"],
    "BIGNUMERIC": ["0.000000000000000001"],
    "BOOL": ["true", "False", "T", "f", "1", "0"],
    "DATE": ["2026-11-21", "2026-1-2", "2026-11-21 00:00:00"],
    "TIME": ["06:00", "06:00:00.123456"],
    "DATETIME": ["2026-11-21 06:00:00", "2026-11-21T06:00:00.5", "2026-11-21"],
    "TIMESTAMP": [
        "2026-11-21 06:00:00+00:00",
        "2026-11-21T06:00:00Z",
        "2026-11-21 06:00:00 UTC",
        "2026-11-21 06:00:00",
    ],
    "JSON": ['{"a": [1, null]}', "3", '"text"', "null"],
    "BYTES": ["AP8=", ""],
}
UNSOUND = {
    "INT64": ["3.0", "3.7", "1e3", "0x1F", "1_000", "9223372036854775808", "seven", ""],
    "FLOAT64": ["1,5", "1_000", "1e400", "-1e999", "one", ""],
    "NUMERIC": ["0.0000000001", "1e3", "nan", "100000000000000000000000000000", "1_0", ""],
    "BIGNUMERIC": ["0.0000000000000000001"],
    "BOOL": ["yes", "no", "y", "on", "2", "1.0", ""],
    "DATE": [
        "2026-02-30",
        "21.11.2026",
        "20261121",
        "infinity",
        "2026-11-21 06:00:00",
        "2026-11-21 (BC)",
        "",
    ],
    "TIME": ["25:00:00", "06:00:00.1234567", "06:00:00+02"],
    "DATETIME": ["2026-11-21 06:00:00+00:00", "2026-11-21 06:00:00.1234567", "now"],
    "TIMESTAMP": ["2026-11-21 06:00:00 Europe/Stockholm", "1795240800", "2026-11-21 06:00:00.1234567Z"],
    "JSON": ["{", "text", ""],
    "BYTES": ["A", "€"],
}


def cases(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(kind, value) for kind, values in table.items() for value in values]


def quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


@pytest.mark.parametrize(("kind", "value"), cases(SOUND))
def test_a_value_of_its_type_is_taken(desk: Desk, kind: str, value: str) -> None:
    desk.write("p.csv", f"x\n{quoted(value)}\n")
    assert desk.rows(column("x", kind))[0][0] is not None


@pytest.mark.parametrize(("kind", "value"), cases(UNSOUND))
def test_a_value_that_is_not_of_its_type_is_told(desk: Desk, kind: str, value: str) -> None:
    good = quoted(SOUND[kind][0])
    desk.write("p.csv", f"id,x\na,{good}\nb,\nc,{quoted(value)}\nd,{quoted(value)}\n")
    refusal = desk.refusal(column("id"), column("x", kind))
    assert refusal.what == f'"{value}" in column "x" is not {kind}'
    assert refusal.where == 'row 3 of "p.csv", column "x"'
    assert refusal.hint


@pytest.mark.parametrize(("kind", "value"), [case for case in cases(UNSOUND) if case[1]])
def test_no_format_is_laxer_than_csv(desk: Desk, kind: str, value: str) -> None:
    desk.parquet("p.parquet", f"SELECT '{value}' AS x")
    assert "is not " + kind in desk.refusal(column("x", kind), file="p.parquet").what


def test_an_empty_field_is_null_and_a_quoted_one_is_empty_text(desk: Desk) -> None:
    desk.write("p.csv", 'x,y\n,1\n"",2\n')
    assert desk.rows(column("x"), column("y")) == [(None, "1"), ("", "2")]


def test_a_declared_text_of_a_whole_unquoted_cell_is_null(desk: Desk) -> None:
    # As R writes it: NA for no value, "NA" in quotes for the text.
    desk.write("p.csv", 'x,y,z\nNA,1,a\n"NA",NA,-\n NA,,\n"",2,NANA\n')
    columns = column("x"), column("y", "INT64"), column("z")
    expected = [(None, 1, "a"), ("NA", None, None), (" NA", None, None), ("", 2, "NANA")]
    assert desk.rows(*columns, null=("NA", "-")) == expected
    assert desk.refusal(*columns).what == '"NA" in column "y" is not INT64'
    required = column("x", mode="REQUIRED")
    assert desk.refusal(required, *columns[1:], null=("NA", "-")).where == 'row 1 of "p.csv", column "x"'


def test_a_null_in_a_required_column_is_told(desk: Desk) -> None:
    desk.write("p.csv", "customer,label\na,true\n,true\n")
    refusal = desk.refusal(column("player_id", mode="REQUIRED", source="customer"), LABEL)
    assert refusal.what == 'column "player_id" is REQUIRED and has no value'
    assert refusal.where == 'row 2 of "p.csv", column "player_id" (in the file "customer")'


@pytest.mark.parametrize(
    ("select", "kind", "told"),
    [
        ("3.0::DOUBLE", "INT64", '"3.0" in column "x" is not INT64'),
        ("2::INTEGER", "BOOL", '"2" in column "x" is not BOOL'),
        ("TIMESTAMP '2026-11-21 06:00:00'", "DATE", '"2026-11-21 06:00:00" in column "x" is not DATE'),
        ("TIMESTAMP_NS '2026-11-21 06:00:00.000000001'", "DATETIME", "is not DATETIME"),
        ("'\\xFF'::BLOB", "STRING", 'has the type "BLOB", not STRING'),
        ("[1, 2]", "STRING", 'has the type "INTEGER[]", not STRING'),
    ],
)
def test_parquet_of_another_type_is_refused_where_something_would_be_lost(
    desk: Desk, select: str, kind: str, told: str
) -> None:
    desk.parquet("p.parquet", f"SELECT {select} AS x")
    assert told in desk.refusal(column("x", kind), file="p.parquet").what


@pytest.mark.parametrize(
    ("select", "kind", "value"),
    [
        ("7::TINYINT", "INT64", "7"),
        ("0.5::FLOAT", "FLOAT64", "0.5"),
        ("7", "STRING", "7"),
        ("7", "FLOAT64", "7.0"),
        ("1", "BOOL", "True"),
        ("1.5::DECIMAL(5, 2)", "NUMERIC", "1.500000000"),
        ("TIMESTAMP '2026-11-21 00:00:00'", "DATE", "2026-11-21"),
        ("TIMESTAMP_NS '2026-11-21 06:00:00'", "DATETIME", "2026-11-21 06:00:00"),
        ("TIMESTAMP '2026-11-21 06:00:00'", "TIMESTAMP", "2026-11-21 06:00:00+00"),
        ("{'a': [1]}", "JSON", '{"a":[1]}'),
        ("'{\"a\": 1}'::JSON", "JSON", '{"a": 1}'),
        ("NULL", "INT64", "None"),
        ("uuid()", "STRING", None),
    ],
)
def test_parquet_of_another_type_is_taken_where_nothing_is_lost(
    desk: Desk, select: str, kind: str, value: str | None
) -> None:
    desk.parquet("p.parquet", f"SELECT {select} AS x")
    found = str(desk.rows(column("x", kind), file="p.parquet")[0][0])
    assert value is None or found == value


def test_json_values_obey_the_same_rules(desk: Desk) -> None:
    desk.write("p.json", '{"n": 3, "s": "x", "o": {"k": [1]}, "a/b": 1, "~": null, "": 2}\n')
    kinds = {"n": "INT64", "s": "STRING", "o": "JSON", "a/b": "FLOAT64", "~": "JSON", "": "STRING"}
    columns = [column(name or "unnamed", kind, source=name) for name, kind in kinds.items()]
    assert desk.rows(*columns, file="p.json") == [(3, "x", '{"k":[1]}', 1.0, None, "2")]
    desk.write("p.json", '{"n": 3}\n{"n": 3.7}\n')
    assert desk.refusal(column("n", "INT64"), file="p.json").where == 'row 2 of "p.json", column "n"'


# Which fault, and where


def test_the_first_fault_is_told_by_file_row_and_declared_column(desk: Desk) -> None:
    desk.write("1.csv", "x,y\n" + "1,2\n" * 300_000)
    desk.write("2.csv", "y,x\n" + "1,2\n" * 300_000 + "bad y,bad x\n" * 3)
    desk.write("3.csv", "x,y\nworse,worse\n")
    for _ in range(2):
        refusal = desk.refusal(column("x", "INT64"), column("y", "INT64"), file="*.csv")
        assert refusal.what == '"bad x" in column "x" is not INT64'
        assert refusal.where == 'row 300001 of "2.csv", column "x"'


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_many_columns_are_looked_at_as_strictly_as_few(desk: Desk, kind: str) -> None:
    names = [f"c{place}" for place in range(300)]
    columns = [column(name, "INT64" if place % 2 else "FLOAT64") for place, name in enumerate(names)]
    columns[7] = column("c7", "INT64", mode="REQUIRED")

    def row(**other: str) -> str:
        values = {name: other.get(name, "1") for name in names}
        if kind == "csv":
            return ",".join(values.values())
        return "{" + ", ".join(f'"{name}": {value or "null"}' for name, value in values.items()) + "}"

    head = [",".join(names)] if kind == "csv" else []

    def write(*rows: str) -> None:
        desk.write(f"p.{kind}", "\n".join([*head, *rows]) + "\n")

    write(row(), row(c2="", c9=""), row(c2="0.5"))
    assert [found[:10:9] for found in desk.rows(*columns, file=f"p.{kind}")] == [(1, 1), (1, None), (1, 1)]
    write(row(), row(c251="3.7"), row(c1="0.5"))
    assert desk.refusal(*columns, file=f"p.{kind}").where == f'row 2 of "p.{kind}", column "c251"'
    write(row(), row(c7=""))
    assert desk.refusal(*columns, file=f"p.{kind}").what == 'column "c7" is REQUIRED and has no value'


def test_a_long_value_is_cut_in_the_message(desk: Desk) -> None:
    desk.write("p.csv", "x\n" + "9" * 5000 + "\n")
    assert len(desk.refusal(column("x", "INT64")).what) < 150


@pytest.mark.parametrize(
    ("granularity", "kind", "partition", "inside", "outside"),
    [
        ("day", "DATE", "2026-11-21", "2026-11-21", "2026-11-22"),
        ("month", "DATE", "2026-11-01", "2026-11-21", "2026-12-01"),
        ("hour", "TIMESTAMP", "2026-11-21T06:00:00+00:00", "2026-11-21 06:59:00", "2026-11-21 07:00:00"),
    ],
)
def test_rows_of_another_partition_are_refused(
    desk: Desk, granularity: str, kind: str, partition: str, inside: str, outside: str
) -> None:
    def attempt(source: str) -> Callable[..., object]:
        day = column("day", kind, source=source)
        known = {
            "mode": "partition",
            "partition_column": "day",
            "granularity": granularity,
            "partition": partition,
        }
        return lambda ask: ask(PLAYER, day, **known)

    desk.write("p.csv", f"player_id,day\na,{inside}\n")
    assert len(attempt("day")(desk.rows)) == 1
    desk.write("p.csv", f"player_id,day\na,{inside}\nb,{outside}\n")
    refusal = attempt("day")(desk.refusal)
    assert f"partition, {partition}" in refusal.what
    assert "row 2" in refusal.where
    desk.write("p.csv", "player_id\na\n")
    ((_, filled),) = attempt("@date")(desk.rows)
    assert partition.startswith(str(filled).replace(" ", "T"))


def test_little_memory_is_enough(desk: Desk) -> None:
    desk.parquet("p.parquet", "SELECT md5(range::VARCHAR) AS x FROM range(1000000)")
    assert (
        desk.check(column("x"), file="p.parquet", connection=open_desk(desk.into, memory="64MB")).rows
        == 1_000_000
    )


def test_no_room_at_all_is_not_the_models_fault(desk: Desk) -> None:
    desk.parquet("p.parquet", "SELECT repeat(md5(range::VARCHAR), 20) AS x FROM range(400000)")
    with pytest.raises(WarehouseError, match="not enough memory"):
        desk.check(column("x"), file="p.parquet", connection=open_desk(desk.into, memory="3MB"))
