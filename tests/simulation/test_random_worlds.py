"""Ten thousand histories of the product's own protocol, P1 to P10 judged by name in each."""

from __future__ import annotations

import pytest

from tests.simulation.explore import explore_seeds, play_seed, play_seeds


def test_a_few_random_worlds_break_no_rule() -> None:
    for seed in range(150):
        played = play_seed(seed)
        assert not played.broken, f"seed {seed}\n{play_seed(seed, trace=True).told()}"


@pytest.mark.simulation
def test_ten_thousand_random_worlds_break_no_rule() -> None:
    tally = explore_seeds(150, 10_000)
    first = min((seed for seeds in tally.broken.values() for seed in seeds), default=None)
    assert first is None, f"{tally.told()}\nseed {first}\n{play_seed(first, trace=True).told()}"


def test_the_worlds_are_worth_playing() -> None:
    """A simulation in which little happens would prove little."""
    stats = play_seeds(range(100)).stats
    for what in ("faults", "fenced", "runs produced", "runs lost", "runs failed", "runs cancelled"):
        assert stats[what] > 0, what
    for verdict in ("delivered", "superseded", "rejected"):
        assert stats[f"ledger {verdict}"] > 0, verdict


def test_a_world_can_be_played_again() -> None:
    assert play_seed(7, trace=True).told() == play_seed(7, trace=True).told()
