"""Many at once, and what waiting costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from foretell.controller.resolve import StartOptions
from foretell.errors import UsageError
from foretell.protocol.keys import Run
from foretell.protocol.records import Launch, Receipt
from foretell.store import Store
from tests.support.stage import DELIVERY, PREDICTIONS, Stage, eventually

pytestmark = pytest.mark.slow

AGENT = "import os, sys; from foretell.agent import session; from foretell.protocol.assignment import parse; sys.exit(session.main(parse(sys.argv[1:]), os.getppid()))"


def test_ten_starts_of_one_key_are_one_run(stage: Stage) -> None:
    stage.action("training", "sleep 0.5; echo model > output/model")
    starts = [stage.spawn("start", "training") for _ in range(10)]
    told = [start.communicate(timeout=60) for start in starts]
    assert [start.returncode for start in starts] == [0] * 10, told
    (run,) = stage.runs("training")
    assert {out.strip() for out, _ in told} == {run.label}
    assert stage.act("wait", run.label) == "succeeded"
    assert len(stage.machines(run)) == 1
    stage.must_be_settled(run, "succeeded")


def test_ten_first_starts_of_a_store_agree_on_it(stage: Stage) -> None:
    for number in range(10):
        stage.action(f"action-{number}", "true")
    with_starts = [stage.spawn("start", f"action-{number}") for number in range(10)]
    assert [start.wait(60) for start in with_starts] == [0] * 10
    for start in with_starts:
        start.communicate()
    runs = [run for number in range(10) for run in stage.runs(f"action-{number}")]
    assert len({stage.controller.request(run).store for run in runs}) == 1


# --- two agents -----------------------------------------------------------------------------------------------------


def post(stage: Stage, run: Run, home: Path) -> list[str]:
    """What a platform tells a guard of the first attempt, with another home."""
    home.mkdir(parents=True)
    (machine,) = stage.machines(run)
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(lock, True)
    return [f"file://{stage.store}", run.folder, "1", machine, str(home), "60", "1", home.name, str(lock)]


@pytest.fixture
def recorded(stage: Stage) -> Run:
    """A run whose launch is on record and was not carried out."""
    stage.action("delivers", f"sleep 0.5; {PREDICTIONS}", delivery=DELIVERY)
    assert stage.act("start", "delivers", kills=[("start", "before", "^launch$", "self")]) == "killed"
    (run,) = stage.runs("delivers")
    return run


def test_of_two_agents_one_works_and_the_other_leaves(stage: Stage, recorded: Run, tmp_path: Path) -> None:
    posts = [post(stage, recorded, tmp_path / f"home-{number}") for number in range(2)]
    agents = [
        subprocess.Popen(
            [sys.executable, "-I", "-c", AGENT, *what], close_fds=False, stderr=subprocess.DEVNULL
        )
        for what in posts
    ]
    assert sorted(agent.wait(30) for agent in agents) == [0, 80]
    assert stage.begun() == {f"delivers {recorded.label} 1": 1}
    assert stage.act("wait", recorded.label) == "succeeded"
    stage.must_be_settled(recorded, "succeeded")


def test_the_host_of_a_second_agent_is_silent(stage: Stage, recorded: Run, tmp_path: Path) -> None:
    guards = [
        subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-m",
                "foretell.agent.guard",
                *post(stage, recorded, tmp_path / f"home-{number}"),
            ],
            close_fds=False,
        )
        for number in range(2)
    ]
    assert [guard.wait(30) for guard in guards] == [0, 0]
    assert not (stage.store / recorded.attempt(1).host).exists()
    assert not list(tmp_path.glob("*home-*"))
    assert stage.begun() == {f"delivers {recorded.label} 1": 1}


# --- many runs ------------------------------------------------------------------------------------------------------


def test_twenty_runs_at_once_all_deliver(stage: Stage) -> None:
    stage.action("delivers", f"sleep 0.2; {PREDICTIONS}", delivery=f'{DELIVERY}\nmode = "append"')
    runs = [stage.spawn("run", "delivers", str(day)) for day in range(20)]
    told = [run.communicate(timeout=120) for run in runs]
    assert [out.strip().splitlines()[-1:] for out, _ in told] == [["succeeded"]] * 20, told
    assert stage.rows() == [("x", 1)] * 20 + [("y", 2)] * 20
    assert len(stage.begun()) == 20
    for run in stage.runs("delivers"):
        assert isinstance(stage.read(run.delivery, Receipt), Receipt)


def test_of_runs_that_replace_a_table_the_newest_stays(stage: Stage) -> None:
    rows = r'printf "a,b\n$FORETELL_DATE,1\n" > output/predictions.csv'
    stage.action("delivers", f"sleep 0.2; {rows}", delivery=DELIVERY)
    runs = [stage.spawn("run", "delivers", str(day)) for day in range(8)]
    for run in runs:
        run.communicate(timeout=120)
    assert stage.rows() == [("2026-11-28T06:00:00+00:00", 1)]
    states = [stage.read(run.delivery, Receipt).state for run in stage.runs("delivers")]  # type: ignore[attr-defined]
    assert states[0] == "delivered"
    assert set(states) <= {"delivered", "superseded"}


def test_a_table_has_one_service(stage: Stage, tmp_path: Path) -> None:
    stage.action("delivers", PREDICTIONS, delivery=DELIVERY)
    assert stage.act("run", "delivers") == "succeeded"
    other = Stage(tmp_path / "other", name="other")
    other.warehouse(stage.root / ".foretell" / "warehouse.duckdb")
    other.action("delivers", r'printf "a,b\nz,3\n" > output/predictions.csv', delivery=DELIVERY)
    assert other.act("run", "delivers", "1") == "rejected"
    (run,) = other.runs("delivers")
    state = other.controller.check(run)
    assert state.exit_code == 5
    owner = f"{stage.controller.identify()}/toy/delivers"
    assert f'belongs to "{owner}"' in state.cause
    assert "`foretell claim predictions`" in state.cause
    assert stage.rows() == [("x", 1), ("y", 2)]


def test_ticks_at_once_start_what_is_due_once(stage: Stage) -> None:
    stage.action("training", "echo model > output/model", more='schedule = "0 * * * *"')
    stage.action("delivers", PREDICTIONS, more='schedule = "30 * * * *"', delivery=DELIVERY)
    ticks = [stage.spawn("tick") for _ in range(4)]
    told = [tick.communicate(timeout=60) for tick in ticks]
    assert [tick.returncode for tick in ticks] == [0] * 4, told
    for action in ("training", "delivers"):
        (run,) = stage.runs(action)
        assert stage.act("wait", run.label) == "succeeded"
    assert set(stage.begun().values()) == {1}


# --- what waiting costs ---------------------------------------------------------------------------------------------


class CountingStore(Store):
    """Notes what is asked of it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []

    def get(self, key: str) -> bytes | None:
        self.asked.append(key.rpartition("/")[2])
        return super().get(key)

    def folders(self, prefix: str) -> list[str]:
        self.asked.append("a listing")
        return super().folders(prefix)


@pytest.fixture
def lasting(stage: Stage) -> Iterator[Run]:
    stage.action("training", f"echo $$ > {stage.pids}; sleep 500")
    label = stage.act("start", "training")
    eventually(stage.pids.exists, "no command")
    run = stage.controller.find(label)
    yield run
    stage.act("stop", run.label)


def test_a_round_in_which_nothing_happens_is_five_reads_by_name(stage: Stage, lasting: Run) -> None:
    controller = stage.controller
    controller.store = store = CountingStore(controller.target.store)
    witness = controller.witness(controller.request(lasting))
    for _ in range(2):
        controller.execute(witness.round())
    store.asked.clear()
    for _ in range(5):
        controller.execute(witness.round())
    assert store.asked == ["launch.json", "outcome.json", "beat.json", "host.json", "exit.json"] * 5


def test_the_end_of_a_local_run_is_noticed_at_once(stage: Stage) -> None:
    stage.action("training", "sleep 1; echo model > output/model")
    late = []
    for day in range(4):
        run = stage.controller.find(stage.act("start", "training", str(day)))
        assert stage.controller.wait(run).phase == "succeeded"
        late.append(time.time() - (stage.store / run.outcome).stat().st_mtime)
    assert min(late) < 0.1, late


def test_a_dead_local_agent_is_noticed_at_once(stage: Stage, lasting: Run) -> None:
    with stage.spawn("wait", lasting.label) as waiter:
        time.sleep(2)  # until it waits, as patiently as it ever will
        killed = time.time()
        for pid in stage.guard_and_agent(lasting):
            os.kill(pid, signal.SIGKILL)
        second = stage.store / lasting.attempt(2).launch
        eventually(second.exists, "nobody notices")
        assert second.stat().st_mtime - killed < 2
        waiter.kill()
    launch = stage.read(lasting.attempt(2).launch, Launch)
    assert isinstance(launch, Launch)
    assert launch.after == "lost"


# --- a table that is read meanwhile ---------------------------------------------------------------------------------


def test_a_reader_of_the_warehouse_is_waited_for(stage: Stage) -> None:
    stage.action("delivers", PREDICTIONS, delivery=DELIVERY)
    assert stage.act("run", "delivers") == "succeeded"
    with duckdb.connect(str(stage.root / ".foretell" / "warehouse.duckdb"), read_only=True):
        label = stage.act("start", "delivers", "1")
        run = stage.controller.find(label)
        eventually((stage.store / run.outcome).exists, "no outcome")
        time.sleep(0.5)
        assert stage.controller.check(run).phase == "delivering"
    assert stage.act("wait", label) == "succeeded"
    stage.must_be_settled(run, "succeeded")


def test_a_key_without_a_date_is_refused(stage: Stage) -> None:
    stage.action("trains", "echo model > output/model.txt")
    with pytest.raises(UsageError, match="a key needs a date"):
        stage.controller.start("trains", StartOptions(key="mine"))
