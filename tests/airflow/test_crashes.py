"""
kill -9 of Airflow's components, while commands run and at the moment of their end: nothing is lost, nothing is told twice.

One kill hits runs in all of their phases at once, which is what makes this file short.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from foretell.airflow.local import COMPONENTS
from foretell.protocol.rules import Phase
from tests.standins.airflow.components import Components
from tests.support.fleet import APPEND, Fleet, Flight

pytestmark = pytest.mark.airflow

PHASES = ("closing", "ending", "failing", "absent", "lost", "early", "starting")
"""
What becomes of the run of each: its tasks after the end are at work when the kill comes; it is decided at that very
moment, well or badly; it is decided while nobody looks; it loses its machine then; it goes on for longer than that; and
it is just being asked for.
"""
VICTIMS = {
    "triggerer": ("triggerer",),
    "workers": (),
    "scheduler": ("scheduler",),
    "api-server": ("api-server",),
    "dag-processor": ("dag-processor",),
    "all": tuple(COMPONENTS),
}
"""The scheduler has its workers in its group, so they die with it."""

STARTED, LEFT_ALONE = "trigger {}/", "its run is left alone"
"""What the log of `wait` has of a trigger: that a triggerer has begun it, and that one gave it up."""


@pytest.fixture(scope="module")
def service(shared: Components) -> Fleet:
    made = Fleet(shared, "crashes")
    for phase in PHASES:
        made.action(phase, "exit 3" if phase == "failing" else "", delivery=APPEND)
    made.wait_known()
    assert shared.import_errors() == {}
    return made


@pytest.fixture
def fleet(service: Fleet) -> Iterator[Fleet]:
    """The service, with nothing under way when a test has ended, however it did: its next run waits for none."""
    yield service
    service.open(*PHASES)
    service.wait_still()


@pytest.mark.parametrize("victims", VICTIMS.values(), ids=VICTIMS)
def test_a_kill_loses_nothing_and_doubles_nothing(fleet: Fleet, victims: tuple[str, ...]) -> None:
    shared = fleet.shared
    fleet.shut(*PHASES)
    fleet.open("starting")
    flights = fleet.fly(*PHASES[:-1])
    fleet.wait_begun(*flights.values())
    fleet.wait_deferred(*flights.values())
    fleet.open("closing")
    shared.until(lambda: shared.states(*flights["closing"])["wait"] != "deferred", "a task that goes on")
    flights |= fleet.fly("starting")
    fleet.open("failing", "ending")
    fleet.wait_outcome(flights["ending"])
    shared.kill(*victims)
    try:
        if not victims:
            shared.kill_workers()
        _lose_the_machine(fleet, flights["lost"])
        fleet.open("absent", "lost")
        fleet.wait_outcome(flights["absent"])
    finally:
        shared.start(*victims)
    shared.wait_healthy()
    fleet.open("early")

    for phase, flight in flights.items():
        fleet.must_land(flight, Phase.FAILED if phase == "failing" else Phase.SUCCEEDED)
    assert fleet.attempts(fleet.run(flights["lost"])) == 2
    assert all(fleet.attempts(fleet.run(flight)) == 1 for phase, flight in flights.items() if phase != "lost")
    fleet.must_be_clean()


def _lose_the_machine(fleet: Fleet, flight: Flight) -> None:
    """Kill the guard and the agent of a run at once, as a machine dies that nobody asks first."""
    for pid in fleet.stage.guard_and_agent(fleet.run(flight)):
        os.kill(pid, signal.SIGKILL)


def test_a_triggerer_that_stood_still_and_comes_back_stops_no_healthy_run(fleet: Fleet) -> None:
    shared = fleet.shared
    fleet.shut(*PHASES)
    flights = fleet.fly("early")
    flight = flights["early"]
    fleet.wait_begun(flight)
    fleet.wait_deferred(flight)
    shared.until(lambda: STARTED.format(flight.dag) in shared.log(*flight, "wait"), "a watch of its own")
    before = _watcher(shared, flight)
    shared.kill("triggerer", number=signal.SIGSTOP)
    try:
        shared.start("triggerer 2")
        shared.until(lambda: _watcher(shared, flight) not in (None, before), "another triggerer's watch")
    finally:
        shared.kill("triggerer", number=signal.SIGCONT)
    try:
        shared.until(lambda: LEFT_ALONE in shared.log(*flight, "wait"), "a look at the task by who lost it")
        assert fleet.outcome(fleet.run(flight)) is None
        fleet.open("early")
        fleet.must_land(flight, Phase.SUCCEEDED)
        assert fleet.attempts(fleet.run(flight)) == 1
        fleet.must_be_clean()
    finally:
        shared.kill("triggerer 2", number=signal.SIGTERM)


def _watcher(shared: Components, flight: Flight) -> int | None:
    """The job of the triggerer that watches a run."""
    job = shared.tasks(*flight)["wait"]["triggerer_job"]
    return job["id"] if job else None
