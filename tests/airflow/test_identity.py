"""Which run a run of a graph is, by every way in which it can come about."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.airflow

TICK = datetime(2026, 11, 21, 6, tzinfo=UTC)
BEFORE = datetime(2026, 11, 20, 6, tzinfo=UTC)
DUE = datetime(2026, 11, 21, 6, 0, 7, 123456, tzinfo=UTC)


def identity(zone: str = "Europe/Stockholm", **known: Any) -> Any:
    usual = {"data_interval_start": None, "data_interval_end": None, "logical_date": None, "run_after": DUE}
    dag_run = SimpleNamespace(dag_id="toy-training", run_id="x", **{**usual, **known})
    return importlib.import_module("foretell.airflow.identity").identity(dag_run, zone)


def test_the_key_is_the_graph_and_its_run() -> None:
    assert identity().key == "toy-training/x"


def test_a_cron_line_gives_its_tick_and_leaves_the_interval_to_the_schedule() -> None:
    found = identity(data_interval_start=TICK, data_interval_end=TICK, logical_date=TICK)
    assert (found.date, found.interval) == (TICK, None)


def test_a_data_interval_is_handed_on() -> None:
    found = identity(data_interval_start=BEFORE, data_interval_end=TICK, logical_date=BEFORE)
    assert (found.date, found.interval) == (TICK, (BEFORE, TICK))
    assert found.shown_interval == ("2026-11-20T06:00:00+00:00", "2026-11-21T06:00:00+00:00")


def test_a_partition_key_is_a_date_in_the_time_zone_of_the_service() -> None:
    found = identity(partition_key="2026-11-21T07:00:00", logical_date=BEFORE)
    assert found.date == TICK
    assert identity(partition_key="2026-11-21T06:00:00+00:00").date == TICK


def test_a_partition_key_of_another_kind_is_no_date() -> None:
    assert identity(partition_key="europe", logical_date=TICK).date == TICK


def test_an_asset_gives_the_moment_at_which_it_became_due_to_the_millisecond() -> None:
    assert identity().date == DUE.replace(microsecond=123000)


def test_without_an_interval_the_logical_date_counts() -> None:
    assert identity(logical_date=BEFORE).date == BEFORE


@pytest.mark.parametrize(
    ("max_tries", "retries", "cleared"), [(2, 2, 0), (3, 2, 1), (5, 2, 3), (0, 0, 0), (1, 0, 1)]
)
def test_a_clearing_is_told_from_another_try(max_tries: int, retries: int, cleared: int) -> None:
    assert importlib.import_module("foretell.airflow.identity").generation(max_tries, retries) == cleared
