"""What every warehouse must do. A new kind joins by one more param of `warehouse`."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import duckdb
import pytest

from foretell.errors import UsageError, WarehouseError
from foretell.protocol.records import Receipt
from foretell.service.delivery import Column, Delivery
from foretell.service.kinds import WarehouseSettings
from foretell.warehouses import connect
from foretell.warehouses.base import Shipment, Warehouse
from foretell.warehouses.bigquery.settings import BigQuerySettings
from foretell.warehouses.duckdb.settings import DuckDBSettings
from foretell.warehouses.duckdb.warehouse import DuckDBWarehouse

MINE, OTHER = "store-1/churn/application", "store-1/value/application"
DAYS = [f"2026-11-{day:02d}" for day in range(1, 31)]


def column(name: str, kind: str = "STRING", **more: str) -> Column:
    return Column(**{"name": name, "type": kind, "source": name, **more})


ID, LABEL, DAY = column("id"), column("label", "BOOL"), column("day", "DATE", source="@date")
REPLACE = Delivery(file="p.csv", table="predictions", columns=(ID, LABEL))
APPEND = Delivery(file="p.csv", table="predictions", columns=(ID, LABEL), mode="append")
PARTITION = Delivery(
    file="p.csv", table="predictions", columns=(ID, LABEL, DAY), mode="partition", partition="day"
)


class Shipper:
    """Makes shipments as the agent does: checked Parquet files, and what is known of the run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.texts: frozenset[str] = frozenset()

    def __call__(
        self,
        uid: str,
        *ids: str,
        day: str = DAYS[0],
        n: int = 1,
        delivery: Delivery = REPLACE,
        **more: object,
    ) -> Shipment:
        extra = f", DATE '{day}' AS day" if delivery.partition else ""
        values = ", ".join(f"('{each}')" for each in ids) or "(NULL::VARCHAR)"
        where = "" if ids else " WHERE false"
        select = more.pop("select", f"SELECT id, true AS label{extra} FROM (VALUES {values}) AS v(id){where}")
        as_text = [
            f"CAST({each.name} AS VARCHAR) AS {each.name}"
            for each in delivery.columns
            if each.type in self.texts
        ]
        if as_text:
            select = f"SELECT * REPLACE ({', '.join(as_text)}) FROM ({select})"
        file = self.directory / f"{uid}-{n}.parquet"
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
            ((rows,),) = connection.execute(f"SELECT count(*) FROM '{file}'").fetchall()
        known = {
            "uid": uid,
            "owner": MINE,
            "run": f"run-{uid}",
            "attempt": 1,
            "date": f"{day}T06:00:00.000+00:00",
            "n": n,
            "delivery": delivery,
            "partition": day if delivery.partition else None,
            "files": (file,),
            "rows": rows,
        }
        return Shipment(**(known | more))


@pytest.fixture
def ship(tmp_path: Path) -> Shipper:
    (tmp_path / "staged").mkdir()
    return Shipper(tmp_path / "staged")


@pytest.fixture(params=["duckdb", pytest.param("bigquery", marks=pytest.mark.google)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> WarehouseSettings:
    if request.param == "duckdb":
        return DuckDBSettings(path=str(tmp_path / "new" / "warehouse.duckdb"))
    request.getfixturevalue("bigquery")
    return BigQuerySettings(dataset=f"house_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def warehouse(settings: WarehouseSettings, ship: Shipper) -> Warehouse:
    ship.texts = settings.text_types
    return connect(settings)


def ids(warehouse: Warehouse, table: str = "predictions") -> list[object]:
    rows = warehouse.query(table, limit=None)
    assert rows.total == len(rows.rows)
    return sorted(row[rows.columns.index("id")] for row in rows.rows)


# One run


def test_delivers_rows_and_tells_the_receipt(warehouse: Warehouse, ship: Shipper) -> None:
    receipt = warehouse.deliver(ship("u1", "a", "b"))
    assert (receipt.state, receipt.rows, receipt.table, receipt.run) == (
        "delivered",
        2,
        "predictions",
        "run-u1",
    )
    assert (receipt.uid, receipt.owner, receipt.attempt, receipt.cause) == ("u1", MINE, 1, "")
    assert receipt.at.endswith("+00:00")
    found = warehouse.query("predictions")
    assert found.columns == ("id", "label")
    assert found.rows == (("a", True), ("b", True))
    assert found.receipts == (receipt,)
    assert warehouse.tables() == ["predictions"]


def test_a_repeat_changes_nothing_and_gives_the_same_receipt(warehouse: Warehouse, ship: Shipper) -> None:
    shipment = ship("u1", "a", "b", delivery=APPEND)
    first = warehouse.deliver(shipment)
    assert [warehouse.deliver(shipment) for _ in range(3)] == [first] * 3
    assert ids(warehouse) == ["a", "b"]


def test_before_the_first_delivery_there_is_nothing(warehouse: Warehouse) -> None:
    assert list(warehouse.tables()) == []
    with pytest.raises(UsageError, match='no table "predictions"'):
        warehouse.query("predictions")


def test_a_plan_changes_nothing_and_is_as_complete_after_a_delivery(
    warehouse: Warehouse, ship: Shipper
) -> None:
    planned = warehouse.plan(ship("u1", "a"))
    assert all(step.keys() == {"POST", "body"} for step in planned)
    assert list(warehouse.tables()) == []
    warehouse.deliver(ship("u1", "a"))
    assert warehouse.plan(ship("u1", "a")) == planned


def test_a_missing_table_is_told_with_those_that_are_there(warehouse: Warehouse, ship: Shipper) -> None:
    warehouse.deliver(ship("u1", "a"))
    with pytest.raises(UsageError, match="there is predictions"):
        warehouse.query("prediction")


def test_no_rows_are_a_delivery_too(warehouse: Warehouse, ship: Shipper) -> None:
    warehouse.deliver(ship("u1", "a"))
    assert warehouse.deliver(ship("u2", day=DAYS[1])).state == "delivered"
    assert ids(warehouse) == []


def test_every_type_comes_back_as_json_has_it(warehouse: Warehouse, ship: Shipper) -> None:
    kinds = ["STRING", "BYTES", "INT64", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOL", "DATE", "TIME"]
    kinds += ["DATETIME", "TIMESTAMP", "JSON"]
    delivery = Delivery(file="p", table="t", columns=tuple(column(kind.lower(), kind) for kind in kinds))
    select = """
        SELECT 'å' AS string, '\\x00\\xFF'::BLOB AS bytes, 9007199254740993 AS int64, 0.1::DOUBLE AS float64,
            1.5::DECIMAL(38, 9) AS "numeric", 2.25::DECIMAL(38, 18) AS bignumeric, true AS bool,
            DATE '2026-11-21' AS "date", TIME '06:00:00' AS "time", TIMESTAMP '2026-11-21 06:00:00.5' AS datetime,
            TIMESTAMPTZ '2026-11-21 07:00:00+01:00' AS "timestamp", '{"a": [1, null]}'::JSON AS json
        UNION ALL SELECT NULL, NULL, NULL, 'nan', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"""
    assert warehouse.deliver(ship("u1", select=select, delivery=delivery)).cause == ""
    full, empty = warehouse.query("t").rows
    assert full[:7] == ("å", "AP8=", 9007199254740993, 0.1, "1.500000000", "2.250000000000000000", True)
    assert full[7:11] == ("2026-11-21", "06:00:00", "2026-11-21T06:00:00.5", "2026-11-21T06:00:00+00:00")
    assert full[11] == {"a": [1, None]}
    assert empty == (None, None, None, "nan", *[None] * 8)


def test_query_gives_so_many_rows_newest_delivery_first(warehouse: Warehouse, ship: Shipper) -> None:
    for place, day in enumerate(DAYS[:3]):
        warehouse.deliver(ship(f"u{place}", f"{place}a", f"{place}b", day=day, delivery=APPEND))
    found = warehouse.query("predictions", limit=2)
    if isinstance(warehouse, DuckDBWarehouse):  # BigQuery's tables have no order
        assert {row[0] for row in found.rows} == {"2a", "2b"}
    assert (len(found.rows), found.total) == (2, 6)
    assert [receipt.uid for receipt in found.receipts] == ["u2", "u1", "u0"]


def test_a_table_is_the_same_with_and_without_its_dataset(
    warehouse: Warehouse, settings: WarehouseSettings, ship: Shipper
) -> None:
    warehouse.deliver(ship("u1", "a"))
    duck = isinstance(warehouse, DuckDBWarehouse)  # where case does not tell names apart
    same = "main.Predictions" if duck else f"{settings.dataset}.predictions"
    qualified = Delivery(file="p.csv", table=same, columns=REPLACE.columns)
    assert (
        warehouse.deliver(ship("u2", "b", day=DAYS[1], delivery=qualified, owner=OTHER)).state == "rejected"
    )
    elsewhere = Delivery(file="p.csv", table="other.predictions", columns=REPLACE.columns)
    assert warehouse.deliver(ship("u3", "c", delivery=elsewhere, owner=OTHER)).table == "other.predictions"
    assert (ids(warehouse, "predictions"), ids(warehouse, "other.predictions")) == (["a"], ["c"])
    assert list(warehouse.tables()) == ["predictions", "other.predictions"]


# Order, partitions, owners


def test_replace_keeps_the_newest_by_date_then_number(warehouse: Warehouse, ship: Shipper) -> None:
    warehouse.deliver(ship("u1", "first", day=DAYS[1]))
    assert warehouse.deliver(ship("u2", "second", day=DAYS[1], n=2)).state == "delivered"
    again = warehouse.deliver(ship("u3", "again", day=DAYS[1], n=1, run="late"))
    older = warehouse.deliver(ship("u4", "older", day=DAYS[0], n=9))
    assert (again.state, older.state, older.rows) == ("superseded", "superseded", 0)
    assert "run-u2" in older.cause
    assert ids(warehouse) == ["second"]
    assert [receipt.uid for receipt in warehouse.query("predictions").receipts] == ["u2"]


def test_each_partition_is_replaced_for_itself(warehouse: Warehouse, ship: Shipper) -> None:
    for uid, day, n in (("u2", DAYS[1], 1), ("u1", DAYS[0], 1), ("u3", DAYS[1], 2)):
        assert warehouse.deliver(ship(uid, uid, day=day, n=n, delivery=PARTITION)).state == "delivered"
    assert ids(warehouse) == ["u1", "u3"]
    assert ids(warehouse, "predictions_latest") == ["u3"]
    late = warehouse.deliver(ship("u4", "late", day=DAYS[1], n=1, delivery=PARTITION))
    assert (late.state, ids(warehouse)) == ("superseded", ["u1", "u3"])
    assert {receipt.uid for receipt in warehouse.query("predictions").receipts} == {"u1", "u3"}


@pytest.mark.parametrize(
    ("granularity", "kind", "starts"),
    [
        ("hour", "TIMESTAMP", ("2026-11-21T06:00:00+00:00", "2026-11-21T07:00:00+00:00")),
        ("month", "DATE", ("2026-10-01", "2026-11-01")),
    ],
)
def test_a_partition_holds_its_whole_hour_or_month(
    warehouse: Warehouse, ship: Shipper, granularity: str, kind: str, starts: tuple[str, str]
) -> None:
    day = column("day", kind)
    delivery = Delivery(
        file="p", table="t", columns=(ID, day), mode="partition", partition="day", granularity=granularity
    )
    cast = {"TIMESTAMP": "TIMESTAMPTZ"}.get(kind, kind)
    for uid, start, n in (("a", starts[0], 1), ("b", starts[1], 1), ("c", starts[0], 2)):
        within = f"CAST('{start}'::{cast} + INTERVAL 20 MINUTES AS {cast})"
        warehouse.deliver(
            ship(
                uid, select=f"SELECT '{uid}' AS id, {within} AS day", n=n, delivery=delivery, partition=start
            )
        )
    assert (ids(warehouse, "t"), ids(warehouse, "t_latest")) == (["b", "c"], ["b"])


def test_append_takes_a_date_once(warehouse: Warehouse, ship: Shipper) -> None:
    warehouse.deliver(ship("u1", "a", day=DAYS[1], delivery=APPEND))
    assert warehouse.deliver(ship("u0", "b", day=DAYS[0], delivery=APPEND)).state == "delivered"
    again = warehouse.deliver(ship("u2", "c", day=DAYS[1], n=2, delivery=APPEND))
    assert again.state == "rejected"
    assert 'mode = "partition"' in again.cause
    assert ids(warehouse) == ["a", "b"]


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        (REPLACE, REPLACE, "rejected"),
        (PARTITION, PARTITION, "rejected"),
        (REPLACE, APPEND, "rejected"),
        (APPEND, REPLACE, "rejected"),
        (APPEND, APPEND, "delivered"),
    ],
)
def test_a_table_that_is_replaced_has_one_owner(
    warehouse: Warehouse, ship: Shipper, first: Delivery, second: Delivery, state: str
) -> None:
    warehouse.deliver(ship("u1", "mine", delivery=first))
    receipt = warehouse.deliver(ship("u2", "theirs", day=DAYS[1], delivery=second, owner=OTHER))
    assert receipt.state == state
    if state == "rejected":
        assert MINE in receipt.cause
        assert "foretell claim predictions" in receipt.cause
        assert ids(warehouse) == ["mine"]


def test_a_claim_makes_an_owner_and_tells_who_was(warehouse: Warehouse, ship: Shipper) -> None:
    assert warehouse.claim(REPLACE, MINE) == ()
    warehouse.deliver(ship("u1", "mine", day=DAYS[5]))
    assert warehouse.claim(REPLACE, OTHER) == (MINE,)
    assert ids(warehouse) == ["mine"]
    assert warehouse.deliver(ship("u2", "mine again", day=DAYS[6])).state == "rejected"
    assert warehouse.deliver(ship("u3", "theirs", day=DAYS[0], owner=OTHER)).state == "delivered"
    assert ids(warehouse) == ["theirs"]
    assert warehouse.claim(REPLACE, MINE) == (OTHER,)
    assert warehouse.deliver(ship("u4", "back", day=DAYS[7])).state == "delivered"


# What is taken back

RUN = column("run", source="@run")
MARKED = Delivery(file="p.csv", table="predictions", columns=(ID, LABEL, RUN), mode="append")


def marked(ship: Shipper, uid: str, *ids: str, run_id: str = "", **more: object) -> Shipment:
    """Give an append whose rows say which run they are of."""
    run_id = run_id or f"2026-{uid}"
    values = ", ".join(f"('{each}')" for each in ids)
    select = f"SELECT id, true AS label, '{run_id}' AS run FROM (VALUES {values}) AS v(id)"
    return ship(uid, select=select, delivery=MARKED, run=f"application/{run_id}", **more)


def test_a_withdrawn_run_is_in_nobodys_way(warehouse: Warehouse, ship: Shipper) -> None:
    future = ship("u1", "future", day=DAYS[20])
    warehouse.deliver(future)
    assert warehouse.deliver(ship("u2", "kept off", day=DAYS[1])).state == "superseded"
    receipt = warehouse.withdraw(future)
    assert (receipt.state, receipt.rows, receipt.cause) == (
        "withdrawn",
        1,
        "withdrawn; its rows stand until the next delivery",
    )
    assert [warehouse.withdraw(future) for _ in range(2)] == [receipt] * 2
    found = warehouse.query("predictions")
    assert (ids(warehouse), found.receipts) == (["future"], (receipt,))
    assert warehouse.tables() == ["predictions"]
    assert warehouse.deliver(ship("u3", "today", day=DAYS[2])).state == "delivered"
    found = warehouse.query("predictions")
    assert (ids(warehouse), [each.uid for each in found.receipts]) == (["today"], ["u3"])
    assert warehouse.deliver(future) == receipt, "a withdrawn run is not delivered again"
    assert ids(warehouse) == ["today"]


def test_a_run_that_is_withdrawn_before_its_delivery_is_never_delivered(
    warehouse: Warehouse, ship: Shipper
) -> None:
    warehouse.deliver(ship("u0", "first"))
    late = ship("u1", "late", day=DAYS[1])
    receipt = warehouse.withdraw(late)
    assert (receipt.state, receipt.rows, receipt.cause) == (
        "withdrawn",
        0,
        "withdrawn before it was delivered",
    )
    assert warehouse.deliver(late) == receipt
    assert ids(warehouse) == ["first"]
    assert [each.uid for each in warehouse.query("predictions").receipts] == ["u0"]


def test_before_anything_was_delivered_a_run_can_be_withdrawn(warehouse: Warehouse, ship: Shipper) -> None:
    assert warehouse.withdraw(ship("u1", "a")).state == "withdrawn"
    assert list(warehouse.tables()) == []
    other = ship("u2", "b", owner=OTHER)
    assert warehouse.deliver(other).state == "delivered", "nothing of it stands, so it owns nothing"


def test_superseded_and_rejected_runs_can_be_withdrawn(warehouse: Warehouse, ship: Shipper) -> None:
    warehouse.deliver(ship("u1", "newer", day=DAYS[2]))
    old, wrong = ship("u2", "older", day=DAYS[1]), ship("u3", "wrong", day=DAYS[3], owner=OTHER)
    assert warehouse.deliver(old).state == "superseded"
    rejected = warehouse.deliver(wrong)
    assert rejected.state == "rejected"
    assert warehouse.withdraw(old).cause == "withdrawn; none of its rows were in the table"
    assert warehouse.withdraw(wrong) == rejected
    assert (ids(warehouse), [each.uid for each in warehouse.query("predictions").receipts]) == (
        ["newer"],
        ["u1"],
    )


def test_the_partition_of_a_withdrawn_run_is_free(warehouse: Warehouse, ship: Shipper) -> None:
    warehouse.deliver(ship("u1", "kept", day=DAYS[0], delivery=PARTITION))
    wrong = ship("u2", "wrong", day=DAYS[1], n=2, delivery=PARTITION)
    scope = warehouse.deliver(wrong).scope
    assert warehouse.withdraw(wrong).scope == scope == f"{scope.partition('$')[0]}${DAYS[1]}"
    assert ids(warehouse) == ["kept", "wrong"]
    assert ids(warehouse, "predictions_latest") == ["kept"], "the newest of what was not taken back"
    assert {each.uid: each.state for each in warehouse.query("predictions").receipts} == {
        "u1": "delivered",
        "u2": "withdrawn",
    }
    assert warehouse.deliver(ship("u3", "right", day=DAYS[1], n=1, delivery=PARTITION)).state == "delivered"
    assert ids(warehouse) == ["kept", "right"]
    assert ids(warehouse, "predictions_latest") == ["right"]


def test_what_stands_of_a_withdrawn_run_is_still_its_owners(warehouse: Warehouse, ship: Shipper) -> None:
    mine = ship("u1", "mine")
    warehouse.deliver(mine)
    warehouse.withdraw(mine)
    theirs = warehouse.deliver(ship("u2", "theirs", day=DAYS[1], owner=OTHER))
    assert (theirs.state, ids(warehouse)) == ("rejected", ["mine"])
    assert MINE in theirs.cause
    assert warehouse.claim(REPLACE, OTHER) == (MINE,)


def test_the_rows_of_a_withdrawn_append_are_removed(warehouse: Warehouse, ship: Shipper) -> None:
    for uid, day in (("u1", DAYS[0]), ("u2", DAYS[1])):
        warehouse.deliver(marked(ship, uid, f"{uid}a", f"{uid}b", day=day))
    wrong = marked(ship, "u2", "u2a", "u2b", day=DAYS[1])
    assert warehouse.held(wrong) == ""
    receipt = warehouse.withdraw(wrong)
    assert (receipt.state, receipt.rows, receipt.cause) == (
        "withdrawn",
        0,
        "withdrawn; its rows were removed",
    )
    assert warehouse.withdraw(wrong) == warehouse.deliver(wrong) == receipt
    assert (ids(warehouse), [each.uid for each in warehouse.query("predictions").receipts]) == (
        ["u1a", "u1b"],
        ["u1"],
    )
    again = marked(ship, "u3", "u3a", day=DAYS[1], n=2)
    assert warehouse.deliver(again).state == "delivered", "the date is free again"
    assert ids(warehouse) == ["u1a", "u1b", "u3a"]


def test_an_append_whose_rows_bear_no_run_is_held(warehouse: Warehouse, ship: Shipper) -> None:
    shipment = ship("u1", "a", delivery=APPEND)
    assert 'none is `from = "@run"`' in warehouse.held(shipment)
    delivered = warehouse.deliver(shipment)
    assert 'none is `from = "@run"`' in warehouse.held(shipment)
    assert warehouse.withdraw(shipment) == delivered
    assert ids(warehouse) == ["a"]
    assert warehouse.held(ship("u2", "b")) == ""


def test_rows_of_others_with_the_same_run_id_are_never_removed(warehouse: Warehouse, ship: Shipper) -> None:
    mine = marked(ship, "u1", "mine", run_id="20261127T060000Z-1")
    delivered = warehouse.deliver(mine)
    assert warehouse.held(mine) == ""
    warehouse.deliver(marked(ship, "u2", "theirs", run_id="20261127T060000Z-1", owner=OTHER))
    assert "bear the run id 20261127T060000Z-1 too" in warehouse.held(mine)
    assert warehouse.withdraw(mine) == delivered
    assert ids(warehouse) == ["mine", "theirs"]


@pytest.mark.parametrize("mode", ["replace", "append", "partition"])
def test_a_run_that_is_withdrawn_while_it_is_delivered_is_withdrawn_in_the_end(
    warehouse: Warehouse, ship: Shipper, mode: str
) -> None:
    shipment = {
        "replace": lambda: ship("u1", "a"),
        "append": lambda: marked(ship, "u1", "a"),
        "partition": lambda: ship("u1", "a", delivery=PARTITION),
    }[mode]()
    states: list[str] = []
    works = (warehouse.deliver, warehouse.withdraw)
    threads = [
        threading.Thread(target=lambda work=work: states.append(work(shipment).state)) for work in works
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(states) <= {"delivered", "withdrawn"}
    receipt = warehouse.deliver(shipment)
    assert receipt.state == "withdrawn"
    there = ids(warehouse) if "predictions" in warehouse.tables() else []
    assert there == (["a"] if receipt.rows else [])


# What a table refuses


def test_a_column_that_the_declaration_gains_is_added(warehouse: Warehouse, ship: Shipper) -> None:
    warehouse.deliver(ship("u1", "a", delivery=PARTITION))
    wider = Delivery(
        file="p.csv",
        table="predictions",
        columns=(ID, LABEL, DAY, column("score", "FLOAT64")),
        mode="partition",
        partition="day",
    )
    select = f"SELECT 'b' AS id, true AS label, DATE '{DAYS[1]}' AS day, 0.5::DOUBLE AS score"
    assert warehouse.deliver(ship("u2", select=select, day=DAYS[1], delivery=wider)).cause == ""
    found = warehouse.query("predictions")
    assert sorted(found.rows) == [("a", True, DAYS[0], None), ("b", True, DAYS[1], 0.5)]
    assert warehouse.query("predictions_latest").rows == (("b", True, DAYS[1], 0.5),)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((ID, column("label", "INT64")), 'has other columns: "label" is BOOL there and INT64 here;'),
        ((ID,), 'has other columns: "label" BOOL is not declared;'),
        (
            (ID, LABEL, column("score", "FLOAT64", mode="REQUIRED")),
            'has other columns: "score" FLOAT64 is not there;',
        ),
    ],
    ids=["type changed", "column removed", "required column added"],
)
def test_another_shape_is_refused_for_good(
    warehouse: Warehouse, ship: Shipper, columns: tuple[Column, ...], said: str
) -> None:
    warehouse.deliver(ship("u1", "a"))
    changed = Delivery(file="p.csv", table="predictions", columns=columns)
    types = {"STRING": "'b'", "INT64": "1", "BOOL": "true", "FLOAT64": "0.5::DOUBLE"}
    select = "SELECT " + ", ".join(f"{types[each.type]} AS {each.name}" for each in columns)
    shipment = ship("u2", select=select, day=DAYS[1], delivery=changed)
    receipt = warehouse.deliver(shipment)
    assert receipt.state == "rejected"
    assert said in receipt.cause
    assert '"id"' not in receipt.cause
    assert warehouse.deliver(shipment) == receipt
    assert ids(warehouse) == ["a"]


def test_a_null_that_the_table_refuses_is_a_rejection(warehouse: Warehouse, ship: Shipper) -> None:
    strict = Delivery(file="p.csv", table="predictions", columns=(column("id", mode="REQUIRED"), LABEL))
    warehouse.deliver(ship("u1", "a", delivery=strict))
    receipt = warehouse.deliver(ship("u2", select="SELECT NULL::VARCHAR AS id, true AS label", day=DAYS[1]))
    assert receipt.state == "rejected"
    assert "NOT NULL" in receipt.cause
    assert ids(warehouse) == ["a"]


def test_the_first_verdict_on_a_run_stands_whatever_is_shipped_later(
    warehouse: Warehouse, ship: Shipper
) -> None:
    unfit = Delivery(file="p.csv", table="predictions", columns=(ID,))

    def narrow(uid: str) -> Shipment:
        return ship(uid, select="SELECT 'c' AS id", day=DAYS[1], delivery=unfit)

    delivered = warehouse.deliver(ship("u1", "a"))
    assert warehouse.deliver(narrow("u1")) == delivered
    rejected = warehouse.deliver(narrow("u2"))
    assert (rejected.state, rejected.rows) == ("rejected", 0)
    assert warehouse.deliver(ship("u2", "b", day=DAYS[1])) == rejected
    assert ids(warehouse) == ["a"]


def test_other_rows_than_checked_are_no_delivery_and_no_verdict(warehouse: Warehouse, ship: Shipper) -> None:
    with pytest.raises(WarehouseError, match="1 rows"):
        warehouse.deliver(ship("u1", "a", rows=2))
    assert list(warehouse.tables()) == []
    lost = ship("u1", "a")
    lost.files[0].unlink()
    with pytest.raises(WarehouseError, match=r"No files found|cannot be read"):
        warehouse.deliver(lost)
    assert list(warehouse.tables()) == []
    assert warehouse.deliver(ship("u1", "a")).state == "delivered"


# At once

DELIVER = """
import pickle, sys
from foretell.warehouses import connect
settings, shipment = pickle.load(open(sys.argv[1], "rb"))
sys.stdin.readline()
pickle.dump(connect(settings).deliver(shipment), open(sys.argv[1] + ".out", "wb"))
"""


def deliver_in_processes(
    settings: WarehouseSettings, shipments: list[Shipment], tmp_path: Path
) -> list[Receipt]:
    """Deliver each shipment in a process of its own, all let go at one time."""
    children = []
    for place, shipment in enumerate(shipments):
        (tmp_path / str(place)).write_bytes(pickle.dumps((settings, shipment)))
        command = [sys.executable, "-c", DELIVER, str(tmp_path / str(place))]
        children.append(subprocess.Popen(command, stdin=subprocess.PIPE))
    time.sleep(0.3)
    for child in children:
        child.communicate(b"go\n", timeout=60)
    assert [child.returncode for child in children] == [0] * len(children)
    return [pickle.loads((tmp_path / f"{place}.out").read_bytes()) for place in range(len(shipments))]


def test_one_run_delivered_by_two_processes_stands_once(
    warehouse: Warehouse, ship: Shipper, tmp_path: Path
) -> None:
    shipment = ship("u1", "a", "b", delivery=APPEND)
    receipts = deliver_in_processes(warehouse.settings, [shipment] * 2, tmp_path)
    assert receipts == [warehouse.deliver(shipment)] * 2
    assert ids(warehouse) == ["a", "b"]


def test_two_runs_delivered_at_once_both_end_and_the_newer_stands(
    warehouse: Warehouse, ship: Shipper, tmp_path: Path
) -> None:
    shipments = [ship("old", "old", day=DAYS[0]), ship("new", "new", day=DAYS[1])]
    old, new = deliver_in_processes(warehouse.settings, shipments, tmp_path)
    assert old.state in {"delivered", "superseded"}
    assert new.state == "delivered"
    assert ids(warehouse) == ["new"]


def test_threads_of_one_process_deliver_at_once(warehouse: Warehouse, ship: Shipper) -> None:
    runs = 8 if isinstance(warehouse, DuckDBWarehouse) else 3  # each of which takes seconds there
    shipments = [
        ship(f"u{place % runs}", f"row {place % runs}", day=DAYS[place % runs], delivery=APPEND)
        for place in range(2 * runs)
    ]
    receipts: list[Receipt] = []
    threads = [
        threading.Thread(target=lambda each=each: receipts.append(warehouse.deliver(each)))
        for each in shipments
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(receipt.state, receipt.cause) for receipt in receipts] == [("delivered", "")] * 2 * runs
    assert ids(warehouse) == [f"row {place}" for place in range(runs)]


# DuckDB: how its statements interleave, and dying between any two of them


class Scheduler:
    """Lets one of several threads execute one statement at a time, in an order drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.condition = threading.Condition()
        self.waiting: set[int] = set()
        self.running = 0
        self.chosen: int | None = None

    def run(self, works: list[Callable[[], object]]) -> None:
        self.running = len(works)
        threads = [threading.Thread(target=self._work, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)

    def _work(self, work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            with self.condition:
                self.running -= 1
                self._choose()

    def statement(self) -> None:
        me = threading.get_ident()
        with self.condition:
            self.waiting.add(me)
            self._choose()
            self.condition.wait_for(lambda: self.chosen == me, timeout=30)
            self.chosen = None
            self.waiting.discard(me)

    def _choose(self) -> None:
        if self.waiting and len(self.waiting) == self.running and self.chosen is None:
            self.chosen = self.random.choice(sorted(self.waiting))
            self.condition.notify_all()


class Scheduled:
    """A connection whose statements ask the scheduler first. Without the lock, it leaves out the lock's update."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, scheduler: Scheduler, *, lock: bool) -> None:
        self.connection = connection
        self.scheduler = scheduler
        self.lock = lock

    def execute(self, query: str, *values: object) -> duckdb.DuckDBPyConnection:
        self.scheduler.statement()
        if query.startswith("UPDATE foretell.lock") and not self.lock:
            query = "SELECT turn + 1, owner, since FROM foretell.lock WHERE scope = ?"
        return self.connection.execute(query, *values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def interleaved(path: Path, works: list[Shipment], seed: int, *, lock: bool) -> list[str]:
    """Deliver in threads whose statements interleave; give the ids that stand."""
    scheduler = Scheduler(seed)

    def open_scheduled(*args: object, **options: object) -> Scheduled:
        scheduler.statement()
        return Scheduled(duckdb.connect(*args, **options), scheduler, lock=lock)

    settings = DuckDBSettings(path=str(path))
    warehouse = DuckDBWarehouse(settings, connect=open_scheduled, sleep=lambda _: None)
    scheduler.run([lambda each=each: warehouse.deliver(each) for each in works])
    return ids(DuckDBWarehouse(settings))


def delivered_and_withdrawn(path: Path, shipment: Shipment, seed: int) -> tuple[str, list[object]]:
    """Deliver and withdraw a run in threads whose statements interleave; give its state, and the ids that stand."""
    scheduler = Scheduler(seed)

    def open_scheduled(*args: object, **options: object) -> Scheduled:
        scheduler.statement()
        return Scheduled(duckdb.connect(*args, **options), scheduler, lock=True)

    settings = DuckDBSettings(path=str(path))
    warehouse = DuckDBWarehouse(settings, connect=open_scheduled, sleep=lambda _: None)
    scheduler.run([lambda: warehouse.deliver(shipment), lambda: warehouse.withdraw(shipment)])
    quiet = DuckDBWarehouse(settings)
    return quiet.deliver(shipment).state, ids(quiet)


@pytest.fixture
def races(ship: Shipper) -> Iterator[list[tuple[list[Shipment], list[str]]]]:
    """Deliveries at once into an empty table, and the ids that must stand afterwards."""
    one = ship("u1", "a", delivery=APPEND)
    old, new = ship("old", "old"), ship("new", "new", day=DAYS[1])
    return [([one, one], ["a"]), ([old, new], ["new"]), ([old, new, new], ["new"])]


def race(
    tmp_path: Path, ship: Shipper, races: list[tuple[list[Shipment], list[str]]], *, lock: bool
) -> Iterator[int]:
    """Give the seeds whose interleaving leaves other rows than it must."""
    for seed in range(32):
        works, expected = races[seed % len(races)]
        path = tmp_path / f"{seed}.duckdb"
        first = ship("u0", day="2026-10-01", delivery=works[0].delivery)
        DuckDBWarehouse(DuckDBSettings(path=str(path))).deliver(first)
        if interleaved(path, works, seed, lock=lock) != expected:
            yield seed


@pytest.mark.slow
def test_no_interleaving_of_statements_delivers_twice(tmp_path: Path, ship: Shipper, races: list) -> None:
    assert list(race(tmp_path, ship, races, lock=True)) == []


@pytest.mark.slow
def test_without_the_lock_row_they_do(tmp_path: Path, ship: Shipper, races: list) -> None:
    assert next(race(tmp_path, ship, races, lock=False), None) is not None


def test_a_withdrawal_and_a_delivery_meet_in_the_ledger(tmp_path: Path, ship: Shipper) -> None:
    shipment = marked(ship, "u1", "a", "b")
    for seed in range(8):
        path = tmp_path / f"{seed}.duckdb"
        DuckDBWarehouse(DuckDBSettings(path=str(path))).deliver(marked(ship, "u0", "c", day="2026-10-01"))
        assert delivered_and_withdrawn(path, shipment, seed) == ("withdrawn", ["c"]), seed


def test_inserts_alone_do_not_conflict_in_duckdb() -> None:
    with duckdb.connect() as base:
        base.execute("CREATE TABLE ledger (uid VARCHAR); CREATE TABLE t (x INTEGER)")
        both = [base.cursor(), base.cursor()]
        for each in both:
            each.execute("BEGIN")
            assert each.execute("SELECT count(*) FROM ledger").fetchone() == (0,)
            each.execute("INSERT INTO t VALUES (1); INSERT INTO ledger VALUES ('u')")
        for each in both:
            each.execute("COMMIT")
        assert base.execute("SELECT count(*) FROM t").fetchone() == (2,)


KILLED = """
import os, pickle, random, signal, sys, time
import duckdb
from foretell.warehouses.duckdb.warehouse import DuckDBWarehouse

class Mortal:
    def __init__(self, connection, life): self.connection, self.life = connection, life
    def execute(self, *query):
        if self.life.pop() == 0: os.kill(os.getpid(), signal.SIGKILL)
        return self.connection.execute(*query)
    def __enter__(self): return self
    def __exit__(self, *_):
        if self.life.pop() == 0: os.kill(os.getpid(), signal.SIGKILL)
        self.connection.close()

settings, shipment, points, verb = pickle.load(open(sys.argv[1], "rb"))

def deliver_and_die(point):
    life = list(range(point, -1000, -1))[::-1]
    mortal = DuckDBWarehouse(settings, connect=lambda *a, **o: Mortal(duckdb.connect(*a, **o), life))
    getattr(mortal, verb)(shipment)

def in_child(work):
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    return child

killed = 0
for point in points:
    whole = lambda: getattr(DuckDBWarehouse(settings), verb)(shipment)
    if verb == "withdraw":
        before = in_child(lambda: DuckDBWarehouse(settings).deliver(shipment))
        assert os.waitpid(before, 0)[1] == 0
    child = in_child((lambda: deliver_and_die(point)) if isinstance(point, int) else whole)
    if isinstance(point, float):
        time.sleep(point)
        os.kill(child, signal.SIGKILL)
    killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    again = in_child(whole)
    assert os.waitpid(again, 0)[1] == 0
    found = in_child(lambda: sys.exit(DuckDBWarehouse(settings).query("predictions").total))
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(found, 0)[1])
    finally:
        for end in ("", ".wal"):
            if os.path.exists(settings.path + end): os.remove(settings.path + end)
    assert status == (shipment.rows if verb == "deliver" else 0), (point, status)
print(killed)
"""


@pytest.mark.slow
@pytest.mark.parametrize("delivery", [APPEND, PARTITION], ids=["append", "partition"])
def test_killed_between_any_two_statements_and_repeated_the_rows_stand_once(
    ship: Shipper, tmp_path: Path, delivery: Delivery
) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    shipment = ship("u1", "a", "b", delivery=delivery)
    points = [*range(20), *[random.Random(place).uniform(0, 0.1) for place in range(8)]]
    assert killed(settings, shipment, points, "deliver", tmp_path) >= 18


@pytest.mark.slow
def test_killed_between_any_two_statements_of_a_withdrawal_and_repeated_the_rows_are_gone(
    ship: Shipper, tmp_path: Path
) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    assert killed(settings, marked(ship, "u1", "a", "b"), [*range(16)], "withdraw", tmp_path) >= 12


def killed(
    settings: DuckDBSettings, shipment: Shipment, points: list[int | float], verb: str, tmp_path: Path
) -> int:
    """Die at each of these statements or seconds of a verb, and repeat it; give how often it was so."""
    (tmp_path / "job").write_bytes(pickle.dumps((settings, shipment, points, verb)))
    command = [sys.executable, "-W", "error", "-c", KILLED, str(tmp_path / "job")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


# DuckDB: files that cannot be used


def test_a_file_that_another_process_holds_is_waited_for(ship: Shipper, tmp_path: Path) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    hold = (
        "import duckdb, sys\nc = duckdb.connect(sys.argv[1])\nprint('held', flush=True)\nsys.stdin.readline()"
    )
    command = [sys.executable, "-c", hold, settings.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(WarehouseError, match="stays busy") as caught:
            DuckDBWarehouse(settings, patience=0.1).deliver(ship("u1", "a"))
        assert str(holder.pid) in caught.value.why
        with pytest.raises(WarehouseError, match="stays busy"):
            DuckDBWarehouse(settings, patience=0.1).tables()
        threading.Timer(0.3, holder.stdin.close).start()
        assert DuckDBWarehouse(settings).deliver(ship("u1", "a")).state == "delivered"


def test_waiting_for_a_file_is_told_once_and_only_when_it_lasts(
    ship: Shipper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    monkeypatch.setattr("foretell.warehouses.duckdb.warehouse.MOMENT", 0.2)
    told: list[str] = []
    hold = (
        "import duckdb, sys\nc = duckdb.connect(sys.argv[1])\nprint('held', flush=True)\nsys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, settings.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        threading.Timer(0.8, holder.stdin.close).start()
        warehouse = connect(settings, told.append)
        assert warehouse.deliver(ship("u1", "a")).state == "delivered"
        (sentence,) = told
        assert sentence.startswith(f'the warehouse "{settings.path}" is in use, so this waits: ')
        assert str(holder.pid) in sentence
    assert warehouse.query("predictions").total == 1
    assert len(told) == 1


def test_a_file_that_is_no_database_is_told(ship: Shipper, tmp_path: Path) -> None:
    (tmp_path / "w.duckdb").write_bytes(b"not a database" * 1000)
    for path in (tmp_path / "w.duckdb", tmp_path, tmp_path / "w.duckdb" / "under a file", Path("/dev/full")):
        warehouse = DuckDBWarehouse(DuckDBSettings(path=str(path)))
        with pytest.raises(WarehouseError, match="cannot be used"):
            warehouse.deliver(ship("u1", "a"))
    assert (tmp_path / "w.duckdb").read_bytes() == b"not a database" * 1000


def test_the_file_is_made_whole_or_not_at_all(ship: Shipper, tmp_path: Path) -> None:
    def stop(path: str, **options: object) -> duckdb.DuckDBPyConnection:
        if Path(path).name != "w.duckdb":
            Path(path).touch()
            raise KeyboardInterrupt
        return duckdb.connect(path, **options)

    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    with pytest.raises(KeyboardInterrupt):
        DuckDBWarehouse(settings, connect=stop).deliver(ship("u1", "a"))
    assert not Path(settings.path).exists()
    assert DuckDBWarehouse(settings).deliver(ship("u1", "a")).state == "delivered"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["w.duckdb"]


NO_ROOM = """
import pickle, resource, signal, sys
from foretell.errors import WarehouseError
from foretell.warehouses.duckdb.warehouse import DuckDBWarehouse
settings, shipment = pickle.load(open(sys.argv[1], "rb"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
try:
    DuckDBWarehouse(settings).deliver(shipment)
except WarehouseError as error:
    print(error)
"""


def test_no_room_for_the_rows_is_no_verdict(ship: Shipper, tmp_path: Path) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    DuckDBWarehouse(settings).deliver(ship("u0", "a"))
    big = ship("u1", select="SELECT md5(range::VARCHAR) AS id, true AS label FROM range(400000)", day=DAYS[1])
    (tmp_path / "job").write_bytes(pickle.dumps((settings, big)))
    command = [sys.executable, "-c", NO_ROOM, str(tmp_path / "job")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "cannot be used" in done.stdout
    warehouse = DuckDBWarehouse(settings)
    assert ids(warehouse) == ["a"]
    assert warehouse.deliver(big).rows == 400_000
