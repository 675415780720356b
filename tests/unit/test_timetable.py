"""What is due at a moment: the newest tick, once, inputs first; and nothing is remembered."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from foretell import names, timetable
from foretell.timetable import crontab, due, in_order, tick
from tests.unit.past import NOON, Past

HOURLY = """
    name = "toy"
    timezone = "Europe/Stockholm"
    [actions.report]
    command = "true"
    after = ["application"]
    [actions.application]
    command = "true"
    schedule = "30 * * * *"
    inputs = ["training"]
    [actions.training]
    command = "true"
    schedule = "0 6 1 * *"
    [actions.byhand]
    command = "true"
"""
LATEST = datetime(2026, 6, 15, 11, 30, tzinfo=UTC)
FIRST = datetime(2026, 6, 1, 4, tzinfo=UTC)


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path / "service", HOURLY)


def told(past: Past, at: datetime = NOON) -> list[tuple[str, datetime, str]]:
    return [(item.action, item.date, item.key) for item in due(past.controller, at)]


def test_actions_come_after_those_they_need(past: Past) -> None:
    assert [action.name for action in in_order(past.controller)] == [
        "training",
        "application",
        "report",
        "byhand",
    ]


def test_of_each_schedule_the_newest_tick_is_due(past: Past) -> None:
    past.add(FIRST)
    assert told(past) == [
        ("training", FIRST, "training@2026-06-01T04:00:00+00:00"),
        ("application", LATEST, "application@2026-06-15T11:30:00+00:00"),
    ]


def test_a_tick_is_due_at_its_own_moment(past: Past) -> None:
    past.add(FIRST)
    assert told(past, LATEST)[1][1] == LATEST
    assert told(past, LATEST - timedelta(seconds=1))[1][1] == LATEST - timedelta(hours=1)


def test_with_a_schedule_and_after_others_both_make_it_due(tmp_path: Path) -> None:
    both = HOURLY.replace('after = ["application"]', 'after = ["training"]\n    schedule = "0 0 * * *"')
    past = Past(tmp_path / "service", both)
    past.add(FIRST)
    midnight = datetime(2026, 6, 14, 22, tzinfo=UTC)
    assert [(date, key.partition(" ")[2]) for action, date, key in told(past) if action == "report"] == [
        (midnight, ""),
        (FIRST, f"after training/{names.stamp(FIRST)}-1"),
    ]


def test_looking_what_is_due_starts_nothing(past: Past) -> None:
    assert due(past.controller, NOON)
    assert not (past.root / ".foretell").exists()


def test_an_input_that_never_succeeded_is_due_at_once(tmp_path: Path) -> None:
    past = Past(tmp_path / "service", HOURLY.replace('schedule = "0 6 1 * *"', ""))
    assert told(past) == [
        ("training", LATEST, "training@2026-06-15T11:30:00+00:00"),
        ("application", LATEST, "application@2026-06-15T11:30:00+00:00"),
    ]
    past.add(LATEST, "failed")
    assert [action for action, *_ in told(past)] == ["training", "application"]
    past.add(LATEST, n=2)
    assert [action for action, *_ in told(past)] == ["application"]


def test_an_input_that_is_under_way_is_not_due_again(tmp_path: Path) -> None:
    past = Past(tmp_path / "service", HOURLY.replace('schedule = "0 6 1 * *"', ""))
    past.add(LATEST - timedelta(hours=3), "running")
    assert [action for action, *_ in told(past)] == ["application"]


def test_an_input_that_several_need_is_due_once_and_early_enough_for_all(tmp_path: Path) -> None:
    monitoring = '[actions.monitoring]\ncommand = "true"\nschedule = "0 6 * * *"\ninputs = ["training"]\n'
    past = Past(tmp_path / "service", f"{dedent(HOURLY)}\n{monitoring}".replace('schedule = "0 6 1 * *"', ""))
    early = datetime(2026, 6, 15, 4, tzinfo=UTC)
    assert told(past)[0] == ("training", early, "training@2026-06-15T04:00:00+00:00")
    assert [action for action, *_ in told(past)].count("training") == 1


def test_an_input_of_an_input_is_due_first(tmp_path: Path) -> None:
    features = '[actions.features]\ncommand = "true"\n'
    toml = f"{dedent(HOURLY)}\n{features}".replace('schedule = "0 6 1 * *"', 'inputs = ["features"]')
    assert [action for action, *_ in told(Past(tmp_path / "service", toml))] == [
        "features",
        "training",
        "application",
    ]


def test_what_follows_others_is_due_when_they_succeeded(past: Past) -> None:
    past.add(FIRST)
    past.add(LATEST, "failed", action="application")
    assert "report" not in [action for action, *_ in told(past)]
    run = past.add(LATEST, n=2, action="application")
    assert told(past)[-1] == ("report", LATEST, f"report after {run.label}")


def test_what_follows_a_success_of_the_future_is_not_due(past: Past) -> None:
    past.add(FIRST)
    past.add(NOON + timedelta(hours=1), action="application")
    assert "report" not in [action for action, *_ in told(past)]


def test_ticks_start_what_is_due_once_and_say_what_kept_the_rest(past: Past) -> None:
    said: list[timetable.Ticked] = []
    first = tick(past.controller, NOON, said.append)
    assert said == first
    training, application = first
    assert training.new
    assert training.run
    assert training.run.date == FIRST
    assert application.run is None
    assert 'needs a model of "training"' in application.problem
    past.controller.wait(training.run)
    again = tick(past.controller, NOON)
    assert (again[0].run, again[0].new) == (training.run, False)


def test_a_tick_that_failed_is_not_started_again(past: Past) -> None:
    failed = past.add(FIRST, "failed")
    (training, _) = tick(past.controller, NOON)
    assert (training.run, training.new) == (failed, False)


def test_the_line_for_cron_runs_from_anywhere(past: Past) -> None:
    file = past.root / "foretell.toml"
    line = crontab(file, "production")
    assert line.startswith("* * * * * ")
    words = shlex.split(line.removeprefix("* * * * * "))
    assert words[:4] == ["mkdir", "-p", str(past.root / ".foretell"), "&&"]
    assert words[4] == sys.executable
    assert words[5:12] == ["-m", "foretell", "tick", "--on", "production", "--file", str(file)]


def test_the_line_for_cron_holds_no_percent_sign_that_cron_would_read(tmp_path: Path) -> None:
    line = crontab(tmp_path / "100% mine" / "foretell.toml", "local")
    assert "%" not in line.replace("\\%", "")
