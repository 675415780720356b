"""
The law applied to the store: every read, write and decision of a run, in the order the protocol asks for.

Everything here is a talk; see `effects`. Nothing else decides an outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from msgspec.structs import asdict, replace

from foretell.errors import StoreError, WarehouseError
from foretell.protocol.effects import (
    SLOT,
    Create,
    Effects,
    End,
    Put,
    Revoke,
    Ship,
    Sleep,
    ask,
    call,
    create,
    get,
)
from foretell.protocol.keys import Attempt, Run, machine, retried
from foretell.protocol.records import (
    Beat,
    Claimed,
    Closed,
    Exit,
    Launch,
    Outcome,
    OutcomeKind,
    Receipt,
    Request,
    Slot,
    Told,
    Void,
    Withdrawn,
    encode,
)
from foretell.protocol.rules import Start as StartStep
from foretell.protocol.rules import after
from foretell.system.backoff import Backoff

BACKOFF = Backoff(first=1, longest=10)
"""Between two tries of a warehouse."""

# --- beginning ----------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Where a run is to stand, and the key that it has there."""

    run: Run
    key: str


class StartResult(NamedTuple):
    """A run that a start came to, and whether this start made it."""

    request: Request
    new: bool

    @property
    def run(self) -> Run:
        return self.request.run


def find(wanted: Place, *, again: bool) -> Effects[Request | Place]:
    """
    Find the one run of a key (P6), or where it is to stand: the first number of the date that is free.

    With `again`, a run of this key that ended without success counts as used up, and the next one carries a key
    derived from how many there were, so that two starters agree.
    """
    failures = 0
    run = wanted.run
    while True:
        key = retried(wanted.key, failures)
        there = yield from get(run.request, Request)
        if there is None:
            return Place(run, key)
        if there.key == key:
            if not (again and (yield from failed(there))):
                return there
            failures += 1
        run = run._replace(n=run.n + 1)


def submit(wanted: Place, mine: Request, *, again: bool) -> Effects[StartResult]:
    """Write a request where `find` said; where somebody else was faster, take their run or the next free place."""
    while not (yield from create(mine.run.request, mine)):
        found = yield from find(wanted, again=again)
        if isinstance(found, Request):
            return StartResult(found, new=False)
        mine = replace(mine, n=found.run.n, key=found.key)
    return StartResult(mine, new=True)


def failed(request: Request) -> Effects[bool]:
    """Whether a run has ended without success, or with one that was taken back."""
    run = request.run
    outcome = yield from get(run.outcome, Outcome)
    if outcome is None:
        return False
    if outcome.kind != "produced":
        return True
    if (yield from withdrawn(run)):
        return True
    receipt = (yield from get(run.delivery, Receipt)) if request.delivers else None
    return receipt is not None and receipt.state == "rejected"


def launch(request: Request, step: StartStep, *, nonce: str, at: str) -> Launch:
    """Return the record of the attempt that is due."""
    return Launch(
        nonce=nonce,
        machine=machine(request.service, request.action, step.attempt, nonce),
        after=step.after,
        cause=step.cause,
        **asdict(step.budgets),
        at=at,
    )


# --- the agent's words --------------------------------------------------------------------------------------------


def claim(run: Run, number: int, mine: Claimed) -> Effects[Launch | None]:
    """Begin an attempt as its one agent; None when there is nothing to do here, and the agent leaves quietly."""
    attempt = run.attempt(number)
    slot = yield from get(attempt.launch, SLOT)
    if not isinstance(slot, Launch) or (yield from decided(run, number, mine.nonce, read=get)):
        return None
    return slot if (yield from create(attempt.claim, mine)) else None


def beat(attempt: Attempt, mine: Beat) -> Effects[None]:
    """Show life, once; a lost beat is not repeated."""
    yield Put(attempt.beat, encode(mine))


def decided(run: Run, number: int, nonce: str, *, read: Callable[..., Effects[Any]] = ask) -> Effects[bool]:
    """Whether somebody else has decided the run or launched a later attempt: then this one has no business here."""
    outcome = yield from read(run.outcome, Outcome)
    if outcome:
        return bool(outcome.by != nonce)
    slot = yield from read(run.attempt(number + 1).launch, Slot)
    return slot is not None and not (isinstance(slot, Closed) and slot.outcome.by == nonce)


def withdrawn(run: Run) -> Effects[Withdrawn | None]:
    """Return a person's word against a run, if there is one."""
    return (yield from get(run.withdrawn, Withdrawn))


def fail(run: Run, launch: Launch, end: Exit) -> Effects[Outcome | None]:
    """
    End an attempt whose command did not succeed.

    With a retry left, the next step belongs to whoever waits. Else the slot after it is taken first, so that no later
    attempt can be, and then the outcome copied from it (P4). Gives the outcome if the run ended by this.
    """
    number = launch.number
    yield from create(run.attempt(number).exit, end)
    if end.fault is None:
        return None
    step = after(launch, end.fault, end.cause, final=end.final, reason=end.reason)
    if isinstance(step, StartStep):
        return None
    outcome = Outcome(kind=end.fault, attempt=number, by=end.nonce, cause=end.cause, at=end.at)
    if not (yield from create(run.attempt(number + 1).launch, Closed(outcome=outcome))):
        return None
    yield from create(run.outcome, outcome)
    return outcome


def produce(run: Run, outcome: Outcome) -> Effects[bool]:
    """Decide that a run has produced its files, all of them uploaded; False when it was decided otherwise before."""
    return (yield from create(run.outcome, outcome))


# --- anyone's words -----------------------------------------------------------------------------------------------


def cancel(request: Request, by: str, at: str, cause: str) -> Effects[Outcome]:
    """Decide that a run is cancelled unless it is decided already; stop every machine on record. Gives the decision."""
    run = request.run
    yield from create(run.outcome, Outcome(kind="cancelled", by=by, cause=cause, at=at))
    outcome = yield from get(run.outcome, Outcome)
    while outcome is None:
        yield Sleep(0.5)
        outcome = yield from get(run.outcome, Outcome)
    if outcome.kind != "produced":
        yield from end_machines(request)
    return outcome


def launches(run: Run) -> Effects[list[Launch]]:
    """Read the launches on record, first to last: those that have a machine."""
    found: list[Launch] = []
    while isinstance(slot := (yield from get(run.attempt(len(found) + 1).launch, SLOT)), Launch):
        found.append(slot)
    return found


def end_machines(request: Request) -> Effects[None]:
    """Stop the machine of every launch on record."""
    for launch in (yield from launches(request.run)):
        yield from call(End(request, launch))


def void(attempt: Attempt, mine: Void) -> Effects[bool]:
    """Take the claim of an attempt that nobody claimed; False when an agent was first."""
    return (yield from create(attempt.claim, mine))


def close(run: Run, number: int, outcome: Outcome) -> Effects[None]:
    """Take slot `number` with a complete outcome inside; whoever sees it copies it."""
    yield from create(run.attempt(number).launch, Closed(outcome=outcome))


def verdict(kind: OutcomeKind, attempt: int, *, by: str, cause: str, at: str) -> Outcome:
    """Return the outcome of a run that its last attempt could not bring to an end."""
    return Outcome(kind=kind, attempt=attempt, by=by, cause=cause, at=at)


def deliver(
    request: Request, outcome: Outcome, *, clock: Callable[[], float], patience: float
) -> Effects[Receipt | None]:
    """
    Bring a produced run's rows to the warehouse, by anyone and as often as it takes; None when patience ended.

    The ledger row is the arbiter (P3); `delivery.json` is a copy of it, so that two deliverers write the same. A run
    that is withdrawn is not delivered any more: then the ledger is told so instead.
    """
    run = request.run

    def settle() -> Effects[Receipt | None]:
        verb = Revoke if (yield from withdrawn(run)) else Ship
        receipt = cast("Receipt", (yield verb(request, outcome)))
        # where the run was withdrawn meanwhile, the first word about the row stands for everybody
        created = yield from create(run.delivery, receipt)
        return receipt if created else (yield from get(run.delivery, Receipt))

    return (yield from until_settled(run.delivery, settle, clock=clock, patience=patience))


def until_settled(
    key: str,
    settle: Callable[[], Effects[Receipt | None]],
    *,
    clock: Callable[[], float],
    patience: float,
) -> Effects[Receipt | None]:
    """Settle with the warehouse, as often as it takes until the receipt is there; None when patience ended."""
    began = clock()
    pauses = BACKOFF.pauses()
    while clock() - began < patience:
        receipt = yield from get(key, Receipt)
        if receipt is not None:
            return receipt
        try:
            return (yield from settle())
        except (WarehouseError, StoreError) as error:
            yield Sleep(next(pauses), error)
    return None


def acknowledge(run: Run, mine: Told) -> Effects[None]:
    """Record that somebody has seen how a run ended; tried once, for whoever is told once more loses nothing."""
    try:
        yield Create(run.told, encode(mine))
    except StoreError:
        return
