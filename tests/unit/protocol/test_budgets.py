"""Budgets: each end of an attempt has its own, and falls back on that of its kind."""

from __future__ import annotations

import pytest

from foretell.protocol.budgets import Budgets
from foretell.protocol.records import Fault, Launch, Reason

WHOLE = {"failures_left": 1, "losses_left": 1, "growths_left": 1, "spots_left": 1}


def budgets(**less: int) -> Budgets:
    return Budgets(**{**WHOLE, **less})


@pytest.mark.parametrize(
    ("fault", "reason", "name"),
    [
        ("failed", "out of memory", "growths_left"),
        ("lost", "out of memory", "growths_left"),
        ("lost", "preempted", "spots_left"),
        ("lost", "", "losses_left"),
        ("lost", "capacity", "losses_left"),
        ("failed", "", "failures_left"),
        ("timeout", "", "failures_left"),
    ],
)
def test_each_end_is_paid_from_its_own(fault: Fault, reason: Reason, name: str) -> None:
    assert budgets().spent(fault, reason) == budgets(**{name: 0})


def test_where_there_is_no_larger_machine_left_a_failure_is_one() -> None:
    assert budgets(growths_left=0).spent("failed", "out of memory") == budgets(
        growths_left=0, failures_left=0
    )
    assert budgets(growths_left=0, failures_left=0).spent("failed", "out of memory") is None


def test_a_loss_is_not_paid_by_retries_nor_a_failure_by_losses() -> None:
    assert budgets(losses_left=0).spent("lost") is None
    assert budgets(failures_left=0).spent("failed") is None


def test_a_launch_says_what_was_left() -> None:
    launch = Launch(nonce="n", machine="toy-a-1-n", **WHOLE)
    assert Budgets.of(launch) == budgets()
