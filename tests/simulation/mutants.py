"""
The protocol with one rule left out, each with the worlds in which the judge must notice.

A mutant replaces a function of the product while its worlds are played, or switches off a rule of the world
around it (`Rules`) where the rule does not live in the protocol's own modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from foretell.errors import StoreError, WarehouseError
from foretell.protocol import effects, models, reconciler, rules, steps, withdrawal
from foretell.protocol.effects import Create, Put, Sleep
from foretell.protocol.keys import Run
from foretell.protocol.reconciler import Reconciler
from foretell.protocol.records import Claimed, Fault, Launch, Outcome, Receipt, Record, encode
from foretell.protocol.rules import (
    Close,
    Decide,
    Finish,
    GiveUp,
    MachineState,
    Observations,
    Records,
    Revoke,
    Start,
    Step,
    Wait,
)
from tests.simulation.actors import DATES
from tests.simulation.replacing import replaced
from tests.simulation.world import RULES, Rules, Talk


class Mutant(NamedTuple):
    """What is replaced, where it shows, and as which rule (the beginning of its name)."""

    caught_as: str
    seeds: range
    replacements: tuple[tuple[Any, str, Any], ...] = ()
    rules: Rules = RULES
    change: Mapping[str, Any] = {}
    """The hazards that bring it out."""

    @contextmanager
    def applied(self) -> Iterator[Rules]:
        with ExitStack() as stack:
            for module, name, value in self.replacements:
                stack.enter_context(replaced(module, name, value))
            yield self.rules


# --- writing ----------------------------------------------------------------------------------------------

_create = effects.create
_produce = steps.produce


def create_or_overwrite(key: str, record: Record) -> Talk:
    """Decide by overwriting."""
    if not key.endswith("/outcome.json"):
        return (yield from _create(key, record))
    while True:
        try:
            yield Put(key, encode(record))
        except StoreError as error:
            yield Sleep(1, error)
        else:
            return True


def create_without_reading_back(key: str, record: Record) -> Talk:
    """Take "exists" for "somebody else's"."""
    while True:
        try:
            return (yield Create(key, encode(record)))
        except StoreError as error:
            yield Sleep(1, error)


def produce_then_mark(run: Run, outcome: Outcome) -> Talk:
    """Add the model to an index once it is decided."""
    won = yield from _produce(run, outcome)
    if won:
        yield from _create(f"{run.folder}/marker.json", outcome)
    return won


def told_before_it_is_so(request: Any, outcome: Outcome, **_: Any) -> Talk:
    """Put on record that a withdrawal is done, then have it done."""
    run = request.run
    receipt = Receipt(
        uid=request.uid,
        state="withdrawn",
        table="",
        scope="",
        owner="",
        run=run.folder,
        attempt=outcome.attempt or 0,
        rows=0,
    )
    yield from _create(run.withdrawal, receipt)
    with suppress(StoreError, WarehouseError):
        yield effects.Revoke(request, outcome)
    yield from _create(run.delivery, receipt)
    return receipt


def never_withdrawn(_: Run) -> Talk:
    """Deliver without asking whether the run was taken back."""
    yield from ()


# --- which model is current -------------------------------------------------------------------------------

_examine = models.examine


def examine_the_marked(run: Run) -> Talk:
    """Look only at runs in the index."""
    marker = yield from effects.get(f"{run.folder}/marker.json", Outcome)
    return (yield from _examine(run)) if marker else "it is not in the index"


def latest_by_finishing_time(service: str, version: str, action: str, _: datetime) -> Talk:
    """Take the model that was finished last, whatever its date."""
    found: list[tuple[str, models.Model]] = []
    for month in (yield from models.months(service, version, action, DATES[-1])):
        for run in (yield from models.runs_of(service, version, action, month)):
            model = yield from _examine(run)
            if isinstance(model, models.Model):
                found.append((model.outcome.at, model))
    newest = max(found, key=lambda pair: pair[0])[1] if found else None
    return models.Answer(newest, ())


# --- judging ----------------------------------------------------------------------------------------------

_next_step = rules.next_step
_unclaimed = rules._unclaimed
_after = rules.after


def finish_when_gone(records: Records, seen: Observations) -> Step:
    """Take the end of the machine for success."""
    if seen.fate in (MachineState.GONE, MachineState.GONE_FOR_CERTAIN) and records.claim:
        return Finish()
    return _next_step(records, seen)


def leave_to_who_withdrew(records: Records, seen: Observations) -> Step:
    """Wait, and do nothing, for a withdrawal that somebody else began."""
    step = _next_step(records, seen)
    if not isinstance(step, Revoke):
        return step
    return Finish() if records.delivery else Wait()


def lost_without_void(records: Records, seen: Observations, number: int) -> Step:
    """Replace an unclaimed attempt without taking its claim."""
    step = _unclaimed(records, seen, number)
    last = records.launches[-1]
    if isinstance(step, GiveUp) and isinstance(last, Launch):
        return rules.after(last, "lost", step.cause)
    return step


def dead_by_any_host(records: Records) -> bool:
    """Believe every host, also that of a duplicate."""
    return records.host is not None and isinstance(records.claim, Claimed)


def trust_the_probe(_: Reconciler) -> None:
    """Hold a death that was seen before the claim against the claimed agent."""


def believe_the_trigger(looker: Reconciler, told: Step) -> Talk:
    """Take the step of another observer for the end of the run."""
    yield from looker.look()
    yield from looker.take(told)
    return True


def decide_at_once(records: Records, seen: Observations) -> Step:
    """Decide a negative outcome without closing the next slot."""
    step = _next_step(records, seen)
    if not isinstance(step, Close):
        return step
    outcome = steps.verdict(step.fault, step.attempt - 1, by=f"{seen.asked}", cause=step.cause, at="")
    return Decide(outcome=outcome)


def after_without_ladder(last: Launch, fault: Fault, cause: str, **more: Any) -> Step:
    """Count a machine that was too small, or taken away, like any other fault."""
    return _after(last, fault, cause, final=more.get("final", False))


def after_without_hearing(last: Launch, fault: Fault, cause: str, **more: Any) -> Step:
    """Heed no host that says that its machine was taken away."""
    reason = "" if more.get("reason") == "preempted" else more.get("reason", "")
    return _after(last, fault, cause, final=more.get("final", False), reason=reason)


def after_without_end(last: Launch, fault: Fault, cause: str, **more: Any) -> Step:
    """Take another machine of the ladder without counting it."""
    step = _after(last, fault, cause, **more)
    if isinstance(step, Start) and more.get("reason") and last.growths_left:
        kept = replace(step.budgets, growths_left=last.growths_left, spots_left=last.spots_left)
        return replace(step, budgets=kept)
    return step


def fail_at_once(run: Run, launch: Any, end: Any) -> Talk:
    """Let the agent decide without closing the next slot."""
    number = launch.number
    yield from effects.create(run.attempt(number).exit, end)
    if isinstance(rules.after(launch, end.fault, end.cause, final=end.final), rules.Start):
        return None
    outcome = Outcome(kind=end.fault, attempt=number, by=end.nonce, cause=end.cause, at=end.at)
    yield from effects.create(run.outcome, outcome)
    return outcome


RESTLESS = {"fault": 0.1, "store_down": (), "many": False}
UNSURE = {"fault": 0.02, "commit_fault": 0.6, "many": False, "mode": "append"}
CROWDED = {"fault": 0.1, "many": True}
REGRETTED = {"regret": 1.0, "fault": 0.05, "rejected_until": -1.0}
LATE = {"platform": "vm", "boots": (120.0, 130.0, 140.0, 150.0), "hang": 0, "many": False, "fault": 0.0}
CUT_OFF = {
    "platform": "vm",
    "cut": 1.0,
    "cut_for_ever": True,
    "boots": (2, 20),
    "stop_fails": True,
    "many": False,
    "fault": 0.0,
    "hang": 0,
    "pause": 0,
    "preempt": 0,
    "probe_lie": 0,
}
AT_HOME = {
    "platform": "process",
    "preempt": 0.9,
    "many": True,
    "fault": 0.0,
    "cut": 0,
    "pause": 0,
    "poll": 3.0,
    "store_down": (),
}

MUTANTS = {
    "outcome by overwrite": Mutant("P1", range(60), ((steps, "create", create_or_overwrite),)),
    'success by "machine gone"': Mutant("P7", range(20), ((reconciler, "next_step", finish_when_gone),)),
    "latest by finishing time": Mutant(
        "P8", range(40), ((models, "current", latest_by_finishing_time),), change=CROWDED
    ),
    "ledger outside the transaction": Mutant(
        "P3", range(60), rules=RULES._replace(ledger_inside=False), change=UNSURE
    ),
    "no self-fencing": Mutant("P4", range(100), rules=RULES._replace(self_fencing=False), change=CUT_OFF),
    "no read-back": Mutant(
        "P10", range(200), ((steps, "create", create_without_reading_back),), change=RESTLESS
    ),
    "INSERT only": Mutant("P3", range(150), rules=RULES._replace(lock_row=False), change=UNSURE),
    "void": Mutant("P9", range(150), ((rules, "_unclaimed", lost_without_void),), change=LATE),
    "host": Mutant(
        "P9",
        range(20),
        ((rules, "dead", dead_by_any_host),),
        RULES._replace(quiet_host=False),
        {"duplicate": 0.9},
    ),
    "certain": Mutant("P9", range(100), ((Reconciler, "_doubt_the_probe", trust_the_probe),), change=AT_HOME),
    "ladder": Mutant(
        "P5",
        range(40),
        ((rules, "after", after_without_ladder), (steps, "after", after_without_ladder)),
        change={"platform": "vm", "hungry": 2, "told": 1.0, "many": False, "fault": 0.0},
    ),
    "deaf": Mutant(
        "P5 a steadier machine withheld",
        range(40),
        ((rules, "after", after_without_hearing), (steps, "after", after_without_hearing)),
        change={"platform": "vm", "preempt": 0.9, "told": 1.0, "many": False, "fault": 0.0},
    ),
    "endless ladder": Mutant(
        "P5",
        range(40),
        ((rules, "after", after_without_end), (steps, "after", after_without_end)),
        change={"platform": "vm", "hungry": 3, "told": 1.0, "many": False, "fault": 0.0},
    ),
    "trigger": Mutant(
        "P7",
        range(20),
        ((Reconciler, "advance", believe_the_trigger),),
        change={"relayed": True, "fault": 0.0, "store_down": ()},
    ),
    "withdrawal told before": Mutant(
        "P3 withdrawn on paper, not in the ledger",
        range(60),
        ((withdrawal, "revoke", told_before_it_is_so),),
        change=REGRETTED,
    ),
    "withdrawal left alone": Mutant(
        "P3 withdrawn on paper, not in the ledger",
        range(60),
        ((reconciler, "next_step", leave_to_who_withdrew),),
        change=REGRETTED,
    ),
    "withdrawn, and delivered": Mutant(
        "P3 a withdrawn run was delivered",
        range(60),
        ((steps, "withdrawn", never_withdrawn),),
        change=REGRETTED,
    ),
    "withdrawn, and in the way": Mutant(
        "P3 superseded by a withdrawn run",
        range(100),
        rules=RULES._replace(withdrawn_free=False),
        change={**REGRETTED, "many": True, "mode": "replace"},
    ),
    "marker": Mutant(
        "P8",
        range(200),
        ((steps, "produce", produce_then_mark), (models, "examine", examine_the_marked)),
        change=CROWDED,
    ),
}
WITHOUT_CLOSING = Mutant(
    "P4", range(0), ((reconciler, "next_step", decide_at_once), (steps, "fail", fail_at_once))
)
BESIDE_THE_LEDGER = Mutant("P3", range(0), rules=RULES._replace(rejection_in_ledger=False))
