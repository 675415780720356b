"""Waiting in Airflow: a thousand runs at once in one triggerer; how soon an end is noticed, beside a loop in bash."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from bench import graphs, postgres, timing
from foretell.controller.controller import Controller, connect
from foretell.controller.resolve import StartOptions, now
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.protocol import models
from foretell.protocol.effects import get
from foretell.protocol.keys import Run
from foretell.protocol.records import Beat, Claimed, Launch, Outcome, Request, encode
from foretell.service import load
from foretell.store import Store
from foretell.system import times
from foretell.system.processes import children
from tests.standins.airflow.components import Components

RUNS = 1000
ROUNDS = 8
WATCHED = 60.0
"""Seconds for which the triggerer is watched."""
IDLE = 20.0
TICK = os.sysconf("SC_CLK_TCK")
SERVICE = """\
name = "bench"

[actions.training]
command = "sh -c 'sleep $(cat {home}/seconds); echo model > output/model'"
schedule = "0 0 1 1 *"
"""
SEED = """\
from datetime import datetime
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator

BEGIN = "rm -f {home}/log; setsid sh -c 'sleep $(cat {home}/seconds); echo Well done > {home}/log' > {home}/out 2>&1 &"
WAIT = "while ! grep -q 'Well done' {home}/log; do sleep 10; done"
with DAG("seed", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
    start, wait, check = [
        BashOperator(task_id=name, bash_command=code)
        for name, code in [("start", BEGIN), ("wait", WAIT), ("check", "grep 'Well done' {home}/log")]
    ]
    start >> wait >> check
"""
DEFER = """
import sys
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
store, folders = sys.argv[1], sys.stdin.read().split()
with create_session() as session:
    tasks = session.query(TaskInstance).filter(TaskInstance.task_id == "training.wait").all()
    assert len(tasks) == len(folders), len(tasks)
    for task, folder in zip(tasks, folders):
        trigger = Trigger("foretell.airflow.trigger.RunTrigger", {"store": store, "run": folder, "poll": 12.0})
        session.add(trigger)
        session.flush()
        task.state, task.trigger_id, task.next_method, task.try_number = "deferred", trigger.id, "resume", 1
"""
"""Leaves in the database what `wait` leaves when it defers, which as a task takes a worker most of a second."""
COUNT = """
import sys
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.utils.session import create_session
with create_session() as session:
    watched = session.query(Trigger).filter(Trigger.triggerer_id.is_not(None)).count()
    print(watched, session.query(TaskInstance).filter(TaskInstance.state == "deferred").count())
"""


class Load(NamedTuple):
    """What programs took: percent of a core, and MiB, of what they share their share."""

    cpu: float
    memory: float


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.waiting", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    if reason := postgres.why_not():
        print(reason)
        return
    print(timing.machine())
    if arguments.runs:
        with _airflow() as airflow:
            print(f"\n{_deferred(airflow, arguments.runs)}", flush=True)
    if arguments.rounds:
        with _airflow() as airflow:
            print(f"\n{_delay(airflow, arguments.rounds)}")


@contextmanager
def _airflow() -> Iterator[Components]:
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as place, postgres.started() as database:
        environ = {**graphs.QUIET, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database}
        found = Components(Path(place), environ=environ, python=str(graphs.environment()))
        try:
            yield found
        finally:
            found.end()


def _service(airflow: Components) -> Controller:
    home = airflow.dags / "bench"
    home.mkdir()
    (home / "foretell.toml").write_text(SERVICE.format(home=airflow.home))
    (home / "dags.py").write_text(graphs.FORETELL)
    return connect(load.load(home, environ=os.environ), "local")


# --- a thousand at once -----------------------------------------------------------------------------------------------


def _deferred(airflow: Components, count: int) -> str:
    """Watch the triggerer with nothing to do, with so many runs on machines elsewhere, and when all of them end."""
    controller = _service(airflow)
    airflow.up(["api-server", "dag-processor", "triggerer"])
    airflow.wait_dags("bench-training")
    idle = _watch(airflow, IDLE)
    runs = _make_runs(airflow, controller, count)
    for _ in runs:
        airflow.trigger("bench-training")
    with _beating(controller.store, runs) as beats:
        began = time.monotonic()
        _ask(airflow, DEFER, controller.store.url, stdin="\n".join(run.folder for run in runs))
        _until(lambda: _count(airflow)[0] == count)
        taken = time.monotonic() - began
        time.sleep(15)  # each has read its run's records for the first time
        busy = _watch(airflow, WATCHED)
    began = time.monotonic()
    for run in runs:
        controller.store.create(
            run.outcome, encode(Outcome(kind="cancelled", by="bench", at=now(), attempt=1))
        )
    _until(lambda: _count(airflow)[1] == 0)
    ended = time.monotonic() - began
    rows = [
        ["none", f"{idle.cpu:.1f}", f"{idle.memory:.0f}"],
        [f"{count:,}", f"{busy.cpu:.1f}", f"{busy.memory:.0f}"],
    ]
    told = timing.table(["runs deferred", "CPU, percent of a core", "memory, MiB"], rows)
    return (
        f"{told}\n\nAll were taken up within {taken:.0f} s; {beats[0]:,} beats were written meanwhile; when all of"
        f" them had ended at once, every task was awake after {ended:.0f} s."
    )


def _make_runs(airflow: Components, controller: Controller, count: int) -> list[Run]:
    """Leave the records of runs whose machines are elsewhere, and alive."""
    (airflow.home / "seconds").write_text("0")
    first = controller.start("training", StartOptions(date=datetime(2026, 1, 1, tzinfo=UTC)))
    controller.wait(first, patience=60)
    made = controller.execute(get(first.request, Request))
    if made is None:
        raise AssertionError(first)
    elsewhere = ComputeEngineSettings(project="bench", zones=("europe-west1-b",))
    target = replace(made.target, platform=elsewhere)
    runs = []
    for number in range(1, count + 1):
        run = first._replace(date=first.date + timedelta(minutes=number))
        date, uid = times.rfc3339(run.date), f"{made.uid}-{number}"
        store, attempt = controller.store, run.attempt(1)
        store.create(run.request, encode(replace(made, date=date, uid=uid, key=date, target=target)))
        launch = Launch(nonce="bench", machine="bench-1-bench", failures_left=0, losses_left=2, at=now())
        store.create(attempt.launch, encode(launch))
        store.create(attempt.claim, encode(Claimed(nonce="bench", boot="bench", at=now())))
        store.put(attempt.beat, encode(Beat(nonce="bench", seq=1, stage="command", at=now())))
        runs.append(run)
    return runs


@contextmanager
def _beating(store: Store, runs: list[Run]) -> Iterator[list[int]]:
    """Write a sign of life for each run every ten seconds; give how many there were."""
    over, written = threading.Event(), [0]

    def beat() -> None:
        number = 1
        while not over.is_set():
            number, began = number + 1, time.monotonic()
            for run in runs:
                store.put(
                    run.attempt(1).beat, encode(Beat(nonce="bench", seq=number, stage="command", at=now()))
                )
                written[0] += 1
            over.wait(max(0.0, 10 - (time.monotonic() - began)))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield written
    finally:
        over.set()
        thread.join()


def _watch(airflow: Components, seconds: float) -> Load:
    pids = _family(airflow.pid("triggerer"))
    before, began = _cpu(pids), time.monotonic()
    time.sleep(seconds)
    cpu = 100 * (_cpu(pids) - before) / (time.monotonic() - began)
    return Load(cpu, sum(_memory(pid) for pid in pids) / 2**20)


def _family(pid: int) -> list[int]:
    return [pid, *(below for child in children(pid) for below in _family(child))]


def _cpu(pids: list[int]) -> float:
    """Give the seconds that processes have taken so far."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(field[11]) + int(field[12]) for field in fields) / TICK


def _memory(pid: int) -> int:
    """Give the bytes that a process takes, those that it shares counted by its share."""
    (line,) = [
        line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")
    ]
    return int(line.split()[1]) * 1024


def _ask(airflow: Components, code: str, *arguments: str, stdin: str = "") -> str:
    command = [graphs.environment(), "-c", code, *arguments]
    return subprocess.run(
        command, env=airflow.environ, input=stdin, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def _count(airflow: Components) -> tuple[int, int]:
    """Give how many triggers run, and how many tasks are deferred."""
    watched, deferred = _ask(airflow, COUNT).split()[-2:]
    return int(watched), int(deferred)


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not true():
        if time.monotonic() > end:
            raise AssertionError("it does not come about")
        time.sleep(1)


# --- how soon an end is noticed ---------------------------------------------------------------------------------------


def _delay(airflow: Components, rounds: int) -> str:
    """Let both go in turn, with commands of other lengths each time."""
    controller = _service(airflow)
    (airflow.dags / "seed.py").write_text(SEED.format(home=airflow.home))
    airflow.up()
    airflow.wait_dags("bench-training", "seed")
    found: dict[str, list[tuple[float, float, float]]] = {"Foretell": [], "a loop in bash, as the seed's": []}
    for number in range(rounds + 1):
        (airflow.home / "seconds").write_text(str(20 + 10 * number / rounds))
        for name, (dag, ended) in {
            "Foretell": ("bench-training", lambda: _outcome(controller)),
            "a loop in bash, as the seed's": ("seed", lambda: (airflow.home / "log").stat().st_mtime),
        }.items():
            took = _one(airflow, dag, ended)
            found[name] += [took] if number else []  # the first warms up
    rows = [
        [
            name,
            timing.spread((one[0] for one in took), 1),
            f"{statistics.median(one[1] for one in took):.1f}",
            f"{statistics.median(one[2] for one in took):.1f}",
        ]
        for name, took in found.items()
    ]
    return timing.table(
        ["", "from the end to `check`'s success, s", "a worker's slot held, s", "of a run of, s"], rows
    )


def _outcome(controller: Controller) -> float:
    (run,) = controller.execute(models.newest("bench", "1", "training", 1))
    directory = controller.store.directory
    if directory is None:
        raise AssertionError(controller.store.url)
    return (directory / run.outcome).stat().st_mtime


def _one(airflow: Components, dag: str, ended: Callable[[], float]) -> tuple[float, float, float]:
    """Give seconds from a command's end to its check's success, of a worker's slot, and of the whole run."""
    run = airflow.trigger(dag)
    held, last = 0.0, time.monotonic()
    while airflow.runs(dag)[run] in ("queued", "running"):
        time.sleep(0.25)
        states, moment = airflow.states(dag, run), time.monotonic()
        held += (moment - last) * sum(state == "running" for state in states.values())
        last = moment
    if airflow.runs(dag)[run] != "success":
        raise AssertionError(airflow.states(dag, run))
    tasks = airflow.tasks(dag, run)
    checked = datetime.fromisoformat(tasks["check"]["end_date"]).timestamp()
    began = datetime.fromisoformat(tasks["start"]["start_date"]).timestamp()
    return checked - ended(), held, checked - began


if __name__ == "__main__":
    main()
