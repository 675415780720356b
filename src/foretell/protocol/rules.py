"""
The law of a run: from what was seen to what it means (`observe`) and to what must be done (`next_step`).

Pure: no store, no clock, no machine. Everything here follows docs/protocol.md, whose rules P1 to P10 the
tests name; the simulation under tests/ runs these very functions through histories full of faults.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from msgspec import Struct

from foretell.protocol.budgets import NO_REASON, Budgets
from foretell.protocol.records import (
    Beat,
    Claim,
    Claimed,
    Closed,
    Exit,
    Fault,
    Host,
    Launch,
    Outcome,
    Reason,
    Receipt,
    Request,
    Slot,
    Void,
    Withdrawn,
)

STILL = 3
"""Reads in a row without a larger seq before silence means anything (P9)."""


class MachineState(StrEnum):
    """What a platform knows of an attempt's machine. Success is not among it: only the store knows that (P7)."""

    ALIVE = "alive"
    GONE = "gone"
    """Not there as far as the platform can tell; it may be late, hidden, or a launch in flight."""
    GONE_FOR_CERTAIN = "gone for certain"
    """Not there, and every process of it is dead: no silence needs to be waited for."""


class Records(Struct, kw_only=True):
    """What was read of a run. claim to exit belong to the attempt in question: the outcome's, else the newest."""

    request: Request
    launches: list[Slot]
    claim: Claim | None = None
    beat: Beat | None = None
    host: Host | None = None
    exit: Exit | None = None
    outcome: Outcome | None = None
    delivery: Receipt | None = None
    withdrawn: Withdrawn | None = None
    """Read of a produced run that delivers; of others it changes nothing here."""
    withdrawal: Receipt | None = None

    @property
    def attempts(self) -> list[Launch]:
        """The launches that have a machine."""
        return [slot for slot in self.launches if isinstance(slot, Launch)]

    @property
    def attempt(self) -> int:
        """The attempt in question; 0 when there is none."""
        if self.outcome and self.outcome.attempt:
            return self.outcome.attempt
        return len(self.attempts)


class Observations(Struct, kw_only=True):
    """One observer's own observations of the newest attempt. Every time is of its own monotonic clock, in seconds."""

    launch_at: float = 0.0
    """When the newest launch was first read."""
    relaunch_at: float | None = None
    refused: str = ""
    """Why the platform positively refused the launch."""
    unclear: str = ""
    """What the platform said when it could not be asked, or could not say that it had launched; it proves nothing."""
    fate: MachineState | None = None
    cause: str = ""
    """Why the machine is gone, in the platform's words."""
    life: tuple[bool, int, bool, bool] | None = None
    """The largest sign of life read so far."""
    since: float | None = None
    """When that sign was first received."""
    still: int = 0
    """Reads in a row, more than a beat apart, that did not show a larger one."""
    still_at: float | None = None
    asked: float = 0.0
    """When the last read was sent."""


class Phase(StrEnum):
    """Where a run stands."""

    REQUESTED = "requested"
    """Asked for, and not launched yet: the start died or is slow; `wait` and `tidy` go on with it."""
    STARTING = "starting"
    RUNNING = "running"
    UPLOADING = "uploading"
    RETRYING = "retrying"
    """The command failed and a retry is due."""
    REPLACING = "replacing"
    """The machine is lost and its replacement is due."""
    ENDING = "ending"
    """Decided; the outcome is about to be copied."""
    DELIVERING = "delivering"
    SUCCEEDED = "succeeded"
    SUPERSEDED = "superseded"
    """A success whose rows were not put into the table, because those of a newer run stand there."""
    FAILED = "failed"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    LOST = "lost"
    WITHDRAWN = "withdrawn"
    """Taken back by a person before it was delivered."""

    @property
    def ended(self) -> bool:
        return self in EXIT_CODES

    @property
    def success(self) -> bool:
        return EXIT_CODES.get(self) == 0


EXIT_CODES = {
    Phase.SUCCEEDED: 0,
    Phase.SUPERSEDED: 0,
    Phase.FAILED: 1,
    Phase.LOST: 3,
    Phase.TIMEOUT: 4,
    Phase.REJECTED: 5,
    Phase.CANCELLED: 6,
    Phase.WITHDRAWN: 6,
}
OPEN = 3
"""The exit code of asking for the verdict on a run that has none yet."""


class State(Struct, frozen=True, kw_only=True):
    """What `runs`, `show` and `check` say of a run."""

    phase: Phase
    attempt: int = 0
    stage: str = ""
    cause: str = ""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES.get(self.phase, OPEN)


class Start(Struct, frozen=True, kw_only=True, tag=True):
    """Create slot `attempt` as a launch, and launch it."""

    attempt: int
    after: Fault | None
    cause: str
    budgets: Budgets


class Relaunch(Struct, frozen=True, kw_only=True, tag=True):
    """Repeat a recorded launch whose machine is not there (P6)."""

    attempt: int


class GiveUp(Struct, frozen=True, kw_only=True, tag=True):
    """Take the claim of an attempt that nobody claimed, so that nobody can."""

    attempt: int
    cause: str


class Close(Struct, frozen=True, kw_only=True, tag=True):
    """Take slot `attempt`, so that no such attempt can be: its predecessor's fault is the run's end (P4)."""

    attempt: int
    fault: Fault
    cause: str


class Decide(Struct, frozen=True, kw_only=True, tag=True):
    """Copy a closed slot's outcome to where it is the decision."""

    outcome: Outcome


class Deliver(Struct, frozen=True, kw_only=True, tag=True):
    """Finish the delivery of a produced run whose agent is quiet."""


class Revoke(Struct, frozen=True, kw_only=True, tag=True):
    """Have the warehouse's ledger say that the run is withdrawn."""


class Finish(Struct, frozen=True, kw_only=True, tag=True):
    """The run has ended: stop every machine on record."""


class Wait(Struct, frozen=True, kw_only=True, tag=True):
    """Nothing to do now."""


# Each carries its name as a tag: a step can be found by one observer and taken by another.
Step: TypeAlias = Start | Relaunch | GiveUp | Close | Decide | Deliver | Revoke | Finish | Wait


def observe(records: Records, seen: Observations) -> State:
    """Say where the run stands. Needs no history of observations: without one, silence is never assumed."""
    if outcome := records.outcome:
        return _verdict(records, outcome)
    number = len(records.attempts)
    if not records.launches:
        return State(phase=Phase.REQUESTED)
    last = records.launches[-1]
    if isinstance(last, Closed):
        return State(phase=Phase.ENDING, attempt=number, cause=last.outcome.cause)
    if records.exit and records.exit.fault:
        return State(phase=Phase.RETRYING, attempt=number, cause=records.exit.cause)
    if records.claim is None:
        return State(phase=Phase.STARTING, attempt=number, cause=last.cause)
    if isinstance(records.claim, Void) or quiet(records, seen):
        return State(phase=Phase.REPLACING, attempt=number, cause=_loss(records, seen))
    stage = records.beat.stage if records.beat else ""
    return State(phase=Phase.UPLOADING if records.exit else Phase.RUNNING, attempt=number, stage=stage)


def _verdict(records: Records, outcome: Outcome) -> State:
    attempt = outcome.attempt or 0
    if outcome.kind != "produced":
        return State(phase=Phase(outcome.kind), attempt=attempt, cause=outcome.cause)
    if not records.request.delivers:
        return State(phase=Phase.SUCCEEDED, attempt=attempt)
    match records.delivery:
        case None:
            return State(phase=Phase.DELIVERING, attempt=attempt)
        case Receipt(state="delivered", cause=cause):
            return State(phase=Phase.SUCCEEDED, attempt=attempt, cause=cause)
        case Receipt(state=verdict, cause=cause):
            return State(phase=Phase(verdict), attempt=attempt, cause=cause)


def next_step(records: Records, seen: Observations) -> Step:
    """Say what whoever looks must do now: the same for a waiter, a start, a janitor, a scheduler's trigger."""
    if outcome := records.outcome:
        if outcome.kind != "produced" or not records.request.delivers:
            return Finish()
        if records.withdrawn and records.withdrawn.table and not records.withdrawal:
            return Revoke()  # at once: an agent that is delivering meets it in the ledger
        if records.delivery:
            return Finish()
        return Deliver() if quiet(records, seen) else Wait()
    if not records.launches:
        return first(records.request)
    last = records.launches[-1]
    if isinstance(last, Closed):
        return Decide(outcome=last.outcome)
    number = len(records.launches)
    if (end := records.exit) and end.fault:
        return after(last, end.fault, end.cause, final=end.final, reason=end.reason)
    if records.claim is None:
        return _unclaimed(records, seen, number)
    if isinstance(records.claim, Void) or quiet(records, seen):
        final, reason = (host.final, host.reason) if (host := _witness(records)) else (False, NO_REASON)
        return after(last, "lost", _loss(records, seen), final=final, reason=reason)
    return Wait()


def first(request: Request) -> Start:
    """Begin with every budget whole: those of machines where the platform has larger ones, or takes them away."""
    budgets = Budgets(
        failures_left=request.spec.retries,
        losses_left=request.spec.losses,
        growths_left=request.target.platform.growths,
        spots_left=request.target.platform.spots,
    )
    return Start(attempt=1, after=None, cause="", budgets=budgets)


def after(
    last: Launch, fault: Fault, cause: str, *, final: bool = False, reason: Reason = NO_REASON
) -> Start | Close:
    """Replace the last attempt while a budget lasts, else close the run; no replacement mends a final fault."""
    left = None if final else Budgets.of(last).spent(fault, reason)
    if left is None:
        return Close(attempt=last.number + 1, fault=fault, cause=cause)
    return Start(attempt=last.number + 1, after=fault, cause=cause, budgets=left)


def _unclaimed(records: Records, seen: Observations, number: int) -> Step:
    times = records.request.target.times
    waited = seen.asked - seen.launch_at
    if records.host:
        return GiveUp(attempt=number, cause=records.host.cause)
    if seen.refused:
        return GiveUp(attempt=number, cause=seen.refused)
    if waited >= times.boot:
        trouble = f": {seen.unclear}" if seen.unclear else ""
        return GiveUp(attempt=number, cause=f"no agent began within {times.boot:.0f} s{trouble}")
    # A platform that knows for certain has no launch in flight, so its launch can be repeated almost at once.
    pause = {MachineState.GONE: times.boot / 30, MachineState.GONE_FOR_CERTAIN: times.boot / 900}.get(
        seen.fate or MachineState.ALIVE
    )
    if pause is not None and seen.asked - (seen.relaunch_at or seen.launch_at) >= pause:
        return Relaunch(attempt=number)
    return Wait()


def dead(records: Records) -> bool:
    """Whether the host saw the claimed agent end. A witness of another boot, a duplicate's, says nothing."""
    return (
        records.host is not None
        and isinstance(records.claim, Claimed)
        and records.host.boot == records.claim.boot
    )


def _witness(records: Records) -> Host | None:
    """Return the host's word where it is about this attempt's agent, or where none began."""
    return records.host if isinstance(records.claim, Void) or dead(records) else None


def quiet(records: Records, seen: Observations) -> bool:
    """Whether the claimed agent is dead, or must be by its own fence: silence as P9 counts it."""
    if dead(records):
        return True
    if seen.fate is MachineState.GONE_FOR_CERTAIN and records.claim is not None:
        return True
    if seen.since is None or seen.still < STILL:
        return False
    times = records.request.target.times
    silent = seen.asked - seen.since
    return silent >= times.lease or (seen.fate is MachineState.GONE and silent >= times.stale)


def _loss(records: Records, seen: Observations) -> str:
    """Tell why an attempt is lost, by the best witness."""
    if isinstance(records.claim, Void):
        return records.claim.cause
    if dead(records) and records.host:
        return records.host.cause
    if seen.fate in (MachineState.GONE, MachineState.GONE_FOR_CERTAIN):
        return seen.cause or "the machine is gone"
    if seen.since is not None:
        return f"the agent was silent for {seen.asked - seen.since:.0f} s"
    return "the agent fell silent"
