"""What every warehouse must do of runs that are taken back."""

from __future__ import annotations

import threading

import pytest

from foretell.testing.warehouses.shipping import (
    APPEND,
    DAYS,
    MINE,
    OTHER,
    PARTITION,
    REPLACE,
    Shipper,
    ids,
    marked,
)
from foretell.warehouses.base import Warehouse


class Withdrawals:
    """What is taken back, before, while and after it is delivered."""

    def test_a_withdrawn_run_is_in_nobodys_way(self, warehouse: Warehouse, ship: Shipper) -> None:
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
        self, warehouse: Warehouse, ship: Shipper
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

    def test_before_anything_was_delivered_a_run_can_be_withdrawn(
        self, warehouse: Warehouse, ship: Shipper
    ) -> None:
        assert warehouse.withdraw(ship("u1", "a")).state == "withdrawn"
        assert list(warehouse.tables()) == []
        other = ship("u2", "b", owner=OTHER)
        assert warehouse.deliver(other).state == "delivered", "nothing of it stands, so it owns nothing"

    def test_superseded_and_rejected_runs_can_be_withdrawn(self, warehouse: Warehouse, ship: Shipper) -> None:
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

    def test_the_partition_of_a_withdrawn_run_is_free(self, warehouse: Warehouse, ship: Shipper) -> None:
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
        assert (
            warehouse.deliver(ship("u3", "right", day=DAYS[1], n=1, delivery=PARTITION)).state == "delivered"
        )
        assert ids(warehouse) == ["kept", "right"]
        assert ids(warehouse, "predictions_latest") == ["right"]

    def test_what_stands_of_a_withdrawn_run_is_still_its_owners(
        self, warehouse: Warehouse, ship: Shipper
    ) -> None:
        mine = ship("u1", "mine")
        warehouse.deliver(mine)
        warehouse.withdraw(mine)
        theirs = warehouse.deliver(ship("u2", "theirs", day=DAYS[1], owner=OTHER))
        assert (theirs.state, ids(warehouse)) == ("rejected", ["mine"])
        assert MINE in theirs.cause
        assert warehouse.claim(REPLACE, OTHER) == (MINE,)

    def test_the_rows_of_a_withdrawn_append_are_removed(self, warehouse: Warehouse, ship: Shipper) -> None:
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

    def test_an_append_whose_rows_bear_no_run_is_held(self, warehouse: Warehouse, ship: Shipper) -> None:
        shipment = ship("u1", "a", delivery=APPEND)
        assert 'none is `from = "@run"`' in warehouse.held(shipment)
        delivered = warehouse.deliver(shipment)
        assert 'none is `from = "@run"`' in warehouse.held(shipment)
        assert warehouse.withdraw(shipment) == delivered
        assert ids(warehouse) == ["a"]
        assert warehouse.held(ship("u2", "b")) == ""

    def test_rows_of_others_with_the_same_run_id_are_never_removed(
        self, warehouse: Warehouse, ship: Shipper
    ) -> None:
        mine = marked(ship, "u1", "mine", run_id="20261127T060000Z-1")
        delivered = warehouse.deliver(mine)
        assert warehouse.held(mine) == ""
        warehouse.deliver(marked(ship, "u2", "theirs", run_id="20261127T060000Z-1", owner=OTHER))
        assert "bear the run id 20261127T060000Z-1 too" in warehouse.held(mine)
        assert warehouse.withdraw(mine) == delivered
        assert ids(warehouse) == ["mine", "theirs"]

    @pytest.mark.parametrize("mode", ["replace", "append", "partition"])
    def test_a_run_that_is_withdrawn_while_it_is_delivered_is_withdrawn_in_the_end(
        self, warehouse: Warehouse, ship: Shipper, mode: str
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
