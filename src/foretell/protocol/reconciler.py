"""
One observer of one run: looks in the order that proves something, remembers what it saw, and takes the next step.

A waiter, a start, a janitor and a scheduler's trigger are all witnesses; none knows more than the store tells it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from foretell.errors import PlatformError, RefusedError, StoreError
from foretell.protocol import effects, steps, withdrawal
from foretell.protocol.effects import SLOT, Begin, Effects, End, Probe, Sleep, ask, get
from foretell.protocol.records import (
    Beat,
    Claim,
    Claimed,
    Closed,
    Exit,
    Host,
    Launch,
    Outcome,
    Receipt,
    Request,
    Void,
    Withdrawn,
)
from foretell.protocol.rules import (
    Close,
    Decide,
    Deliver,
    Finish,
    GiveUp,
    MachineState,
    Observations,
    Records,
    Relaunch,
    Revoke,
    Start,
    State,
    Step,
    Wait,
    next_step,
    observe,
)

CLAIM = cast("type[Claim]", Claim)


class Reconciler:
    """
    An observer with its own clock and memory.

    `clock` is monotonic, in seconds. `mint` gives a new nonce, `now` the wall time as people read it. `certain` says
    that probing costs nothing and is asked in every round.
    """

    def __init__(
        self,
        request: Request,
        *,
        clock: Callable[[], float],
        mint: Callable[[], str],
        now: Callable[[], str],
        certain: bool,
    ) -> None:
        self.request = request
        self.run = request.run
        self.records = Records(request=request, launches=[])
        self.seen = Observations()
        self.receipt_due = False
        """Whether the last step gave up on a warehouse that does not answer."""
        self.first_beat: int | None = None
        """The seq of the first beat that was read of the attempt in question."""
        self.trouble: StoreError | None = None
        """Why the last round saw nothing."""
        self._clock = clock
        self._mint = mint
        self._now = now
        self._certain = certain

    @property
    def state(self) -> State:
        return observe(self.records, self.seen)

    # --- looking ----------------------------------------------------------------------------------------------

    def look(self) -> Effects[Step]:
        """
        Read one round and give the next step. A failed read ends the round with StoreError, and proves nothing.

        While nothing happens a round is at most five reads by name: the next slot, outcome, beat, host, exit. The probe
        comes first and counts only for what is read after it; exit comes last, as the word after the evidence of death.
        """
        if self._probe_due():
            yield from self._probe()
        yield from self._read_slots()
        yield from self._read_decision()
        yield from self._read_attempt()
        if self._certainly_dead() and not self.records.outcome:
            yield from self._read_decision()
        return next_step(self.records, self.seen)

    def _probe_due(self) -> bool:
        if not 0 < self.records.attempt <= len(self.records.attempts):
            return False  # none yet, or the outcome is of one whose launch was not read yet
        if self._certain or self.records.claim is None or self.seen.since is None:
            return True
        return self._clock() - self.seen.since > 2 * self.request.target.times.beat

    def _probe(self) -> Effects[None]:
        try:
            life, cause = yield Probe(self.request, self.records.attempts[self.records.attempt - 1])
        except PlatformError as error:
            self.seen.fate = None  # nobody can tell; that is not "gone" (P7)
            self.seen.unclear = error.summary
        else:
            self.seen.fate, self.seen.cause = life, cause

    def _read_slots(self) -> Effects[None]:
        slots = self.records.launches
        while not (slots and isinstance(slots[-1], Closed)):
            slot = yield from ask(self.run.attempt(len(slots) + 1).launch, SLOT)
            if slot is None:
                return
            slots.append(slot)
            if isinstance(slot, Launch):
                self._forget()

    def _forget(self) -> None:
        """A new attempt is judged by nothing that was seen of the one before, nor by the probe of its machine."""
        self.seen = Observations(launch_at=self._clock())
        self.first_beat = None
        self.records.claim = self.records.beat = self.records.host = self.records.exit = None

    def _read_decision(self) -> Effects[None]:
        if self.records.outcome is None:
            before = self.records.attempt
            self.records.outcome = yield from ask(self.run.outcome, Outcome)
            if self.records.attempt != before:
                self._forget()
        records = self.records
        if records.outcome is None or records.outcome.kind != "produced" or not self.request.delivers:
            return
        if records.delivery is None:
            records.delivery = yield from ask(self.run.delivery, Receipt)
        if records.withdrawn is None:
            records.withdrawn = yield from ask(self.run.withdrawn, Withdrawn)
        if records.withdrawn and records.withdrawal is None:
            records.withdrawal = yield from ask(self.run.withdrawal, Receipt)

    def _read_attempt(self) -> Effects[None]:
        records, seen = self.records, self.seen
        if not records.attempt or self._settled():
            return
        attempt = self.run.attempt(records.attempt)
        if records.claim is None:
            records.claim = yield from ask(attempt.claim, CLAIM)
            self._doubt_the_probe()
        seen.asked = self._clock()
        if isinstance(records.claim, Claimed):
            records.beat = (yield from ask(attempt.beat, Beat)) or records.beat
            if records.beat and self.first_beat is None:
                self.first_beat = records.beat.seq
        if records.host is None:
            records.host = yield from ask(attempt.host, Host)
        if records.exit is None and isinstance(records.claim, Claimed):
            records.exit = yield from ask(attempt.exit, Exit)
        self._note_life()

    def _doubt_the_probe(self) -> None:
        """Forget a certain death that was seen before the claim was: the launch may have been in flight then."""
        if self.records.claim and self.seen.fate is MachineState.GONE_FOR_CERTAIN:
            self.seen.fate = MachineState.GONE

    def _settled(self) -> bool:
        """Whether the run has ended, so that nothing of its attempt matters any more."""
        outcome = self.records.outcome
        return outcome is not None and (
            outcome.kind != "produced" or not self.request.delivers or self.records.delivery is not None
        )

    def _note_life(self) -> None:
        """Count silence: only a larger sign is life, for an overwrite can be overtaken by an older one."""
        records, seen = self.records, self.seen
        seq = records.beat.seq if records.beat else 0
        life = (records.claim is not None, seq, records.exit is not None, records.outcome is not None)
        now = self._clock()
        if life[0] and (seen.life is None or life > seen.life):
            seen.life, seen.since, seen.still = life, now, 0
        elif seen.still_at is None or now - seen.still_at > self.request.target.times.beat:
            seen.still, seen.still_at = seen.still + 1, now

    def _certainly_dead(self) -> bool:
        return self.seen.fate is MachineState.GONE_FOR_CERTAIN and self.records.claim is not None

    # --- acting -----------------------------------------------------------------------------------------------

    def take(self, step: Step) -> Effects[bool]:
        """Take a step; True when nothing is left to do, or (`receipt_due`) the warehouse outlasted the patience."""
        match step:
            case Wait():
                pass
            case Start():
                yield from self._start(step)
            case Relaunch(attempt=number):
                self.seen.relaunch_at = self._clock()
                yield from self._launch(self.records.attempts[number - 1])
            case GiveUp(attempt=number, cause=cause):
                mine = Void(nonce=self._mint(), cause=cause, at=self._now())
                yield from steps.void(self.run.attempt(number), mine)
            case Close(attempt=number, fault=fault, cause=cause):
                outcome = steps.verdict(fault, number - 1, by=self._mint(), cause=cause, at=self._now())
                yield from steps.close(self.run, number, outcome)
            case Decide(outcome=outcome):
                yield from effects.create(self.run.outcome, outcome)
            case Deliver() | Revoke():
                return (yield from self._settle(step))
            case Finish():
                for launch in self.records.attempts:
                    yield from effects.call(End(self.request, launch))
                return True
        return False

    def _start(self, step: Start) -> Effects[None]:
        """Record first, then launch (P6): whoever loses the slot obeys, and no machine is without a record."""
        launch = steps.launch(self.request, step, nonce=self._mint(), at=self._now())
        if not (yield from effects.create(self.run.attempt(step.attempt).launch, launch)):
            return
        for earlier in self.records.attempts:
            yield from effects.call(End(self.request, earlier), tries=2)
        self.records.launches.append(launch)
        self._forget()
        yield from self._launch(launch)

    def _launch(self, launch: Launch) -> Effects[None]:
        if (yield from get(self.run.outcome, Outcome)):
            return
        try:
            trouble = yield from effects.call(Begin(self.request, launch), tries=2)
            self.seen.unclear = trouble.summary if trouble else ""
        except RefusedError as error:
            self.seen.refused = error.summary

    def _settle(self, step: Deliver | Revoke) -> Effects[bool]:
        """Have the warehouse's ledger say what becomes of a produced run's rows; True when patience with it ended."""
        outcome = self.records.outcome
        if outcome is None:
            return False
        talk = steps.deliver if isinstance(step, Deliver) else withdrawal.revoke
        patience = self.request.target.times.deliver
        receipt = yield from talk(self.request, outcome, clock=self._clock, patience=patience)
        if isinstance(step, Deliver):
            self.records.delivery = receipt
        else:
            self.records.withdrawal = receipt
        self.receipt_due = receipt is None
        return self.receipt_due

    def advance(self, told: Step) -> Effects[bool]:
        """
        Take what is due, then the step that another observer came to, where it still fits what is on record.

        True when nothing is left to do. It may come late: who was silent for LEASE is fenced for ever, and everything
        else is decided by who creates a record first.
        """
        while True:
            try:
                step = yield from self.look()
            except StoreError as error:
                yield Sleep(0.5, error)
                continue
            if isinstance(step, Wait):
                return (yield from self.take(told)) if self._fits(told) else False
            if (yield from self.take(step)):
                return True

    def _fits(self, told: Step) -> bool:
        """Whether nobody has gone on since another observer came to this step."""
        records, slots = self.records, len(self.records.launches)
        match told:
            case Deliver():
                return records.outcome is not None
            case Start(attempt=number) | Close(attempt=number):
                return records.outcome is None and slots == number - 1
            case Relaunch(attempt=number) | GiveUp(attempt=number):
                return records.outcome is None and slots == number and records.claim is None
            case _:
                return False  # what follows from the records alone was seen and taken above

    # --- both -------------------------------------------------------------------------------------------------

    def round(self) -> Effects[bool]:
        """Look once and do one thing; True when there is nothing left to do. A store that does not answer is let go."""
        try:
            step = yield from self.look()
            self.trouble = None
        except StoreError as error:
            self.trouble = error
            yield Sleep(0, error)
            return False
        return (yield from self.take(step))

    def watch(
        self, pause: Callable[[Reconciler], float], until: Callable[[Reconciler], bool]
    ) -> Effects[bool]:
        """Take rounds until there is nothing left to do (True) or `until` says so (False)."""
        while not (yield from self.round()):
            if until(self):
                return False
            yield Sleep(pause(self))
        return True
