"""A host's word that comes when whoever closes the run has read for the last time: the judge may not ask for it."""

from __future__ import annotations

import pytest

from foretell.protocol import effects, steps
from foretell.protocol.effects import Get
from foretell.protocol.records import Claimed, Closed, Host, Launch, Outcome, encode
from tests.simulation.actors import DATES, Cast, Plan
from tests.simulation.scenes import TIMES
from tests.simulation.world import RULES, Hazards, Process, Talk, World

RUN = Plan().first(DATES[0])
LOST = Outcome(kind="lost", attempt=1, by="W0")
SPOT = Launch(nonce="n", machine="m-1-n", failures_left=0, losses_left=0, spots_left=2)
TAKEN = Host(boot="b", reason="preempted")


def look_then_close(seconds: float) -> Talk:
    """Read the host's word, then end the run so many seconds later."""
    yield Get(RUN.attempt(1).host)
    yield effects.Sleep(seconds)
    yield from steps.close(RUN, 2, LOST)
    yield from effects.create(RUN.outcome, LOST)


@pytest.mark.parametrize(("told", "asked"), [(0.0, True), (10.0, False)], ids=["before", "after"])
def test_a_word_is_asked_for_where_the_closer_has_read_it(told: float, asked: bool) -> None:
    world = World(0, Hazards(told=1.0), RULES, TIMES, script={})
    cast = Cast(world)
    closer, host = Process(world, "W0", "other"), Process(world, "host", "other")
    request = cast.request_of(closer, RUN, "k", Plan(table=None), ())
    for key, record in (
        (RUN.request, request),
        (RUN.attempt(1).launch, SPOT),
        (RUN.attempt(1).claim, Claimed(nonce="a", boot="b")),
    ):
        world.write(host, key, encode(record))
    world.at(told, world.write, host, RUN.attempt(1).host, encode(TAKEN))
    world.spawn(closer, look_then_close(60.0))
    world.run(100.0)
    assert isinstance(cast.judge.read(RUN.attempt(2).launch, effects.SLOT), Closed)
    rules = {broken.rule for broken in cast.judge.close([])}
    assert ("P5 a steadier machine withheld" in rules) is asked
