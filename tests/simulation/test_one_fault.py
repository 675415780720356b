"""Every placing of one fault, of six kinds, at every request of small scenes."""

from __future__ import annotations

import pytest

from tests.simulation.explore import explore_scene
from tests.simulation.scenes import SCENES, small_world

QUICK = (
    "ok, delivery, 2 waiters",
    "bad, one retry",
    "ok, stop while running",
    "ok, delivery, certain probe",
)


def check(name: str) -> None:
    tally = explore_scene(name, 1, processes=1)
    assert tally.worlds > 150
    scripts = [script for found in tally.broken.values() for _, script in found]
    told = [small_world(SCENES[name], script, trace=True).told() for script in scripts[:1]]
    assert not tally.broken, "\n".join([tally.told(), *told])


@pytest.mark.parametrize("name", QUICK)
def test_one_fault_everywhere(name: str) -> None:
    check(name)


@pytest.mark.simulation
@pytest.mark.parametrize("name", sorted(SCENES.keys() - set(QUICK)))
def test_one_fault_everywhere_in_more_scenes(name: str) -> None:
    check(name)
