"""What every warehouse must do of deliveries: rows, their order, partitions and owners."""

from __future__ import annotations

import pytest

from foretell.errors import UsageError
from foretell.service.delivery import Delivery, Granularity
from foretell.testing.warehouses.candidate import Candidate
from foretell.testing.warehouses.shipping import (
    APPEND,
    DAYS,
    ID,
    MINE,
    OTHER,
    PARTITION,
    REPLACE,
    Shipper,
    column,
    ids,
)
from foretell.warehouses.base import Warehouse


class Deliveries:
    """One run's rows, and those of several."""

    def test_delivers_rows_and_tells_the_receipt(self, warehouse: Warehouse, ship: Shipper) -> None:
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

    def test_a_repeat_changes_nothing_and_gives_the_same_receipt(
        self, warehouse: Warehouse, ship: Shipper
    ) -> None:
        shipment = ship("u1", "a", "b", delivery=APPEND)
        first = warehouse.deliver(shipment)
        assert [warehouse.deliver(shipment) for _ in range(3)] == [first] * 3
        assert ids(warehouse) == ["a", "b"]

    def test_before_the_first_delivery_there_is_nothing(self, warehouse: Warehouse) -> None:
        assert list(warehouse.tables()) == []
        with pytest.raises(UsageError, match='no table "predictions"'):
            warehouse.query("predictions")

    def test_a_plan_changes_nothing_and_is_as_complete_after_a_delivery(
        self, warehouse: Warehouse, ship: Shipper
    ) -> None:
        planned = warehouse.plan(ship("u1", "a"))
        assert all(step.keys() == {"POST", "body"} for step in planned)
        assert list(warehouse.tables()) == []
        warehouse.deliver(ship("u1", "a"))
        assert warehouse.plan(ship("u1", "a")) == planned

    def test_a_missing_table_is_told_with_those_that_are_there(
        self, warehouse: Warehouse, ship: Shipper
    ) -> None:
        warehouse.deliver(ship("u1", "a"))
        with pytest.raises(UsageError, match="there is predictions"):
            warehouse.query("prediction")

    def test_no_rows_are_a_delivery_too(self, warehouse: Warehouse, ship: Shipper) -> None:
        warehouse.deliver(ship("u1", "a"))
        assert warehouse.deliver(ship("u2", day=DAYS[1])).state == "delivered"
        assert ids(warehouse) == []

    def test_every_type_comes_back_as_json_has_it(self, warehouse: Warehouse, ship: Shipper) -> None:
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

    def test_query_gives_so_many_rows_newest_delivery_first(
        self, warehouse: Warehouse, candidate: Candidate, ship: Shipper
    ) -> None:
        for place, day in enumerate(DAYS[:3]):
            warehouse.deliver(ship(f"u{place}", f"{place}a", f"{place}b", day=day, delivery=APPEND))
        found = warehouse.query("predictions", limit=2)
        if candidate.ordered:
            assert {row[0] for row in found.rows} == {"2a", "2b"}
        assert (len(found.rows), found.total) == (2, 6)
        assert [receipt.uid for receipt in found.receipts] == ["u2", "u1", "u0"]

    def test_a_table_is_the_same_with_and_without_its_dataset(
        self, warehouse: Warehouse, candidate: Candidate, ship: Shipper
    ) -> None:
        warehouse.deliver(ship("u1", "a"))
        settings = candidate.settings
        same = (
            f"{settings.dataset}.Predictions" if candidate.folds_case else f"{settings.dataset}.predictions"
        )
        qualified = Delivery(file="p.csv", table=same, columns=REPLACE.columns)
        assert (
            warehouse.deliver(ship("u2", "b", day=DAYS[1], delivery=qualified, owner=OTHER)).state
            == "rejected"
        )
        elsewhere = Delivery(file="p.csv", table="other.predictions", columns=REPLACE.columns)
        assert (
            warehouse.deliver(ship("u3", "c", delivery=elsewhere, owner=OTHER)).table == "other.predictions"
        )
        assert (ids(warehouse, "predictions"), ids(warehouse, "other.predictions")) == (["a"], ["c"])
        assert list(warehouse.tables()) == ["predictions", "other.predictions"]

    def test_replace_keeps_the_newest_by_date_then_number(self, warehouse: Warehouse, ship: Shipper) -> None:
        warehouse.deliver(ship("u1", "first", day=DAYS[1]))
        assert warehouse.deliver(ship("u2", "second", day=DAYS[1], n=2)).state == "delivered"
        again = warehouse.deliver(ship("u3", "again", day=DAYS[1], n=1, run="late"))
        older = warehouse.deliver(ship("u4", "older", day=DAYS[0], n=9))
        assert (again.state, older.state, older.rows) == ("superseded", "superseded", 0)
        assert "run-u2" in older.cause
        assert ids(warehouse) == ["second"]
        assert [receipt.uid for receipt in warehouse.query("predictions").receipts] == ["u2"]

    def test_each_partition_is_replaced_for_itself(self, warehouse: Warehouse, ship: Shipper) -> None:
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
        self,
        warehouse: Warehouse,
        ship: Shipper,
        granularity: Granularity,
        kind: str,
        starts: tuple[str, str],
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
                    uid,
                    select=f"SELECT '{uid}' AS id, {within} AS day",
                    n=n,
                    delivery=delivery,
                    partition=start,
                )
            )
        assert (ids(warehouse, "t"), ids(warehouse, "t_latest")) == (["b", "c"], ["b"])

    def test_append_takes_a_date_once(self, warehouse: Warehouse, ship: Shipper) -> None:
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
        self, warehouse: Warehouse, ship: Shipper, first: Delivery, second: Delivery, state: str
    ) -> None:
        warehouse.deliver(ship("u1", "mine", delivery=first))
        receipt = warehouse.deliver(ship("u2", "theirs", day=DAYS[1], delivery=second, owner=OTHER))
        assert receipt.state == state
        if state == "rejected":
            assert MINE in receipt.cause
            assert "foretell claim predictions" in receipt.cause
            assert ids(warehouse) == ["mine"]

    def test_a_claim_makes_an_owner_and_tells_who_was(self, warehouse: Warehouse, ship: Shipper) -> None:
        assert warehouse.claim(REPLACE, MINE) == ()
        warehouse.deliver(ship("u1", "mine", day=DAYS[5]))
        assert warehouse.claim(REPLACE, OTHER) == (MINE,)
        assert ids(warehouse) == ["mine"]
        assert warehouse.deliver(ship("u2", "mine again", day=DAYS[6])).state == "rejected"
        assert warehouse.deliver(ship("u3", "theirs", day=DAYS[0], owner=OTHER)).state == "delivered"
        assert ids(warehouse) == ["theirs"]
        assert warehouse.claim(REPLACE, MINE) == (OTHER,)
        assert warehouse.deliver(ship("u4", "back", day=DAYS[7])).state == "delivered"
