from __future__ import annotations

import itertools
import time

import pytest

from foretell.system.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    pauses = Backoff(first=0.5, longest=3).pauses()
    assert list(itertools.islice(pauses, 5)) == [0.5, 1, 2, 3, 3]


def test_pauses_are_shortened_at_random_by_no_more_than_their_jitter() -> None:
    pauses = list(itertools.islice(Backoff(first=1, longest=1, jitter=0.5).pauses(), 1000))
    assert 0.5 <= min(pauses) < 0.55
    assert 0.95 < max(pauses) <= 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("since", "pauses"), [(None, [1, 2, 4]), (995.0, [1, 2]), (900.0, [])])
def test_no_pause_ends_after_patience(clock: list[float], since: float | None, pauses: list[float]) -> None:
    """Patience counts from the first pause that is asked for, or from a time that is given."""
    taken = []
    backoff = Backoff(first=1, longest=60, patience=8)
    for pause in backoff.pauses(since=since):
        taken.append(pause)
        clock[0] += pause
    assert taken == pauses
