"""
Attempts as virtual machines of Compute Engine, one each, named by its launch and gone after it.

Nothing is remembered here: what was asked for is known to Compute Engine by request ids, and to the run by its records.
So a launch that was begun by one process is finished by any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property

from foretell.errors import PlatformError, RefusedError
from foretell.google import remedies
from foretell.google.compute import ENDED, Compute, Instance, Operation
from foretell.google.errors import Category, Failure
from foretell.google.inspection import Inspection
from foretell.google.labels import label
from foretell.google.rest import Rest
from foretell.platforms.base import Fate, Machine, Platform
from foretell.platforms.compute_engine import checks, errors, instance
from foretell.platforms.compute_engine.errors import Fault, Verdict
from foretell.platforms.compute_engine.links import links
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.protocol.records import Host, Launch, Reason, Request
from foretell.protocol.rules import MachineState
from foretell.service.model import Service, Target
from foretell.system import times
from foretell.system.check import Check

FOLLOW = 25.0
"""Seconds for which a launch follows what it asked for; what takes longer is followed by whoever probes."""
PREEMPTED = "compute.instances.preempted"
ENDS = {
    "delete": "the machine was deleted",
    "stop": "the machine was stopped",
    PREEMPTED: "the machine was taken away, as Spot machines are",
    "compute.instances.deferredDelete": "the machine was deleted since its time was over",
    "compute.instances.deferredStop": "the machine was stopped since its time was over",
    "compute.instances.hostError": "the machine's host broke",
    "compute.instances.guestTerminate": "the machine turned itself off",
    "compute.instances.terminateOnHostMaintenance": "the machine was ended for maintenance of its host",
}
"""What ends a machine, by the kind of the operation. Other kinds of Google's own begin with "compute.instances."."""


class ComputeEnginePlatform(Platform):
    """Virtual machines of one project, in the zones of the settings."""

    certain = False
    pauses = (1.0, 12.0)

    def __init__(
        self,
        settings: ComputeEngineSettings,
        *,
        rest: Rest | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._rest = rest
        self._clock = clock
        self._seen: dict[str, str] = {}
        """The zone of each machine that was found alive, which the settings may no longer name."""

    @cached_property
    def _compute(self) -> Compute:
        return Compute(self._rest or Rest(impersonate=self._settings.impersonate), self._settings.project)

    # --- launching --------------------------------------------------------------------------------------------

    def launch(self, request: Request, launch: Launch, *, store: str) -> None:
        """
        Ask zone after zone, the next only once it is certain that the last one gave nothing.

        An operation that takes long is left to whoever probes; then the launch is repeated, and goes on where this one
        ended: Compute Engine knows each wish by its request id and answers it as before.
        """
        if request.image is None:
            raise RefusedError(
                f'the run "{request.action}" was asked for without an image',
                hint="start it again: its request was made for processes",
            )
        end = self._clock() + FOLLOW
        if self._adopt(launch):
            return
        faults: list[Fault] = []
        for zone in self._settings.zones:
            body = instance.body(self._settings, request, launch, zone=zone, store=store)
            said = self._compute.insert(zone, body, instance.wish(launch, zone))
            if isinstance(said, Operation):
                said = self._compute.follow(said, end - self._clock())
            fault = self._judge(said, launch, zone)
            if fault is None:
                return
            faults.append(fault)
        raise RefusedError(
            f"capacity: no machine of type {instance.machine_type(self._settings, launch)} is to be had",
            where=", ".join(self._settings.zones),
            why=faults[-1].why,
            hint="name more zones, or another machine_type, or run it later",
            reason="capacity",
        )

    def _judge(self, said: Operation | Failure, launch: Launch, zone: str) -> Fault | None:
        """Return why there is none in this zone; None where there is, or may yet be. Raises where no zone will do."""
        if isinstance(said, Operation) and not said.done:
            return None
        if isinstance(said, Operation) and not said.code:
            found = self._get(zone, launch.machine)
            if found:
                self._insist_on_guard(found)
            return None
        if isinstance(said, Operation):
            fault = errors.of_operation(said, self._settings)
        else:
            fault = errors.of_failure(said, self._settings, zone)
        match fault.verdict:
            case Verdict.ELSEWHERE:
                return fault
            case Verdict.LOOK if self._adopt(launch):
                return None
            case Verdict.LOOK | Verdict.UNKNOWN:
                raise PlatformError(
                    f'nobody knows whether "{launch.machine}" was made', where=zone, why=fault.why
                )
            case Verdict.STOP:
                raise RefusedError(
                    f"{fault.reason}: the machine cannot be made",
                    where=f"{self._settings.project}, {zone}",
                    why=fault.why,
                    hint=fault.hint,
                    reason=fault.reason,
                    final=True,
                )

    def _adopt(self, launch: Launch) -> bool:
        """Look for the machine in every zone; one that carries our nonce is ours, whoever asked for it."""
        for zone in self._settings.zones:
            found = self._get(zone, launch.machine)
            if found is None:
                continue
            if found.labels.get("foretell_nonce") != launch.nonce:
                raise RefusedError(
                    f'the name "{launch.machine}" is taken by another machine',
                    where=zone,
                    hint=remedies.see_machine(launch.machine, zone),
                )
            self._insist_on_guard(found)
            return True
        return False

    def _insist_on_guard(self, found: Instance) -> None:
        """Delete at once what nothing else would: a machine whose time is not limited is for ever."""
        if found.guard is not None or not found.live:
            return
        self._delete(found.zone, found.name)
        raise RefusedError(
            "settings: the machine was made without a limit of its time, and is deleted again",
            where=f"{found.zone}/{found.name}",
            why="Compute Engine does not show the maxRunDuration and instanceTerminationAction that it was given",
            hint=remedies.see_policies(self._settings.project),
            reason="settings",
            final=True,
        )

    # --- looking ----------------------------------------------------------------------------------------------

    def probe(self, launch: Launch) -> Fate:
        found = [there for zone in self._zones(launch) if (there := self._get(zone, launch.machine))]
        live = [there for there in found if there.live]
        for there in live:
            try:
                self._insist_on_guard(there)
            except RefusedError as error:
                return _dead(there.id, "settings", error.summary, final=True)
        if live:
            return Fate(life=MachineState.ALIVE)
        if any(there.status not in ENDED for there in found):
            return Fate(life=MachineState.GONE, cause="the machine is being ended")
        return self._fate_of_the_past(launch, found)

    def _fate_of_the_past(self, launch: Launch, off: Sequence[Instance]) -> Fate:
        """Tell what became of a machine that is not there, or is `off`, by what was asked of it in every zone."""
        faults: list[Fault] = []
        for zone in self._zones(launch):
            past = self._compute.past(zone, launch.machine)
            if isinstance(past, Failure):
                return Fate(life=MachineState.GONE, cause="there is no such machine")
            made = [operation for operation in past if operation.kind == "insert"]
            if any(not operation.done for operation in made):
                return Fate(life=MachineState.ALIVE)
            if any(not operation.code for operation in made):
                return _ended(past, off)
            faults += [errors.of_operation(operation, self._settings) for operation in made[-1:]]
        if not faults:
            return Fate(life=MachineState.GONE, cause="there is no such machine")
        last = faults[-1]
        if last.verdict is Verdict.STOP or len(faults) == len(self._settings.zones):
            final = last.verdict is Verdict.STOP
            return _dead("", last.reason, f"{last.reason}: {last.why}", final=final)
        return Fate(life=MachineState.GONE_FOR_CERTAIN, cause=last.why)

    def alive(self, service: str) -> Sequence[Machine]:
        now = time.time()
        live = [found for found in self._find(service=service) if found.live]
        self._seen |= {found.name: found.zone for found in live}
        return [
            Machine(
                name=found.name,
                store=found.labels.get("foretell_store", ""),
                run=found.attributes["foretell-run"],
                attempt=int(found.attributes["foretell-attempt"]),
                age=max(0.0, now - found.born),
            )
            for found in live
            if "foretell-run" in found.attributes
        ]

    # --- ending -----------------------------------------------------------------------------------------------

    def stop(self, launch: Launch) -> None:
        """Ask for its deletion in every zone it could be in; Google ends it within a minute or two."""
        for zone in self._zones(launch):
            self._delete(zone, launch.machine)

    def tidy(self, keep: Sequence[str], *, service: str = "", store: str = "") -> Sequence[str]:
        gone = []
        for found in self._find(service=service, store=store):
            if found.status in ENDED and found.name not in keep:
                self._delete(found.zone, found.name)
                gone.append(found.name)
        return gone

    # --- what is told of it -----------------------------------------------------------------------------------

    def plan(self, request: Request) -> Mapping[str, object]:
        return instance.plan(self._settings, request)

    def links(self, request: Request, launch: Launch | None) -> Mapping[str, str]:
        return links(self._settings, request, launch)

    def google_services(self, service: Service) -> Iterator[str]:
        return checks.services(self._settings, service)

    def access(self, look: Inspection) -> Iterator[Check]:
        return checks.access(self._settings, look)

    def checks(self, service: Service, target: Target, look: Inspection | None) -> Iterator[Check]:
        return checks.checks(look, service, target) if look else iter(())

    # --- asking -----------------------------------------------------------------------------------------------

    def _zones(self, launch: Launch) -> Sequence[str]:
        known = self._seen.get(launch.machine)
        zones = self._settings.zones
        return zones if known is None or known in zones else (*zones, known)

    def _get(self, zone: str, name: str) -> Instance | None:
        found = self._compute.get(zone, name)
        if isinstance(found, Instance):
            return found
        if found.category is Category.ABSENT:
            return None
        raise self._trouble(f'nobody knows whether "{name}" is there', found, zone)

    def _delete(self, zone: str, name: str) -> None:
        said = self._compute.delete(zone, name)
        if isinstance(said, Operation) or said.category is Category.ABSENT:
            return
        raise self._trouble(f'the machine "{name}" cannot be deleted', said, zone)

    def _find(self, **labels: str) -> list[Instance]:
        told = {f"foretell_{name}": label(value) for name, value in labels.items()}
        found = self._compute.find(told)
        if isinstance(found, Failure):
            raise self._trouble("the machines cannot be listed", found, self._settings.zones[0])
        return found

    def _trouble(self, what: str, failure: Failure, zone: str) -> PlatformError:
        fault = errors.of_failure(failure, self._settings, zone)
        kind = RefusedError if failure.category in (Category.DENIED, Category.INVALID) else PlatformError
        return kind(what, where=f"{self._settings.project}, {zone}", why=failure.why, hint=fault.hint)


def _ended(past: Sequence[Operation], off: Sequence[Instance]) -> Fate:
    """Tell how a machine that was made has ended: by the first operation that brought it about."""
    ends = [
        operation for operation in past if operation.kind in ENDS or operation.kind.startswith("compute.")
    ]
    if not ends and off:
        return _dead(off[0].id, "", "the machine has turned itself off", final=False)
    if not ends:
        return Fate(life=MachineState.GONE, cause="there is no such machine")
    first = next((end for end in ends if end.kind == PREEMPTED), ends[0])
    cause = ENDS.get(first.kind, f"the machine was ended: {first.kind.rpartition('.')[2]}")
    if not first.done:
        return Fate(life=MachineState.GONE, cause=cause)
    if first.kind in ("delete", "stop"):
        # by the machine itself, after its agent's own word, or by one of us: that is no word about the agent
        return Fate(
            life=MachineState.GONE_FOR_CERTAIN, cause=f"{cause} by {first.user}" if first.user else cause
        )
    reason: Reason = "preempted" if first.kind == PREEMPTED else ""
    prefix = f"{reason}: " if reason else ""
    return _dead(first.target, reason, f"{prefix}{cause}", final=False)


def _dead(boot: str, reason: Reason, cause: str, *, final: bool) -> Fate:
    """Return a certain death with the platform's own word for it."""
    host = Host(boot=boot, cause=cause, reason=reason, final=final, at=times.rfc3339(datetime.now(UTC)))
    return Fate(life=MachineState.GONE_FOR_CERTAIN, cause=cause, host=host)
