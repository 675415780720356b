"""Launching, probing, ending: every way in which Compute Engine's answers can go wrong, on machines that never boot."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from foretell.errors import PlatformError, RefusedError
from foretell.google.rest import Rest
from foretell.platforms.compute_engine import platform
from foretell.platforms.compute_engine.platform import ComputeEnginePlatform
from foretell.protocol.records import Launch
from foretell.protocol.rules import MachineState
from foretell.system.backoff import Backoff
from tests.standins.google.cloud import Cloud
from tests.standins.google.compute import Fails, Machine
from tests.standins.google.standin import Misbehaviour
from tests.support.production import eventually
from tests.support.records import RUN, STORE, launch, request_on, settings

B, C = "europe-west1-b", "europe-west1-c"
TWO = {"zones": (B, C)}
INSERT, DELETE, GET = (f"compute.instances.{verb}" for verb in ("insert", "delete", "get"))
OPERATION = "compute.zoneOperations.get"


class Bench:
    """A platform and a launch of it."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.settings = settings(**TWO)

    def platform(self, **more: Any) -> ComputeEnginePlatform:
        """A new process's view of it."""
        self.settings = settings(**{**TWO, **more}) if more else self.settings
        return ComputeEnginePlatform(self.settings, rest=Rest(sleep=lambda _: None))

    def launch(self, asked: Launch | None = None, **more: Any) -> None:
        platform = self.platform(**more)
        platform.launch(request_on(self.settings), asked or launch(), store=STORE)

    def machines(self) -> list[Machine]:
        return list(self.cloud.compute.machines.values())

    def zones(self) -> list[str]:
        """The zones that were asked, in order."""
        return [seen.path.split("/zones/")[1].split("/")[0] for seen in self.cloud.stand_in.seen(INSERT)]

    def until(self, life: MachineState) -> None:
        platform = self.platform()
        eventually(lambda: platform.probe(launch()).life is life, lambda: f"{platform.probe(launch())}")


@pytest.fixture
def bench(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("foretell.google.compute.BACKOFF", Backoff(first=0.02, longest=3))
    yield Bench(cloud)
    assert len({machine.name for machine in cloud.compute.machines.values()}) <= 1


# --- launching --------------------------------------------------------------------------------------------------------


def test_a_launch_makes_one_machine_whoever_repeats_it(bench: Bench) -> None:
    for _ in range(3):
        bench.launch()
    threads = [threading.Thread(target=bench.launch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(machine.zone, machine.name) for machine in bench.cloud.compute.past] == [(B, launch().machine)]
    assert bench.platform().probe(launch()).life is MachineState.ALIVE


@pytest.mark.parametrize("how", ["lose", "drop"])
@pytest.mark.parametrize("method", [INSERT, OPERATION, GET])
def test_an_answer_that_is_lost_makes_no_second_machine(bench: Bench, how: Any, method: str) -> None:
    bench.cloud.stand_in.misbehave(Misbehaviour(method=method, how=how, count=2))
    bench.launch()
    assert len(bench.cloud.compute.past) == 1


@pytest.mark.parametrize(("status", "reason"), [(403, "rateLimitExceeded"), (503, "backendError"), (429, "")])
def test_too_many_requests_and_outages_pass(bench: Bench, status: int, reason: str) -> None:
    bench.cloud.stand_in.misbehave(
        Misbehaviour(method="compute.*", how="refuse", count=4, status=status, reason=reason)
    )
    bench.launch()
    assert len(bench.cloud.compute.past) == 1


def test_an_outage_that_does_not_pass_proves_nothing(bench: Bench) -> None:
    bench.cloud.stand_in.misbehave(Misbehaviour(method=INSERT, how="refuse", count=None))
    platform = ComputeEnginePlatform(bench.settings, rest=Rest(patience=0.2, sleep=lambda _: None))
    with pytest.raises(PlatformError) as caught:
        platform.launch(request_on(bench.settings), launch(), store=STORE)
    assert not isinstance(caught.value, RefusedError)
    assert bench.zones() == [B] * len(bench.zones())


def test_a_machine_that_is_there_already_is_adopted_only_if_it_is_ours(bench: Bench) -> None:
    bench.launch()
    bench.launch()
    with pytest.raises(RefusedError, match="is taken by another machine"):
        bench.launch(launch(nonce="another"))
    assert len(bench.cloud.compute.past) == 1


def test_a_machine_that_appears_meanwhile_is_adopted(bench: Bench) -> None:
    """Its insert is answered by 409: it was made by another wish for the same name."""
    bench.launch()
    bench.cloud.compute._requests.clear()  # what was asked long ago is not known any more
    bench.cloud.stand_in.misbehave(
        Misbehaviour(method=GET, how="refuse", count=2, status=404, reason="notFound")
    )
    bench.launch()
    assert len(bench.cloud.compute.past) == 1


@pytest.mark.parametrize(
    "code", ["ZONE_RESOURCE_POOL_EXHAUSTED", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"]
)
def test_where_there_is_no_capacity_the_next_zone_is_asked(bench: Bench, code: str) -> None:
    bench.cloud.compute.fails.append(Fails(code=code, zone=B))
    bench.launch()
    assert [machine.zone for machine in bench.machines()] == [C]
    assert bench.platform().probe(launch()).life is MachineState.ALIVE
    bench.launch()  # by another, who asks the first zone again, and is told the same
    assert [machine.zone for machine in bench.cloud.compute.past] == [C]


def test_no_capacity_anywhere_is_a_refusal_that_another_attempt_may_mend(bench: Bench) -> None:
    bench.cloud.compute.fails.append(Fails(code="STOCKOUT"))
    with pytest.raises(RefusedError) as caught:
        bench.launch()
    assert (caught.value.reason, caught.value.final) == ("capacity", False)
    assert bench.zones() == [B, C]
    fate = bench.platform().probe(launch())
    assert fate.life is MachineState.GONE_FOR_CERTAIN
    assert fate.host
    assert (fate.host.reason, fate.host.final) == ("capacity", False)


@pytest.mark.parametrize(
    ("code", "message", "reason", "hint"),
    [
        ("QUOTA_EXCEEDED", "Quota 'N2_CPUS' exceeded.", "quota", "quotas.metric=N2_CPUS"),
        ("IAM_PERMISSION_DENIED", "no", "permission", "gcloud projects add-iam-policy-binding example-project"),
        ("RESOURCE_NOT_FOUND", "The resource 'global/networks/x' was not found", "settings", "gcloud compute networks list"),
        ("RESOURCE_NOT_FOUND", "The resource 'global/images/x' was not found", "image", "gcloud compute images list"),
    ],
)  # fmt: skip
def test_what_a_person_must_mend_stops_at_once(
    bench: Bench, code: str, message: str, reason: str, hint: str
) -> None:
    bench.cloud.compute.fails.append(Fails(code=code, message=message))
    with pytest.raises(RefusedError) as caught:
        bench.launch()
    assert (caught.value.reason, caught.value.final) == (reason, True)
    assert hint in caught.value.hint
    assert bench.zones() == [B]


def test_a_refusal_before_the_operation_stops_at_once_too(bench: Bench) -> None:
    bench.cloud.stand_in.misbehave(
        Misbehaviour(method=INSERT, how="refuse", status=403, reason="forbidden", message="Required 'compute.instances.create' permission")
    )  # fmt: skip
    with pytest.raises(RefusedError, match="permission") as caught:
        bench.launch()
    assert caught.value.final
    assert "gcloud" in caught.value.hint


def test_the_next_zone_waits_until_the_last_ones_operation_has_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch does not wait for ever: who probes and launches again goes on where it ended."""
    monkeypatch.setattr(platform, "FOLLOW", 0.1)
    bench.cloud.compute.pace = 0.6
    bench.cloud.compute.fails.append(Fails(code="STOCKOUT", zone=B))
    bench.launch()
    assert bench.zones() == [B]
    assert bench.platform().probe(launch()).life is MachineState.ALIVE
    bench.until(MachineState.GONE_FOR_CERTAIN)
    assert bench.platform().probe(launch()).host is None, "another zone is still to be asked"
    bench.launch()
    assert bench.zones() == [B, B, C]
    bench.until(MachineState.ALIVE)
    assert [machine.zone for machine in bench.cloud.compute.past] == [C]


def test_a_machine_that_nothing_would_end_is_deleted_at_once(bench: Bench) -> None:
    bench.cloud.compute.unguarded = True
    with pytest.raises(RefusedError, match="without a limit of its time") as caught:
        bench.launch()
    assert caught.value.final
    eventually(lambda: not bench.machines(), lambda: "it stays")


def test_a_machine_that_nothing_would_end_is_noticed_by_a_probe_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "FOLLOW", 0.0)
    bench.cloud.compute.unguarded = True
    bench.launch()
    fate = bench.platform().probe(launch())
    assert fate.host
    assert fate.host.final
    eventually(lambda: not bench.machines(), lambda: "it stays")


def test_a_launch_after_the_machines_end_makes_none_again(bench: Bench) -> None:
    bench.launch()
    bench.platform().stop(launch())
    bench.until(MachineState.GONE_FOR_CERTAIN)
    bench.launch()
    assert len(bench.cloud.compute.past) == 1


# --- probing ----------------------------------------------------------------------------------------------------------


def test_what_was_never_asked_for_is_gone_and_not_for_certain(bench: Bench) -> None:
    fate = bench.platform().probe(launch())
    assert (fate.life, fate.host) == (MachineState.GONE, None)


@pytest.mark.parametrize("method", [GET, "compute.zoneOperations.list"])
@pytest.mark.parametrize(("status", "reason"), [(403, "rateLimitExceeded"), (503, "")])
def test_an_answer_that_is_none_is_no_death(bench: Bench, method: str, status: int, reason: str) -> None:
    bench.launch()
    bench.platform().stop(launch())
    eventually(lambda: not bench.machines(), lambda: "it stays")
    bench.cloud.stand_in.misbehave(
        Misbehaviour(method=method, how="refuse", count=None, status=status, reason=reason)
    )
    platform = ComputeEnginePlatform(bench.settings, rest=Rest(patience=0.1, sleep=lambda _: None))
    with suppress(PlatformError):
        assert platform.probe(launch()).life is not MachineState.GONE_FOR_CERTAIN


def test_a_machine_that_is_taken_away_is_told_with_the_word_for_it(bench: Bench) -> None:
    bench.launch(launch(spots_left=1), spot=True)
    (machine,) = bench.machines()
    assert machine.spot
    bench.cloud.compute.scale = 0.001
    bench.cloud.compute.preempt(machine)
    bench.until(MachineState.GONE_FOR_CERTAIN)
    fate = bench.platform().probe(launch())
    assert fate.host
    assert (fate.host.reason, fate.host.boot) == ("preempted", machine.id)


def test_a_machine_that_is_off_is_dead_and_tidied_away(bench: Bench) -> None:
    bench.launch()
    (machine,) = bench.machines()
    bench.cloud.compute.vanish(machine)
    bench.until(MachineState.GONE_FOR_CERTAIN)
    fate = bench.platform().probe(launch())
    assert fate.host
    assert fate.host.boot == machine.id
    platform = bench.platform()
    assert not platform.alive("toy")
    assert platform.tidy([machine.name], service="toy", store="ab12") == []
    assert platform.tidy([], service="another", store="ab12") == []
    assert platform.tidy([], service="toy", store="ab12") == [machine.name]
    eventually(lambda: not bench.machines() and not bench.cloud.compute.disks, lambda: "it stays")


def test_what_is_alive_is_found_by_its_labels_in_whatever_zone(bench: Bench) -> None:
    bench.launch()
    elsewhere = bench.platform(zones=("europe-west1-d",))
    (found,) = elsewhere.alive("toy")
    assert (found.name, found.store, found.run, found.attempt) == (launch().machine, "ab12", RUN, 1)
    assert 0 <= found.age < 60
    elsewhere.stop(launch())  # as `tidy` does, whose service file names other zones by now
    eventually(lambda: not bench.machines(), lambda: "it stays")


# --- ending -----------------------------------------------------------------------------------------------------------


def test_stopping_may_be_repeated_and_lost(bench: Bench) -> None:
    bench.launch()
    bench.cloud.stand_in.misbehave(
        Misbehaviour(method=DELETE, how="lose"),
        Misbehaviour(method=DELETE, how="refuse", status=403, reason="rateLimitExceeded"),
    )
    for _ in range(3):
        bench.platform().stop(launch())
    eventually(lambda: not bench.machines() and not bench.cloud.compute.disks, lambda: "it stays")
    bench.platform().stop(launch())


def test_a_stop_that_is_not_allowed_says_so(bench: Bench) -> None:
    bench.launch()
    bench.cloud.stand_in.misbehave(
        Misbehaviour(method=DELETE, how="refuse", count=None, status=403, reason="forbidden")
    )
    with pytest.raises(RefusedError, match="cannot be deleted"):
        bench.platform().stop(launch())


def test_google_itself_ends_a_machine_whose_time_is_over(bench: Bench) -> None:
    bench.cloud.compute.scale = 0.001
    bench.launch()
    eventually(lambda: not bench.machines() and not bench.cloud.compute.disks, lambda: "it stays")
    assert not bench.cloud.stand_in.seen(DELETE)
    bench.until(MachineState.GONE_FOR_CERTAIN)
    assert bench.platform().probe(launch()).cause == "the machine was deleted since its time was over"
