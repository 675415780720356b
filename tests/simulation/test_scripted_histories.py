"""Two rules whose lack shows only under a chain of three faults: played out, with and without the rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.simulation.actors import Plan
from tests.simulation.mutants import BESIDE_THE_LEDGER, WITHOUT_CLOSING
from tests.simulation.scenes import Scene, places, small_world
from tests.simulation.world import RULES, Fault, Rules

Script = Mapping[int, Fault]


def scripts_without_closing(rules: Rules) -> Iterator[tuple[Scene, Script]]:
    """
    Let the agent's exit land late and the agent die, so that one waiter says "lost" and launches anew.

    The other has read the slots before that, stands still, and reads the exit after it: "failed", of an
    attempt that was replaced.
    """
    scene = Scene(Plan(table=None, bad=1, long=300), waiters=2)
    first = places(small_world(scene, {}, rules), who="agent0", what="exit.json")[0]
    late: Script = {first: Fault.APPLIED_LATE}
    again = places(small_world(scene, late, rules), first, who="agent0", what="exit.json")[0]
    dead: Script = {**late, again: Fault.CRASH_BEFORE}
    for still in places(small_world(scene, dead, rules), who="W0", what="outcome.json"):
        yield scene, {**dead, still: Fault.STANDS_STILL}


def scripts_beside_the_ledger(rules: Rules) -> Iterator[tuple[Scene, Script]]:
    """
    Let the agent die before it delivers; a waiter is refused and stands still.

    The table is mended, the other waiter delivers, and dies before it can say so. Then the first one writes
    what it was told.
    """
    for rejected_until in range(60, 120, 10):
        scene = Scene(Plan(mode="append"), waiters=2, rejected_until=rejected_until, restart=False)
        died: Script = {
            places(small_world(scene, {}, rules), who="agent0", what="open")[0]: Fault.CRASH_BEFORE
        }
        for refused in places(small_world(scene, died, rules), who="W", what="commit")[:4]:
            still = {**died, refused: Fault.STANDS_STILL}
            for mute in places(small_world(scene, still, rules), refused, who="W", what="delivery.json"):
                yield scene, {**still, mute: Fault.CRASH_BEFORE}


def test_a_negative_outcome_needs_the_next_slot_closed() -> None:
    with WITHOUT_CLOSING.applied() as rules:
        caught = [small_world(*history, rules).rules for history in scripts_without_closing(rules)]
    assert any("P4 superseded verdict" in rules for rules in caught)


def test_with_the_slot_closed_the_same_history_is_clean() -> None:
    histories = list(scripts_without_closing(RULES))
    assert histories
    for history in histories:
        played = small_world(*history, trace=True)
        assert not played.broken, played.told()


def test_a_rejection_beside_the_ledger_contradicts_it() -> None:
    with BESIDE_THE_LEDGER.applied() as rules:
        caught = [small_world(*history, rules).rules for history in scripts_beside_the_ledger(rules)]
    assert any("P3 refused on paper, delivered in fact" in rules for rules in caught)


def test_with_the_rejection_in_the_ledger_the_same_history_is_clean() -> None:
    # nobody restarts the waiters of these worlds, so that some never learn of the end
    histories = list(scripts_beside_the_ledger(RULES))
    assert histories
    for history in histories:
        played = small_world(*history, trace=True)
        assert played.rules <= {"P5 waiter never ends", "P5 never delivered nor refused"}, played.told()
