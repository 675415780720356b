"""Who cleans up: what is finished, what is stopped, what is removed, and what is let alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from foretell.controller.tidy import Tidied, open_runs, tidy
from foretell.protocol.keys import Run
from foretell.protocol.records import Closed, Launch, Outcome, Receipt, decode
from foretell.sources.snapshot import OLD
from foretell.system.processes import marker
from tests.support.past import NOON, TOML, Past

QUICK = f"""{TOML}
    [targets.local.times]
    deliver = "1s"
    kill = "1s"
"""
NOTHING = Tidied()


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path / "service", QUICK)


def decided(past: Past, run: Run) -> Outcome:
    data = past.store.get(run.outcome)
    assert data
    return decode(data, Outcome, run.outcome)


def test_where_nothing_was_started_nothing_is_done(past: Past) -> None:
    assert tidy(past.controller) == NOTHING
    assert not (past.root / ".foretell").exists()


def test_what_has_ended_is_let_alone(past: Past) -> None:
    for day, end in enumerate(["produced", "failed", "timeout", "lost", "cancelled"]):
        past.add(NOON - timedelta(days=day), end)
    for day, end in enumerate(["delivered", "superseded", "rejected"]):
        past.add(NOON - timedelta(days=day), end, action="application")
    assert tidy(past.controller) == NOTHING


def test_what_is_lost_is_declared_lost(past: Past) -> None:
    run = past.add(NOON, "running")
    said: list[str] = []
    done = tidy(past.controller, say=said.append)
    assert done == Tidied(ended=[f"{run.label} lost"])
    assert said == [f"looking at {run.label}"]
    assert decided(past, run).kind == "lost"
    assert tidy(past.controller) == NOTHING


def test_a_verdict_that_nobody_copied_is_copied(past: Past) -> None:
    run = past.add(NOON, "running")
    verdict = Outcome(kind="failed", attempt=1, by="agent", cause="it broke")
    past.write(run.attempt(2).launch, Closed(outcome=verdict))
    assert tidy(past.controller).ended == [f"{run.label} failed"]
    assert decided(past, run) == verdict


def test_an_interrupted_delivery_is_finished(past: Past) -> None:
    run = past.add(NOON, "undelivered", action="application")
    assert tidy(past.controller).ended == [f"{run.label} succeeded"]
    data = past.store.get(run.delivery)
    assert data
    assert decode(data, Receipt, run.delivery).state == "delivered"


def test_a_delivery_that_cannot_be_finished_now_stays_open(past: Past) -> None:
    run = past.add(NOON, "undelivered", action="application")
    (past.root / ".foretell" / "warehouse.duckdb").mkdir()
    assert tidy(past.controller).open == [f"{run.label} delivering"]
    assert past.store.get(run.delivery) is None


def test_only_the_newest_months_are_gone_through_unless_all_are_asked_for(past: Past) -> None:
    months = [datetime(2026, month, 1, tzinfo=UTC) for month in (6, 5, 4, 3, 1)]
    runs = [past.add(date, "running") for date in months]
    assert list(open_runs(past.controller)) == runs[:3]
    assert list(open_runs(past.controller, every=True)) == runs
    assert len(tidy(past.controller, every=True).ended) == 5


@pytest.mark.parametrize("record", ["request", "outcome"])
def test_a_record_that_was_cut_keeps_nobody_else_from_being_tidied(past: Past, record: str) -> None:
    bad, good = past.add(NOON, "failed"), past.add(NOON - timedelta(days=1), "running")
    if record == "request":
        past.store.remove(bad.outcome)
    past.store.put(getattr(bad, record), b'{"format": 1, "ki')
    done = tidy(past.controller)
    assert done.ended == [f"{good.label} lost"]
    (told,) = done.failed
    assert told.startswith(f"{bad.label}: the record ")


# --- what is alive --------------------------------------------------------------------------------------------------

MACHINE = """
import fcntl, os, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.pwrite(lock, str(os.getpid()).encode(), 0)
print("alive", flush=True)
time.sleep(500)
"""


class Machines:
    """Processes that look like machines."""

    def __init__(self, past: Past) -> None:
        self.home = past.root / ".foretell" / "machines"
        self.processes: list[subprocess.Popen[str]] = []

    def add(self, run: Run, name: str, *, store: str = "here", attempt: int = 1, age: float = 0) -> None:
        place = self.home / name
        place.mkdir(parents=True)
        born = time.time() - age
        card = f'"name":"{name}","service":"toy","store":"{store}","run":"{run.folder}","attempt":{attempt}'
        (place / "machine.json").write_text(f'{{{card},"kill_after":1,"born":{born}}}')
        own, _, value = marker(name).partition("=")
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", MACHINE, str(place / "lock")],
            env={**os.environ, own: value},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "alive\n"
        self.processes.append(process)

    def alive(self) -> list[bool]:
        time.sleep(0.05)
        return [process.poll() is None for process in self.processes]


@pytest.fixture
def machines(past: Past) -> Iterator[Machines]:
    made = Machines(past)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def launched(past: Past, run: Run) -> str:
    data = past.store.get(run.attempt(1).launch)
    assert data
    return decode(data, Launch, run.attempt(1).launch).machine


@pytest.mark.parametrize("end", ["failed", "cancelled", "lost", "produced"])
def test_the_machine_of_a_run_that_is_over_is_stopped(past: Past, machines: Machines, end: str) -> None:
    run = past.add(NOON, end)
    name = launched(past, run)
    machines.add(run, name)
    done = tidy(past.controller)
    assert (done.stopped, done.removed) == ([name], [name])
    assert machines.processes[0].wait(5) == -signal.SIGTERM
    assert not (machines.home / name).exists()


def test_the_machine_of_a_delivered_run_is_stopped(past: Past, machines: Machines) -> None:
    run = past.add(NOON, "delivered", action="application")
    machines.add(run, launched(past, run))
    assert tidy(past.controller).stopped == [launched(past, run)]


def test_the_machine_of_an_attempt_that_was_replaced_is_stopped(past: Past, machines: Machines) -> None:
    run = past.add(NOON, "running")
    later = Launch(nonce="2", machine="toy-training-2-x", after="lost", failures_left=0, losses_left=0)
    past.write(run.attempt(2).launch, later)
    machines.add(run, launched(past, run))
    machines.add(run, later.machine, attempt=2)
    assert tidy(past.controller).stopped == [launched(past, run)]
    assert machines.alive() == [False, True]


def test_who_works_is_let_alone(past: Past, machines: Machines) -> None:
    run = past.add(NOON, "running")
    machines.add(run, launched(past, run))
    assert tidy(past.controller) == Tidied(open=[f"{run.label} running"])
    assert machines.alive() == [True]


def test_the_machines_of_another_store_are_let_alone(past: Past, machines: Machines) -> None:
    run = past.add(NOON, "failed")
    machines.add(run, launched(past, run), store="another")
    assert tidy(past.controller) == NOTHING
    assert machines.alive() == [True]


@pytest.mark.parametrize(("age", "stays"), [(10, True), (10_000, False)])
def test_a_machine_without_a_record_is_stopped_once_it_is_no_news(
    past: Past, machines: Machines, age: float, stays: bool
) -> None:
    run = past.add(NOON, "open")
    past.write(run.outcome, Outcome(kind="cancelled", by="x"))
    machines.add(run, "toy-training-1-unknown", age=age)
    assert tidy(past.controller).stopped == ([] if stays else ["toy-training-1-unknown"])
    assert machines.alive() == [stays]


# --- what is left ---------------------------------------------------------------------------------------------------


def test_what_dead_machines_left_is_removed(past: Past) -> None:
    past.add(NOON)
    home = past.root / ".foretell" / "machines"
    for name in ("with-a-card", "without-one", ".half-cleared", "being-made"):
        (home / name / "work").mkdir(parents=True)
    (home / "with-a-card" / "machine.json").write_text("{")
    for name in ("without-one", ".half-cleared"):
        os.utime(home / name, (0, 0))
    assert tidy(past.controller).removed == [".half-cleared", "with-a-card", "without-one"]
    assert [path.name for path in home.iterdir()] == ["being-made"]


def test_old_snapshots_that_no_open_run_pins_are_removed(past: Past) -> None:
    place = past.root / ".foretell" / "snapshots"
    old = time.time() - OLD - 60
    for name in ("needed", "old", "new"):
        (place / name / "source").mkdir(parents=True)
        os.utime(place / name, (old, old) if name != "new" else None)
    for month in (6, 5, 4):
        past.add(datetime(2026, month, 1, tzinfo=UTC))
    # of a month that is only looked at with `--all`, and open all the same
    run = Run("toy", "1", "training", datetime(2026, 1, 1, tzinfo=UTC), 1)
    asked = past.request(run, key="k", trial=False, inputs=())
    past.write(run.request, replace(asked, snapshot=str(place / "needed")))
    assert tidy(past.controller).removed == ["snapshots/old"]
    assert sorted(path.name for path in place.iterdir()) == ["needed", "new"]
    assert tidy(past.controller).removed == []
