"""What every warehouse must refuse, and do when several deliver at once."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from foretell.errors import WarehouseError
from foretell.protocol.records import Receipt
from foretell.service.delivery import Column, Delivery
from foretell.service.kinds import WarehouseSettings
from foretell.testing.warehouses.candidate import Candidate
from foretell.testing.warehouses.shipping import (
    APPEND,
    DAY,
    DAYS,
    ID,
    LABEL,
    PARTITION,
    Shipper,
    column,
    ids,
)
from foretell.warehouses.base import Shipment, Warehouse

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


class Refusals:
    """What a table does not take, and what becomes of it at once."""

    def test_a_column_that_the_declaration_gains_is_added(self, warehouse: Warehouse, ship: Shipper) -> None:
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
        self, warehouse: Warehouse, ship: Shipper, columns: tuple[Column, ...], said: str
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

    def test_a_null_that_the_table_refuses_is_a_rejection(self, warehouse: Warehouse, ship: Shipper) -> None:
        strict = Delivery(file="p.csv", table="predictions", columns=(column("id", mode="REQUIRED"), LABEL))
        warehouse.deliver(ship("u1", "a", delivery=strict))
        receipt = warehouse.deliver(
            ship("u2", select="SELECT NULL::VARCHAR AS id, true AS label", day=DAYS[1])
        )
        assert receipt.state == "rejected"
        assert "NOT NULL" in receipt.cause
        assert ids(warehouse) == ["a"]

    def test_the_first_verdict_on_a_run_stands_whatever_is_shipped_later(
        self, warehouse: Warehouse, ship: Shipper
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

    def test_other_rows_than_checked_are_no_delivery_and_no_verdict(
        self, warehouse: Warehouse, ship: Shipper
    ) -> None:
        with pytest.raises(WarehouseError, match="1 rows"):
            warehouse.deliver(ship("u1", "a", rows=2))
        assert list(warehouse.tables()) == []
        lost = ship("u1", "a")
        lost.files[0].unlink()
        with pytest.raises(WarehouseError, match=r"No files found|cannot be read"):
            warehouse.deliver(lost)
        assert list(warehouse.tables()) == []
        assert warehouse.deliver(ship("u1", "a")).state == "delivered"

    def test_one_run_delivered_by_two_processes_stands_once(
        self, warehouse: Warehouse, candidate: Candidate, ship: Shipper, tmp_path: Path
    ) -> None:
        shipment = ship("u1", "a", "b", delivery=APPEND)
        receipts = deliver_in_processes(candidate.settings, [shipment] * 2, tmp_path)
        assert receipts == [warehouse.deliver(shipment)] * 2
        assert ids(warehouse) == ["a", "b"]

    def test_two_runs_delivered_at_once_both_end_and_the_newer_stands(
        self, warehouse: Warehouse, candidate: Candidate, ship: Shipper, tmp_path: Path
    ) -> None:
        shipments = [ship("old", "old", day=DAYS[0]), ship("new", "new", day=DAYS[1])]
        old, new = deliver_in_processes(candidate.settings, shipments, tmp_path)
        assert old.state in {"delivered", "superseded"}
        assert new.state == "delivered"
        assert ids(warehouse) == ["new"]

    def test_threads_of_one_process_deliver_at_once(
        self, warehouse: Warehouse, candidate: Candidate, ship: Shipper
    ) -> None:
        runs = candidate.threads
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
