"""The trigger, beside real runs on this machine: what it sees, says and comes to."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foretell.airflow.watch import Watch
from foretell.controller.controller import Controller
from foretell.platforms.process.platform import ProcessPlatform
from foretell.protocol.keys import Run
from foretell.system.processes import kill, survivors
from tests.airflow.toy import Toy

pytestmark = pytest.mark.airflow


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path / "dags" / "toy")


def begin(toy: Toy, action: str = "training") -> tuple[Controller, Run]:
    """Start a run that waits at the gate."""
    toy.shut()
    controller = toy.controller
    run = controller.start(action)
    toy.wait_begun(action)
    return controller, run


def watch(controller: Controller, run: Run, said: list[str]) -> Watch:
    return Watch(controller.store, run, 1, said.append)


async def until(true: Callable[[], bool], patience: float = 60) -> None:
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


def kill_machine(controller: Controller) -> None:
    """End every process of the one live attempt, as a machine that is lost."""
    (platform,) = (platform for _, platform in controller._platforms)
    assert isinstance(platform, ProcessPlatform)
    for machine in platform.alive("toy"):
        kill(survivors(f"FORETELL_MACHINE={machine.name}"))


def test_it_waits_for_the_end_and_says_every_line_once(toy: Toy) -> None:
    controller, run = begin(toy)
    said: list[str] = []

    async def scene() -> dict[str, Any]:
        looking = asyncio.create_task(watch(controller, run, said).until_due())
        await asyncio.sleep(1.5)
        assert not looking.done()
        toy.open()
        return await asyncio.wait_for(looking, 60)

    event = asyncio.run(scene())
    assert event == {"run": run.folder, "attempt": 1, "ended": True, "step": {"type": "Finish"}}
    assert [line.partition(" ")[0] for line in said] == ["training", "done"]


def test_what_the_run_prints_is_there_while_it_runs(toy: Toy) -> None:
    controller, run = begin(toy)
    said: list[str] = []

    async def scene() -> None:
        looking = asyncio.create_task(watch(controller, run, said).until_due())
        await until(lambda: bool(said))
        assert not looking.done()
        looking.cancel()

    asyncio.run(scene())
    assert said[0].startswith("training of ")
    controller.stop(run)


def test_a_lost_machine_is_replaced_by_the_task_that_comes_after_it(toy: Toy) -> None:
    controller, run = begin(toy)
    kill_machine(controller)
    event = asyncio.run(asyncio.wait_for(watch(controller, run, []).until_due(), 60))
    assert (event["step"]["type"], event["step"]["attempt"], event["ended"]) == ("Start", 2, False)
    toy.open()
    assert advance(toy, run, event) is False
    assert controller.wait(run).attempt == 2


def test_a_step_that_came_too_late_does_nothing(toy: Toy) -> None:
    controller, run = begin(toy)
    kill_machine(controller)
    event = asyncio.run(asyncio.wait_for(watch(controller, run, []).until_due(), 60))
    toy.open()
    assert controller.wait(run).attempt == 2
    assert advance(toy, run, event) is True
    assert len(toy.began("training")) == 2
    assert toy.runs("training") == [(run.id, "succeeded")]


def test_a_step_of_another_version_is_left_to_the_next_look(toy: Toy) -> None:
    controller, run = begin(toy)
    event = {"run": run.folder, "attempt": 1, "ended": False, "step": {"type": "Conjure", "attempt": 9}}
    assert advance(toy, run, event) is False
    controller.stop(run)


def advance(toy: Toy, run: Run, event: dict[str, Any]) -> bool:
    """Have the task do what the trigger came to."""
    duties = importlib.import_module("foretell.airflow.duties")
    identity = importlib.import_module("foretell.airflow.identity").Identity
    duty = duties.RunTask(toy.controller, run.action, identity("key", run.date, None))
    request = toy.controller.request(run)
    duty.runs = lambda: [(run, request)]
    silent = SimpleNamespace(info=lambda *_: None)
    done: bool = duty.advance(event, silent)
    return done


def test_a_store_that_is_away_is_sat_out(toy: Toy) -> None:
    controller, run = begin(toy)
    said: list[str] = []
    assert controller.store.directory is not None
    there, away = controller.store.directory, controller.store.directory.with_name("away")

    async def scene() -> dict[str, Any]:
        looking = asyncio.create_task(watch(controller, run, said).until_due())
        await asyncio.sleep(1.5)
        there.rename(away)
        await until(lambda: any("does not answer" in line for line in said))
        away.rename(there)
        toy.open()
        return await asyncio.wait_for(looking, 60)

    event = asyncio.run(scene())
    assert event["ended"]
    assert sum("does not answer" in line for line in said) == 1
    assert "the store answers again" in said


def test_cancelling_ends_the_machine(toy: Toy) -> None:
    controller, run = begin(toy)
    outcome = asyncio.run(watch(controller, run, []).cancel("for a test"))
    assert (outcome.kind, outcome.cause) == ("cancelled", "for a test")
    assert not toy.alive()


def test_the_trigger_is_what_it_stores(toy: Toy) -> None:
    controller, run = begin(toy)
    toy.open()
    kind = importlib.import_module("foretell.airflow.trigger").RunTrigger
    path, arguments = kind(controller.store.url, run.folder, 1.0).serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**arguments, of_a_later_version=1)
    assert again.serialize() == (path, arguments)

    async def scene() -> list[Any]:
        return [event.payload async for event in again.run()]

    (event,) = asyncio.run(asyncio.wait_for(scene(), 60))
    assert event["ended"]
    assert event["run"] == run.folder
