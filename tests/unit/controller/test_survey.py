"""What stands in a store: open runs, ends that nobody was told of, and what it costs to know."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from foretell.controller import survey as looking
from foretell.controller.survey import Memory, Survey, acknowledge, ended_since, recall, remember, survey
from foretell.protocol.keys import Run
from foretell.protocol.records import Told
from foretell.store import Store
from tests.support.past import NOON, TOML, Past

WEEK = NOON - timedelta(days=7)
TOLD = Told(nonce="n", at="")


class Counting(Store):
    """Counts what is asked of it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: Counter[str] = Counter()

    def get(self, key: str) -> bytes | None:
        self.asked["get"] += 1
        return super().get(key)

    def folders(self, prefix: str) -> list[str]:
        self.asked["list"] += 1
        return super().folders(prefix)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path / "service")


def ago(**how_long: float) -> datetime:
    return NOON - timedelta(**how_long)


def look(past: Past, memory: Memory | None = None) -> Survey:
    return survey(past.controller, memory or Memory(), horizon=WEEK)


def ends(found: Survey) -> dict[Run, str]:
    return {one.run: str(one.state.phase) for one in found.ended}


def test_nothing_stands_where_nothing_ever_ran(past: Past) -> None:
    assert look(past) == Survey()
    assert not (past.root / ".foretell").exists()


@pytest.mark.parametrize("end", ["open", "launched", "running"])
def test_a_run_without_an_outcome_is_open(past: Past, end: str) -> None:
    run = past.add(ago(hours=1), end)
    found = look(past)
    assert [one.run for one in found.open] == [run]
    assert found.holding("training") == found.open[0]
    assert found.holding("application") is None


def test_a_run_whose_rows_are_not_delivered_is_open_however_old_it_is(past: Past) -> None:
    run = past.add(ago(days=30), "undelivered", action="application")
    assert [one.run for one in look(past).open] == [run]


def test_a_trial_is_open_and_holds_nothing_up(past: Past) -> None:
    past.add(ago(hours=1), "running", trial=True)
    found = look(past)
    assert [one.trial for one in found.open] == [True]
    assert found.holding("training") is None


def test_every_end_is_found_until_somebody_was_told(past: Past) -> None:
    kinds = {"produced": "succeeded", "failed": "failed", "timeout": "timeout", "lost": "lost"}
    runs = {past.add(ago(hours=age), kind): said for age, (kind, said) in enumerate(kinds.items(), 1)}
    rejected = past.add(ago(hours=1), "rejected", action="application")
    trial = past.add(ago(hours=9), "failed", trial=True)
    assert ends(look(past)) == {**runs, rejected: "rejected", trial: "failed"}
    for run in (*runs, trial):
        acknowledge(past.controller, run, "run")
    assert ends(look(past)) == {rejected: "rejected"}


def test_what_ended_before_the_horizon_is_not_told(past: Past) -> None:
    past.add(WEEK - timedelta(minutes=1), "failed")
    late = past.add(WEEK - timedelta(minutes=2), "failed", n=2, took=130)
    assert list(ends(look(past))) == [late]


def test_an_end_is_told_of_an_action_that_is_in_the_file_no_more(past: Past) -> None:
    run = past.add(ago(hours=1), "failed")
    renamed = Past(past.root, TOML.replace("training", "learning"))
    assert list(ends(look(renamed))) == [run]


def test_a_run_that_cannot_be_read_is_a_problem_and_hides_no_other(past: Past) -> None:
    broken, other = past.add(ago(hours=1)), past.add(ago(hours=2), "failed")
    (past.root / ".foretell" / "store" / broken.outcome).write_bytes(b"{")
    found = look(past)
    assert list(ends(found)) == [other]
    assert [broken.label in problem and "cannot be read" in problem for problem in found.problems] == [True]


def test_who_began_to_note_that_an_end_was_told_had_told_it(past: Past) -> None:
    run = past.add(ago(hours=1), "failed")
    acknowledge(past.controller, run, "run")
    (past.root / ".foretell" / "store" / run.told).write_bytes(b"")
    assert look(past) == Survey()


def test_a_folder_that_is_no_run_yet_is_not_taken_for_settled(past: Past) -> None:
    run = past.add(ago(hours=1), "failed")
    request = past.root / ".foretell" / "store" / run.request
    request.rename(aside := past.root / "request.json")
    memory = Memory()
    assert look(past, memory).ended == []
    aside.rename(request)
    assert list(ends(look(past, memory))) == [run]


def test_the_runs_of_another_version_are_looked_at_where_that_is_asked(past: Past) -> None:
    run = past.add(ago(hours=1), "running")
    newer = Past(past.root, f'version = "2"\n{TOML.strip()}'.replace("\n    ", "\n"))
    assert look(newer) == Survey()
    found = survey(newer.controller, Memory(), horizon=WEEK, versions=["1", "2"])
    assert [one.run for one in found.open] == [run]
    assert found.holding("training")


def test_what_was_open_is_looked_at_again(past: Past) -> None:
    run, other = past.add(ago(hours=1), "running"), past.add(ago(hours=2), "running")
    found = look(past)
    past._decide(run, "failed", NOON)
    assert [(one.run, one.state.cause) for one in ended_since(past.controller, found)] == [(run, "it broke")]
    assert other in [one.run for one in found.open]


# --- what it costs ----------------------------------------------------------------------------------------------------


def cost(past: Past, memory: Memory) -> tuple[int, int]:
    store = Counting(past.store.url)
    past.controller.store = store
    look(past, memory)
    return store.asked["get"], store.asked["list"]


@pytest.mark.parametrize("told", [True, False])
def test_it_costs_the_same_however_long_the_history_is(tmp_path: Path, *, told: bool) -> None:
    costs = set()
    for days in (70, 105):
        past = Past(tmp_path / str(days))
        for day in range(days):
            run = past.add(WEEK - timedelta(days=1 + day))
            if told:
                past.write(run.told, TOLD)
        costs.add(cost(past, Memory()))
    assert len(costs) == 1
    assert costs.pop() <= (3 * looking.ENOUGH * 3, 5)


def test_with_a_memory_it_reads_on_until_all_is_known(past: Past) -> None:
    runs = [past.add(ago(minutes=age), took=1) for age in range(40)]
    for run in runs[:39]:
        past.write(run.told, TOLD)
    memory = Memory()
    found = [ends(look(past, memory)) for _ in range(4)]
    assert [list(one) for one in found] == [[], [], [], runs[39:]]
    acknowledge(past.controller, runs[39], "tick")
    assert cost(past, memory)[0] == 1
    assert cost(past, memory) == (0, 3)
    late = past.add(ago(days=12), "failed", n=7, took=12 * 86400)
    assert list(ends(look(past, memory))) == [late]


def test_a_memory_is_kept_as_a_whole_and_is_nothing_but_a_saving(tmp_path: Path) -> None:
    place = tmp_path / "ticks" / "here.json"
    assert recall(place) == Memory()
    memory = Memory(settled={"1/training/2026-06": ["20260601T000000Z-1"]}, said=["it waits"])
    remember(memory, place)
    assert recall(place) == memory
    assert [path.name for path in place.parent.iterdir()] == ["here.json"]
    place.write_bytes(b'{"settled": ')
    assert recall(place) == Memory()
    remember(memory, tmp_path / "ticks" / "here.json" / "below")  # where it cannot be, it is done without


def test_a_memory_forgets_the_months_that_are_not_looked_at_any_more(past: Past) -> None:
    for month in (1, 2, 3, 4):
        past.add(datetime(2026, month, 1, tzinfo=NOON.tzinfo))
    memory = Memory()
    look(past, memory)
    assert list(memory.settled) == [f"1/training/2026-0{month}" for month in (4, 3, 2)]
