"""Tests of the tests: with a rule left out, the judge must notice; with all, the same worlds are clean."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.scenes import random_world


@pytest.mark.parametrize("name", MUTANTS)
def test_a_missing_rule_is_noticed(name: str) -> None:
    mutant = MUTANTS[name]
    others: set[str] = set()
    with mutant.applied() as rules:
        for seed in mutant.seeds:
            broken = random_world(seed, rules, change=mutant.change).rules
            if any(f"{rule} ".startswith(f"{mutant.caught_as} ") for rule in broken):
                return
            others |= broken
    pytest.fail(f"not caught as {mutant.caught_as} in {mutant.seeds}, only as {others or 'nothing'}")


@pytest.mark.simulation
@pytest.mark.parametrize("name", MUTANTS)
def test_with_every_rule_the_same_worlds_are_clean(name: str) -> None:
    mutant = MUTANTS[name]
    for seed in mutant.seeds:
        played = random_world(seed, change=mutant.change)
        if played.broken:
            pytest.fail(f"seed {seed}\n{random_world(seed, change=mutant.change, trace=True).told()}")
