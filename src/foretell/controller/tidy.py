"""Who cleans up: finishes what can be finished, declares lost what is lost, stops what should not be alive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, field

from foretell.controller.controller import Controller
from foretell.errors import CorruptError, ForetellError, InfrastructureError
from foretell.platforms.base import Machine, Platform
from foretell.protocol import models
from foretell.protocol.effects import SLOT, get
from foretell.protocol.keys import Run, run_of
from foretell.protocol.reconciler import Reconciler
from foretell.protocol.records import Beat, Closed, Launch, Outcome, Receipt, Request
from foretell.protocol.rules import MachineState
from foretell.protocol.steps import withdrawn
from foretell.service.times import Times
from foretell.sources import snapshot

MONTHS = 3
POLLS_OF_GRACE = 4
BEATS_MISSED = 3
"""After which an agent whose machine lives is watched all the same: it may hang."""


class Tidied(Struct, kw_only=True):
    """What was done, by run or machine name. `failed` are messages about what could not be done now."""

    ended: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def tidy(
    controller: Controller,
    *,
    every: bool = False,
    runs: Iterable[Run] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Tidied:
    """
    Go through the open runs of the newest three months, or of all with `every`, then through what is alive.

    `runs` are the open runs, where whoever calls has looked for them already. A run that shows life is left to its
    agent; a silent one is watched for as long as silence must last to prove anything.
    """
    done = Tidied()
    if not controller.exists():
        return done
    needed: list[str] = []
    for run in _unfinished(controller, every=every) if runs is None else runs:
        say(f"looking at {run.label}")
        if not _finish(controller, run, done):
            needed += _machines(controller, run)
    store = controller.identify()
    for settings in controller.target.platforms:
        platform = controller.platform(settings)
        _stop_the_needless(controller, platform, store, done)
        done.removed += _removed(controller, platform, store, needed, done)
        if settings.directory:
            done.removed += _old_snapshots(controller, settings.directory / "snapshots")
    return done


def open_runs(controller: Controller, *, every: bool = False) -> Iterator[Run]:
    """Return the runs that are not decided, or decided and not delivered, newest first."""
    return (run for run in _runs(controller, every=every) if _is_open(controller, run))


def _unfinished(controller: Controller, *, every: bool) -> Iterator[Run]:
    """Return the runs about which something is left to do, newest first."""
    for run in _runs(controller, every=every):
        if _is_open(controller, run) or _is_half_withdrawn(controller, run):
            yield run


def _runs(controller: Controller, *, every: bool) -> Iterator[Run]:
    service = controller.service
    for action in service.actions:
        months = controller.execute(
            models.months(service.name, service.version, action, datetime.max.replace(tzinfo=UTC))
        )
        for month in months if every else months[:MONTHS]:
            yield from controller.execute(models.runs_of(service.name, service.version, action, month))


def _is_half_withdrawn(controller: Controller, run: Run) -> bool:
    """Whether a run was taken back, and the warehouse may not know it: who did it died, or it did not answer."""
    try:
        word = controller.execute(withdrawn(run))
        if not word or not word.table or controller.execute(get(run.withdrawal, Receipt)):
            return False
        request, outcome = (
            controller.execute(get(run.request, Request)),
            controller.execute(get(run.outcome, Outcome)),
        )
    except CorruptError:
        return True  # whoever looks closer tells why
    return bool(request and request.delivers and outcome and outcome.kind == "produced")


def _is_open(controller: Controller, run: Run) -> bool:
    try:
        outcome = controller.execute(get(run.outcome, Outcome))
        if outcome and outcome.kind != "produced":
            return False
        request = controller.execute(get(run.request, Request))
        if request is None:
            return False
        return outcome is None or (
            request.delivers and controller.execute(get(run.delivery, Receipt)) is None
        )
    except CorruptError:
        return True  # whoever looks closer tells why


def _finish(controller: Controller, run: Run, done: Tidied) -> bool:
    """Do what a waiter would do, for as long as something may still follow from it; tell whether the run ended."""
    try:
        witness = controller.witness(controller.request(run))
        ended = _watch(controller, witness)
    except ForetellError as error:
        done.failed.append(f"{run.label}: {_said(error)}")
        return False
    over = ended and not witness.receipt_due
    (done.ended if over else done.open).append(f"{run.label} {witness.state.phase}")
    return over


def _machines(controller: Controller, run: Run) -> Iterator[str]:
    """Return the machines on record of a run that is still open: what is left of them may yet tell something."""
    number = 1
    try:
        while isinstance(slot := controller.execute(get(run.attempt(number).launch, SLOT)), Launch):
            yield slot.machine
            number += 1
    except CorruptError:
        return  # those before it are known all the same


def _watch(controller: Controller, witness: Reconciler) -> bool:
    times = witness.request.target.times
    end = time.monotonic() + times.lease + POLLS_OF_GRACE * times.poll
    certain = controller.platform(witness.request.target.platform).certain

    def until(seen: Reconciler) -> bool:
        return shows_life(seen) or time.monotonic() >= end

    pause = min(times.poll, 0.1) if certain else times.poll
    return controller.execute(witness.watch(lambda _: pause, until), patience=None)


def _said(error: ForetellError) -> str:
    return f"{error.what}{f' ({error.why})' if error.why else ''}"


def shows_life(witness: Reconciler) -> bool:
    """
    Whether an agent is at work, so that nobody else needs to be.

    The wall time of its last beat decides nothing; it only tells whose silence is worth being watched.
    """
    first, beat = witness.first_beat, witness.records.beat
    if witness.seen.fate is MachineState.ALIVE and (
        beat is None or _is_recent(beat, witness.request.target.times)
    ):
        return True
    return first is not None and beat is not None and beat.seq > first


def _is_recent(beat: Beat, times: Times) -> bool:
    age = datetime.now(UTC) - datetime.fromisoformat(beat.at)
    return age.total_seconds() < BEATS_MISSED * times.beat


def _stop_the_needless(controller: Controller, platform: Platform, store: str, done: Tidied) -> None:
    """Stop the machines of this store whose run is over, whose attempt was replaced, or that have no record."""
    try:
        alive = [machine for machine in platform.alive(controller.service.name) if machine.store == store]
    except InfrastructureError as error:
        done.failed.append(error.what)
        return
    for machine in alive:
        try:
            if launch := _needless(controller, machine):
                platform.stop(launch)
                done.stopped.append(machine.name)
        except ForetellError as error:
            done.failed.append(f"{machine.name}: {_said(error)}")


def _removed(
    controller: Controller, platform: Platform, store: str, needed: list[str], done: Tidied
) -> Sequence[str]:
    try:
        return platform.tidy(needed, service=controller.service.name, store=store)
    except InfrastructureError as error:
        done.failed.append(_said(error))
        return []


def _needless(controller: Controller, machine: Machine) -> Launch | None:
    run = run_of(machine.run)
    slot = controller.execute(get(run.attempt(machine.attempt).launch, SLOT))
    if not isinstance(slot, Launch) or slot.machine != machine.name:
        boot = controller.target.times.boot
        return _unrecorded(machine) if machine.age > boot else None
    outcome = controller.execute(get(run.outcome, Outcome))
    later = controller.execute(get(run.attempt(machine.attempt + 1).launch, SLOT))
    replaced = later is not None and not (isinstance(later, Closed) and outcome is None)
    return slot if replaced or (outcome and not _is_open(controller, run)) else None


def _unrecorded(machine: Machine) -> Launch:
    return Launch(nonce="", machine=machine.name, failures_left=0, losses_left=0)


def _old_snapshots(controller: Controller, snapshots: Path) -> list[str]:
    """Remove frozen sources that are old and that no open run works on."""

    def pinned() -> set[str | None]:
        return {controller.request(run).snapshot for run in open_runs(controller, every=True)}

    try:
        return snapshot.tidy(snapshots, pinned)
    except CorruptError:
        return []  # nobody knows what that run needs
