"""
The fault table: whatever goes wrong between a launcher and its machine, for an action that trains and one that delivers.

Each time: one outcome with the right cause, the rows once, and nothing left in Compute Engine.
"""

from __future__ import annotations

from typing import Any

import pytest

from foretell.controller import tidy
from tests.standins.google.compute import Fails
from tests.standins.google.standin import Misbehaviour
from tests.support.production import eventually
from tests.support.theatre import Theatre

B, C = "europe-west1-b", "europe-west1-c"
MANY = {"method": "compute.*", "count": 3}


@pytest.fixture(params=["training", "application"])
def action(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- answers that do not come, or say no for now --------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        [Misbehaviour(method="compute.instances.insert", how="lose", count=2)],
        [Misbehaviour(method="compute.instances.delete", how="lose", count=2)],
        [Misbehaviour(how="refuse", status=403, reason="rateLimitExceeded", **MANY)],
        [Misbehaviour(how="refuse", status=503, reason="backendError", **MANY)],
        [Misbehaviour(how="drop", **MANY)],
    ],
    ids=["lost insert", "lost delete", "rate limit", "503", "dropped"],
)  # fmt: skip
def test_answers_that_go_wrong_change_nothing(
    theatre: Theatre, action: str, wrong: list[Misbehaviour]
) -> None:
    theatre.stand_in.misbehave(*[_copy(rule) for rule in wrong])
    run = theatre.play(action)
    theatre.must_have(run, "succeeded", attempts=1)
    assert len(theatre.compute.past) == 1


def test_a_slow_operation_is_waited_for(theatre: Theatre, action: str) -> None:
    theatre.compute.pace = 4.0
    run = theatre.play(action)
    theatre.must_have(run, "succeeded", attempts=1)


def test_an_operation_that_nobody_follows_to_its_end_is_not_lost(
    theatre: Theatre, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launch ends before its operation does, which finds no capacity: whoever looks goes on in the next zone."""
    monkeypatch.setattr("foretell.platforms.compute_engine.platform.FOLLOW", 0.5)
    theatre.compute.pace = 3.0
    theatre.compute.fails.append(Fails(code="ZONE_RESOURCE_POOL_EXHAUSTED", zone=B))
    run = theatre.play(action)
    theatre.must_have(run, "succeeded", attempts=1)
    assert [machine.zone for machine in theatre.compute.past] == [C]


# --- machines that are not to be had --------------------------------------------------------------------------------


def test_without_capacity_in_one_zone_the_next_is_taken(theatre: Theatre, action: str) -> None:
    theatre.compute.fails.append(Fails(code="ZONE_RESOURCE_POOL_EXHAUSTED", zone=B))
    run = theatre.play(action)
    theatre.must_have(run, "succeeded", attempts=1)
    assert theatre.production.machine(run).zone == C


def test_without_capacity_anywhere_the_run_is_lost_for_it(theatre: Theatre, action: str) -> None:
    theatre.compute.fails.append(Fails(code="ZONE_RESOURCE_POOL_EXHAUSTED"))
    run = theatre.play(action)
    theatre.must_have(run, "lost", "capacity", attempts=3)


@pytest.mark.parametrize(
    ("code", "message", "cause"),
    [
        ("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded.", "quota"),
        ("IAM_PERMISSION_DENIED", "Required 'compute.instances.create' permission", "permission"),
        ("RESOURCE_NOT_FOUND", "The resource 'global/networks/x' was not found", "settings"),
        ("RESOURCE_NOT_FOUND", "The resource 'global/images/x' was not found", "image"),
    ],
    ids=["quota", "permission", "network", "image"],
)
def test_what_a_person_must_mend_ends_the_run_at_once(
    theatre: Theatre, action: str, code: str, message: str, cause: str
) -> None:
    theatre.compute.fails.append(Fails(code=code, message=message))
    run = theatre.play(action)
    theatre.must_have(run, "lost", cause, attempts=1)
    host = theatre.production.host(run)
    assert host
    assert (host.reason, host.final) == (cause, True)


# --- machines that end ------------------------------------------------------------------------------------------------


def test_a_spot_machine_that_is_taken_away_is_replaced_by_a_standard_one(
    theatre: Theatre, action: str
) -> None:
    theatre.set(spot=True, preemptions=1)
    run, machine = theatre.begin(action)
    assert machine.spot
    theatre.hypervisor.preempt(machine)
    theatre.compute.preempt(machine)
    theatre.wait(run)
    theatre.must_have(run, "succeeded", attempts=2)
    assert not theatre.production.machine(run, 2).spot
    host = theatre.production.host(run)
    assert host
    assert (host.reason, host.boot) == ("preempted", machine.id)
    assert "preempted" in theatre.production.launches(run)[1].cause


def test_a_machine_that_is_taken_away_before_its_agent_began_is_replaced(
    theatre: Theatre, action: str
) -> None:
    theatre.set(spot=True)
    theatre.hypervisor.never_boots = True
    run = theatre.start(action)
    machine = theatre.production.machine(run)
    theatre.compute.preempt(machine)
    eventually(lambda: not theatre.compute.machines, theatre.production.tell)
    theatre.hypervisor.never_boots = False
    theatre.wait(run)
    theatre.must_have(run, "succeeded", attempts=2)
    assert theatre.production.launches(run)[1].spots_left == 1


@pytest.mark.parametrize("moment", ["claim", "exit", "outcome"])
def test_a_machine_may_be_taken_away_at_any_moment(theatre: Theatre, action: str, moment: str) -> None:
    """As soon as something is on record, or a little later: the run ends well, by this machine or by the next."""
    theatre.set(spot=True)
    run = theatre.start(action)
    machine = theatre.production.machine(run)
    key = run.outcome if moment == "outcome" else getattr(run.attempt(1), moment)
    eventually(lambda: theatre.production.controller.store.get(key) is not None, theatre.production.tell)
    theatre.hypervisor.preempt(machine)
    theatre.compute.preempt(machine)
    theatre.wait(run)
    theatre.must_have(run, "succeeded")
    assert len(theatre.production.launches(run)) <= 2


def test_a_machine_whose_host_breaks_is_replaced(theatre: Theatre, action: str) -> None:
    run, machine = theatre.begin(action)
    theatre.compute.vanish(machine)
    theatre.wait(run)
    theatre.must_have(run, "succeeded", attempts=2)


def test_a_machine_that_restarts_runs_nothing_twice(theatre: Theatre, action: str) -> None:
    run, machine = theatre.begin(action)
    theatre.hypervisor.reset(machine)
    theatre.wait(run)
    theatre.must_have(run, "succeeded", attempts=2)
    assert "restarted" in theatre.production.launches(run)[1].cause


def test_a_machine_that_never_boots_is_given_up(theatre: Theatre, action: str) -> None:
    theatre.set(times={"boot": "6s"}, more="losses = 0")
    theatre.hypervisor.never_boots = True
    run = theatre.play(action)
    theatre.must_have(run, "lost", "no agent began", attempts=1)


def test_an_image_that_is_not_there_ends_the_run_at_once(theatre: Theatre, action: str) -> None:
    run = theatre.start(action, image=f"localhost:5055/team/toy@sha256:{'0' * 64}")
    theatre.wait(run)
    theatre.must_have(run, "lost", "image", attempts=1)


# --- commands that end badly ------------------------------------------------------------------------------------------


def test_a_command_that_fails_has_failed(theatre: Theatre, action: str) -> None:
    theatre.conductor.tell(action, "fail")
    run = theatre.play(action)
    theatre.must_have(run, "failed", attempts=1)


def test_a_command_that_takes_too_long_is_ended(theatre: Theatre, action: str) -> None:
    theatre.set(more='timeout = "2s"')
    theatre.conductor.tell(action, "wait")
    run = theatre.play(action)
    theatre.must_have(run, "timeout", attempts=1)


def test_out_of_memory_takes_the_next_machine_type(theatre: Theatre, action: str) -> None:
    theatre.set(machine_type=["n1-standard-1", "n1-highmem-2"])
    theatre.hypervisor.memory["n1-standard-1"] = 512
    theatre.conductor.tell(action, "eat", "succeed")
    run = theatre.play(action)
    theatre.must_have(run, "succeeded", attempts=2)
    assert theatre.production.machine(run, 2).type == "n1-highmem-2"
    assert "memory" in theatre.production.launches(run)[1].cause


def test_out_of_memory_without_a_larger_machine_is_told(theatre: Theatre, action: str) -> None:
    theatre.hypervisor.memory["n1-standard-1"] = 512
    theatre.conductor.tell(action, "eat")
    run = theatre.play(action)
    theatre.must_have(run, "failed", "memory", attempts=1)


# --- machines that nobody ends ----------------------------------------------------------------------------------------


def test_a_machine_that_may_not_delete_itself_is_deleted_by_whoever_waits(
    theatre: Theatre, action: str
) -> None:
    theatre.stand_in.misbehave(_no_delete("machine *"))
    run = theatre.play(action)
    theatre.must_have(run, "succeeded", attempts=1)


def test_a_machine_that_may_not_delete_itself_is_tidied_away(theatre: Theatre, action: str) -> None:
    """Nobody waits; the agent delivers by itself, and its machine stays until somebody comes by."""
    theatre.stand_in.misbehave(_no_delete("machine *"))
    run = theatre.start(action)
    machine = theatre.production.machine(run)
    theatre.conductor.await_attempt(action, 1)
    eventually(lambda: theatre.hypervisor.script_is_over(machine), theatre.production.tell)
    assert theatre.compute.alive
    tidy.tidy(theatre.production.controller)
    theatre.must_have(run, "succeeded", attempts=1)


def test_a_stop_that_is_ignored_is_made_good_at_the_deadline(theatre: Theatre, action: str) -> None:
    theatre.compute.deaf = True
    theatre.compute.scale = 0.1
    theatre.set(more='timeout = "20s"')
    run, _ = theatre.begin(action)
    theatre.production.controller.stop(run)
    theatre.wait(run)
    theatre.must_have(run, "cancelled", attempts=1)


@pytest.mark.parametrize("verb", ["wait", "tidy"])
def test_nothing_is_left_when_launcher_agent_and_machine_are_all_dead(
    theatre: Theatre, action: str, verb: str
) -> None:
    """Google itself deletes the machine when its time is over; who looks then finds the run lost, and says why."""
    theatre.compute.scale = 0.25
    theatre.set(times={"boot": "20s", "deliver": "5s"}, more='losses = 0\ntimeout = "10s"')
    run, machine = theatre.begin(action)
    theatre.hypervisor.kill_script(machine)
    theatre.hypervisor.freeze(machine)
    theatre.until_gone()
    assert not theatre.stand_in.seen("compute.instances.delete")
    if verb == "wait":
        theatre.wait(run)
    else:
        tidy.tidy(theatre.production.controller)
    theatre.must_have(run, "lost", "its time was over", attempts=1)


def test_an_agent_that_hangs_is_replaced_and_its_machine_ended(theatre: Theatre, action: str) -> None:
    theatre.set(times={"fence": "4s", "lease": "8s", "stale": "7s"})
    run, machine = theatre.begin(action)
    theatre.hypervisor.freeze(machine)
    theatre.wait(run)
    theatre.must_have(run, "succeeded", attempts=2)
    assert "silent" in theatre.production.launches(run)[1].cause


def _no_delete(who: str) -> Misbehaviour:
    return Misbehaviour(
        method="compute.instances.delete",
        how="refuse",
        count=None,
        status=403,
        reason="forbidden",
        message="Required 'compute.instances.delete' permission",
        who=who,
    )


def _copy(rule: Any) -> Misbehaviour:
    return Misbehaviour(**{name: getattr(rule, name) for name in rule.__struct_fields__})
