"""What a Foretell of before has begun is read, continued and delivered by this one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support import older
from tests.support.stage import ROWS

pytestmark = pytest.mark.slow

DELIVERED = "application/20261103T000000Z-1"
UNDELIVERED = "application/20261104T000000Z-1"
MODEL = "training/20261101T000000Z-1"
WITHDRAWN = "training/20261102T000000Z-1"
OPEN = "training/20261105T000000Z-1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The service that a Foretell of before has left behind."""
    found = tmp_path / "service"
    older.service(found)
    return found


def foretell(root: Path, *arguments: str, code: int = 0) -> Any:
    """Do a verb; give what it told as JSON."""
    command = [sys.executable, "-m", "foretell", *arguments, "--json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def ledger(root: Path) -> list[tuple[Any, ...]]:
    """Give what the warehouse has on record, oldest first."""
    with duckdb.connect(str(root / ".foretell" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute("SELECT run, state, rows FROM foretell.ledger ORDER BY turn").fetchall()


def test_its_runs_are_what_they_were(root: Path) -> None:
    runs = foretell(root, "runs")["runs"]
    assert [(run["run"], run["state"], run["withdrawn"]) for run in runs] == [
        (OPEN, "running", False),
        (UNDELIVERED, "delivering", False),
        (DELIVERED, "succeeded", False),
        (WITHDRAWN, "succeeded", True),
        (MODEL, "succeeded", False),
    ]
    assert foretell(root, "check", DELIVERED)["state"] == "succeeded"
    assert foretell(root, "check", OPEN, code=3)["state"] == "running"
    assert foretell(root, "show", DELIVERED)["receipt"]["rows"] == 2
    assert "trained on the wrong table" in json.dumps(foretell(root, "show", WITHDRAWN))


def test_an_open_run_whose_machine_died_goes_on(root: Path) -> None:
    assert foretell(root, "wait", OPEN)["state"] == "succeeded"
    assert foretell(root, "show", OPEN)["attempt"] == 2
    foretell(root, "get", OPEN, "--to", "fetched")
    assert (root / "fetched" / "model.txt").read_text() == f"model of {OPEN}\n"


def test_what_was_produced_is_delivered_once(root: Path) -> None:
    for _ in range(2):
        assert foretell(root, "wait", UNDELIVERED)["state"] == "succeeded"
    assert [tuple(row.values()) for row in foretell(root, "predictions")["rows"]] == ROWS
    assert ledger(root) == [(DELIVERED, "delivered", 2), (UNDELIVERED, "delivered", 2)]


def test_a_withdrawn_model_stays_withdrawn(root: Path) -> None:
    run = foretell(root, "run", "application", "--date", "2026-11-04", "--key", "again")["run"]
    (pin,) = foretell(root, "show", run)["request"]["inputs"]
    assert pin["run"].endswith(MODEL.rpartition("/")[2])


def test_its_delivery_is_taken_back(root: Path) -> None:
    foretell(root, "withdraw", DELIVERED)
    assert ledger(root) == [(DELIVERED, "withdrawn", 2)]
