"""What every platform does: one suite, which each kind of platform passes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from foretell import platforms
from foretell.errors import RefusedError
from foretell.platforms.base import Platform
from foretell.platforms.docker import memory
from foretell.protocol.keys import Run
from foretell.protocol.records import Launch, Request
from foretell.protocol.rules import MachineState
from foretell.system import container_engine as engines
from foretell.system.processes import marker, survivors
from tests.contract.cloud_bench import Clouds
from tests.support.stage import Stage, eventually, must_be_gone

GONE = (MachineState.GONE, MachineState.GONE_FOR_CERTAIN)


class Bench:
    """A platform, and runs whose first launch is on record and was not carried out."""

    def __init__(self, kind: str, root: Path, clouds: Clouds | None = None) -> None:
        self.kind = kind
        self.root = root
        self.clouds = clouds
        self.set_the_stage("service")

    def set_the_stage(self, name: str, times: dict[str, str] | None = None) -> None:
        """Make a service whose runs are on the platform."""
        if self.clouds:
            self.stage = self.clouds.stage(name, times)
            self.platform: Platform = platforms.connect(self.stage.service.targets["local"].platform)
            return
        self.stage = Stage(self.root / name, times=times)
        self.stage.action("training", "true")
        # what a command leaves for the test lies beside the service, in a container too
        more = f', volumes = ["{self.root}:{self.root}"]' if self.kind == "docker" else ""
        if self.kind == BROUGHT:
            more = ', home = ".foretell"'  # where the stage looks for its machines
        self.stage.target(f'platform = {{kind = "{self.kind}"{more}}}\n[image]\nnetwork = "host"')
        self.platform = platforms.connect(self.stage.service.targets["local"].platform)

    def record(self, script: str, *, more: str = "") -> tuple[Request, Launch, Run]:
        """Record the launch of a run whose command is a script."""
        self.stage.action("training", script, more=more)
        before = [("start", "before", "^launch$", "self")]
        # in a container an image is built first
        assert self.stage.act("start", "training", kills=before, within=300) == "killed"
        (run,) = self.stage.runs("training")
        launch = self.stage.read(run.attempt(1).launch, Launch)
        assert isinstance(launch, Launch)
        if self.clouds:
            self.clouds.keep(self.stage, run)
        return self.stage.controller.request(run), launch, run

    def stays(self, *, more: str = "") -> tuple[Request, Launch, Run]:
        """Record the launch of a command that stays, with a child, and tells of both."""
        return self.record(f"sleep 500 & echo $$ $! >> {self.stage.pids}; wait", more=more)

    def launch(self, request: Request, launch: Launch) -> None:
        self.platform.launch(request, launch, store=request.target.store)

    def begun(self) -> list[int]:
        """Wait for the command that stays, and give its processes."""
        pids = self.stage.pids
        eventually(lambda: pids.exists() and pids.read_text().endswith("\n"), "no command", within=60)
        if self.kind in {"docker", "compute-engine"}:  # where the command knows itself by another number
            return self._inside()[2:]
        return [int(pid) for pid in pids.read_text().split()]

    def guard_and_agent(self, run: Run) -> tuple[int, int]:
        if self.kind in {"docker", "compute-engine"}:
            guard, agent, *_ = self._inside()
            return guard, agent
        return self.stage.guard_and_agent(run)

    def kill(self, run: Run) -> None:
        """Kill guard and agent; who dies with the other is dead already."""
        if self.clouds:
            self.clouds.kill(self.stage, run)
            return
        for pid in self.guard_and_agent(run):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _inside(self) -> list[int]:
        """The processes of the only machine that lives, oldest first."""
        (machine,) = self.platform.alive("toy")
        return sorted(survivors(marker(machine.name)))

    @contextmanager
    def refused(self, request: Request) -> Iterator[Request]:
        """Give a request that the platform can never carry out."""
        if self.clouds:
            with self.clouds.refused(request) as never:
                yield never
            return
        if self.kind == "docker":
            never = f"sha256:{'0' * 64}"
            memory.remember(never, engines.find(os.environ), os.environ)  # it was here, and is not any more
            yield replace(request, image=never)
            return
        machines = (self.stage.service.targets["local"].platform.directory or self.root) / "machines"
        shutil.rmtree(machines, ignore_errors=True)
        machines.write_text("in the way")
        yield request
        machines.unlink()

    def tidy(self, request: Request, keep: list[str]) -> list[str]:
        return list(self.platform.tidy(keep, service=request.service, store=request.store))

    def must_be_gone(self, launch: Launch) -> None:
        eventually(lambda: self.platform.probe(launch).life in GONE, "the machine does not end", within=60)


BROUGHT = os.environ.get("FORETELL_CONTRACT_KIND")
"""The kind of another package that takes the suite instead; see acceptance/test_kinds.py."""
KINDS = (
    (BROUGHT,)
    if BROUGHT
    else (
        "process",
        pytest.param("docker", marks=pytest.mark.docker),
        pytest.param("compute-engine", marks=(pytest.mark.docker, pytest.mark.google)),
    )
)


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "docker":
        request.getfixturevalue("engine")
    clouds = Clouds(request, tmp_path) if request.param == "compute-engine" else None
    made = Bench(request.param, tmp_path, clouds)
    yield made
    for run in made.stage.runs("training"):
        made.stage.act("stop", run.label)


def test_a_machine_lives_as_long_as_its_agent(bench: Bench) -> None:
    wait = f"while [ ! -e {bench.root}/go ]; do sleep 0.05; done"
    request, launch, run = bench.record(f"{wait}; echo model > output/model")
    bench.launch(request, launch)  # who waited for the command would wait for ever
    assert bench.platform.probe(launch).life is MachineState.ALIVE
    (bench.root / "go").touch()
    bench.must_be_gone(launch)
    assert bench.stage.controller.check(run).phase == "succeeded"


def test_a_machine_that_was_never_launched_is_gone_and_no_error(bench: Bench) -> None:
    _, launch, _ = bench.record("true")
    assert bench.platform.probe(launch).life in GONE
    bench.platform.stop(launch)
    assert not bench.platform.alive("toy")


def test_what_is_alive_is_listed_with_what_it_is_for(bench: Bench) -> None:
    request, launch, run = bench.stays()
    bench.launch(request, launch)
    (machine,) = bench.platform.alive("toy")
    assert (machine.name, machine.store) == (launch.machine, request.store)
    assert (machine.run, machine.attempt) == (run.folder, 1)
    assert 0 <= machine.age < 30
    assert not bench.platform.alive("another")


def test_a_launch_may_be_repeated(bench: Bench) -> None:
    request, launch, _ = bench.stays()
    for _ in range(3):
        bench.launch(request, launch)
    bench.begun()
    bench.launch(request, launch)
    assert len(bench.platform.alive("toy")) == 1
    assert set(bench.stage.begun().values()) == {1}


def test_a_launch_may_be_repeated_by_another_process(bench: Bench) -> None:
    request, launch, run = bench.stays()
    with ExitStack() as waiting:
        for _ in range(3):
            waiter = waiting.enter_context(bench.stage.spawn("wait", run.label))
            waiting.callback(waiter.kill)
        bench.launch(request, launch)
        bench.begun()
        time.sleep(0.5)
    assert len(bench.platform.alive("toy")) == 1
    assert set(bench.stage.begun().values()) == {1}
    assert len(bench.stage.machines(run)) == 1


def test_launching_again_what_has_ended_runs_nothing_twice(bench: Bench) -> None:
    request, launch, run = bench.record("echo model > output/model")
    bench.launch(request, launch)
    bench.must_be_gone(launch)
    bench.launch(request, launch)
    bench.must_be_gone(launch)
    assert set(bench.stage.begun().values()) == {1}
    assert bench.stage.controller.check(run).phase == "succeeded"


def test_stop_ends_everything_and_may_be_repeated(bench: Bench) -> None:
    request, launch, _ = bench.stays()
    bench.launch(request, launch)
    pids = bench.begun()
    bench.platform.stop(launch)
    must_be_gone(pids, within=30)
    assert bench.platform.probe(launch).life in GONE
    assert not bench.platform.alive("toy")
    bench.platform.stop(launch)


def test_stop_ends_what_ignores_it(bench: Bench) -> None:
    request, launch, _ = bench.record(
        f"trap '' TERM; echo $$ >> {bench.stage.pids}; while :; do sleep 1; done"
    )
    bench.launch(request, launch)
    pids = bench.begun()
    bench.platform.stop(launch)
    must_be_gone(pids, within=30)
    assert bench.platform.probe(launch).life in GONE


def test_stop_right_after_launch_ends_it(bench: Bench) -> None:
    request, launch, _ = bench.stays()
    bench.launch(request, launch)
    bench.platform.stop(launch)
    assert bench.platform.probe(launch).life in GONE
    # the guard itself may still be clearing away what it made
    eventually(lambda: not survivors(marker(launch.machine)), "something lives on", within=30)


def test_what_is_dead_is_gone_with_all_that_it_started(bench: Bench) -> None:
    request, launch, run = bench.stays()
    bench.launch(request, launch)
    pids = bench.begun()
    bench.kill(run)
    eventually(
        lambda: bench.platform.probe(launch).life is MachineState.GONE_FOR_CERTAIN,
        "nobody notices",
        within=30,
    )
    assert not any(map(os.path.exists, (f"/proc/{pid}/exe" for pid in pids)))


def test_a_machine_outlives_who_launched_it(bench: Bench) -> None:
    _, launch, run = bench.stays()
    program = """
import sys
from foretell import Controller, load
from foretell.protocol.records import Launch, decode
root, label, record = sys.argv[1:]
service = load(root)
controller = Controller(service, service.targets["local"])
run = controller.find(label)
request = controller.request(run)
platform = controller.platform(request.target.platform)
launch = decode(open(record, "rb").read(), Launch, record)
platform.launch(request, launch, store=request.target.store)
"""
    record = bench.stage.store / run.attempt(1).launch
    subprocess.run([sys.executable, "-c", program, str(bench.stage.root), run.label, str(record)], check=True)
    bench.begun()
    assert bench.platform.probe(launch).life is MachineState.ALIVE


def test_no_machine_outlives_its_deadline(bench: Bench) -> None:
    """Even where the agent stands still: the deadline is kept by something that is not the agent (P5)."""
    bench.set_the_stage("short", SHORT)
    request, launch, run = bench.stays(more='timeout = "1s"')
    bench.launch(request, launch)
    pids = bench.begun()
    _, agent = bench.guard_and_agent(run)
    os.kill(agent, signal.SIGSTOP)
    must_be_gone([agent, *pids], within=60)
    bench.must_be_gone(launch)


SHORT = {
    "beat": "0.1s",
    "fence": "0.5s",
    "kill": "0.5s",
    "lease": "2s",
    "stale": "1s",
    "poll": "0.1s",
    "boot": "1s",
    "deliver": "0.5s",
    "grace": "0.5s",
}


def test_tidy_removes_what_the_dead_left_and_nothing_else(bench: Bench) -> None:
    request, launch, run = bench.stays()
    bench.launch(request, launch)
    bench.begun()
    assert bench.tidy(request, []) == []
    assert bench.platform.probe(launch).life is MachineState.ALIVE
    bench.kill(run)
    bench.must_be_gone(launch)
    assert bench.tidy(request, [launch.machine]) == []
    assert bench.tidy(request, []) == [launch.machine]
    assert bench.tidy(request, []) == []


def test_a_refusal_is_positive_and_starts_nothing(bench: Bench) -> None:
    request, launch, _ = bench.record("true")
    with bench.refused(request) as never, pytest.raises(RefusedError):
        bench.launch(never, launch)
    assert not bench.stage.begun()
