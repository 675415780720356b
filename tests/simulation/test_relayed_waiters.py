"""Waiters that only look, and have another do later what they came to: a scheduler's trigger and its task."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulation.scenes import random_world

RELAYED = {"relayed": True}


def play(seeds: range) -> Counter[str]:
    stats: Counter[str] = Counter()
    for seed in seeds:
        played = random_world(seed, change=RELAYED)
        assert not played.broken, f"seed {seed}\n{random_world(seed, change=RELAYED, trace=True).told()}"
        stats.update(played.world.stats)
    return stats


def test_a_few_worlds_with_relayed_waiters_break_no_rule() -> None:
    stats = play(range(100))
    for step in ("Start", "Relaunch", "GiveUp", "Close", "Deliver", "Finish"):
        assert stats[f"relayed {step}"] > 0, step


@pytest.mark.simulation
def test_thousands_of_worlds_with_relayed_waiters_break_no_rule() -> None:
    play(range(100, 3000))
