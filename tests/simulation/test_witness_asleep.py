"""A witness that stood still between two reads of one round, while a whole attempt went by."""

from __future__ import annotations

from foretell.protocol import effects
from foretell.protocol.effects import Effect, Get, Probe
from foretell.protocol.records import Claimed, Launch, Outcome, Record, encode
from foretell.protocol.rules import MachineState, Phase
from tests.simulation.actors import DATES, Cast, Plan
from tests.simulation.scenes import TIMES
from tests.simulation.world import RULES, Hazards, Process, World


class Shelf:
    """A store that answers at once, and a platform on which everything has died."""

    def __init__(self, records: dict[str, Record]) -> None:
        self.records = records

    def perform(self, op: Effect) -> object:
        match op:
            case Get(key):
                return encode(self.records[key]) if key in self.records else None
            case Probe():
                return MachineState.GONE_FOR_CERTAIN, "the process is dead"
            case _:
                raise AssertionError(op)


def test_an_outcome_of_an_attempt_that_was_not_seen_launched_is_dealt_with() -> None:
    world = World(0, Hazards(platform="process"), RULES, TIMES, script={})
    cast, plan = Cast(world), Plan()
    waiter = Process(world, "W0", "waiter")
    run = plan.first(DATES[0])
    request = cast.request_of(waiter, run, "k", plan, ())
    launch = Launch(nonce="n", machine="m-1-n", failures_left=0, losses_left=1)
    shelf = Shelf(
        {
            run.attempt(1).launch: launch,
            run.attempt(2).claim: Claimed(nonce="a1", boot="b1"),
            run.outcome: Outcome(kind="produced", attempt=2, by="a1"),
        }
    )
    witness = cast.witness(waiter, request)
    effects.execute(witness.look(), shelf)
    shelf.records[run.attempt(2).launch] = launch
    for _ in range(2):
        effects.execute(witness.look(), shelf)
    assert witness.state.phase is Phase.DELIVERING
    assert witness.state.attempt == 2
