"""What is due at a moment: the newest tick, once, inputs first; and nothing is remembered."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from foretell.controller.tick import Ticked, crontab, due, tick
from foretell.doctor.ticks import ticks
from foretell.protocol import keys, models
from foretell.protocol.effects import get
from foretell.protocol.records import FirstSight
from foretell.service.order import in_order
from foretell.system import times
from tests.support.past import NOON, Past

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
    assert [action.name for action in in_order(past.controller.service)] == [
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
        (FIRST, f"after training/{times.stamp(FIRST)}-1"),
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
    said: list[Ticked] = []
    first = tick(past.unstarted, NOON, said.append, dated=True)
    assert tuple(said) == first.done
    training, application = first.done
    assert training.new
    assert training.run
    assert training.run.date == FIRST
    assert str(application) == (
        f"application of 2026-06-15T11:30:00+00:00 waits for {training.run.label} (starting)"
    )
    past._decide(training.run, "produced", NOON)
    again = tick(past.unstarted, NOON, dated=True)
    assert (again.done[0].run, again.done[0].new) == (training.run, False)


def test_a_tick_that_failed_is_not_started_again(past: Past) -> None:
    failed = past.add(FIRST, "failed")
    (training, application) = tick(past.controller, NOON, dated=True).done
    assert (training.run, training.new) == (failed, False)
    assert str(application).startswith("application of 2026-06-15T11:30:00+00:00 cannot be started: ")
    assert 'needs a model of "training"' in application.problem
    assert "failed: it broke" in application.problem


# --- while another run is open --------------------------------------------------------------------------------------


def done(past: Past, at: datetime = NOON, *, dated: bool = True) -> dict[str, str]:
    """Tick, and give by action what became of what is due: "started", "known", or why not."""
    found = tick(past.unstarted, at, dated=dated)
    return {
        one.due.action: "started" if one.new else "known" if one.run else str(one).partition(" ")[2]
        for one in found.done
    }


@pytest.fixture
def minutely(tmp_path: Path) -> Past:
    toml = HOURLY.replace('schedule = "30 * * * *"', 'schedule = "* * * * *"')
    past = Past(tmp_path / "service", toml.replace('after = ["application"]', ""))
    past.add(FIRST)
    return past


@pytest.mark.parametrize(
    ("date", "state"),
    [(NOON - timedelta(minutes=1), "running"), (NOON - timedelta(days=40), "open"), (NOON, "launched")],
)
def test_a_due_tick_waits_for_any_run_of_its_action(minutely: Past, date: datetime, state: str) -> None:
    run = minutely.add(date, state, action="application", key="by hand")
    phase = {"open": "requested", "launched": "starting"}.get(state, "running")
    assert done(minutely) == {
        "training": "known",
        "application": f"of 2026-06-15T12:00:00+00:00 waits for {run.label} ({phase})",
    }
    assert not minutely.store.get(run._replace(date=NOON, n=run.n + (date == NOON)).request)


def test_what_waits_is_started_by_the_first_tick_after_the_end(minutely: Past) -> None:
    run = minutely.add(NOON - timedelta(minutes=1), "running", action="application")
    assert "waits for" in done(minutely)["application"]
    minutely._decide(run, "failed", NOON)
    assert done(minutely)["application"] == "started"
    assert done(minutely)["application"] == "known"


def test_rows_that_are_not_delivered_yet_keep_a_run_open(tmp_path: Path) -> None:
    delivery = '[actions.application.delivery]\nfile = "p.csv"\ncolumns = "a:STRING"\n'
    past = Past(tmp_path / "service", f"{dedent(HOURLY)}\n{delivery}")
    past.add(FIRST)
    past.add(NOON - timedelta(hours=2), "undelivered", action="application")
    assert "(delivering)" in done(past)["application"]


def test_a_trial_holds_nothing_up(minutely: Past) -> None:
    minutely.add(NOON - timedelta(minutes=1), "running", action="application", trial=True)
    assert done(minutely)["application"] == "started"


def test_with_overlap_a_due_tick_does_not_wait(tmp_path: Path) -> None:
    past = Past(tmp_path / "service", HOURLY.replace('"30 * * * *"', '"30 * * * *"\n    overlap = true'))
    past.add(FIRST)
    past.add(NOON - timedelta(hours=2), "running", action="application")
    assert done(past)["application"] == "started"


def test_of_one_action_a_tick_starts_one_run(tmp_path: Path) -> None:
    both = HOURLY.replace('after = ["application"]', 'after = ["training"]\n    schedule = "0 0 * * *"')
    past = Past(tmp_path / "service", both.replace('inputs = ["training"]', ""))
    past.add(FIRST)
    found = tick(past.unstarted, NOON, dated=True)
    report = [one for one in found.done if one.due.action == "report"]
    assert [one.new for one in report] == [True, False]
    assert report[1].waits_for
    assert report[1].waits_for.run == report[0].run


def test_overlap_stands_in_no_request_that_does_not_have_it(minutely: Past) -> None:
    run = minutely.add(NOON, "open", action="application")
    assert b'"overlap"' not in (minutely.store.get(run.request) or b"")


# --- since when -----------------------------------------------------------------------------------------------------


def seen(past: Past, action: str) -> FirstSight | None:
    key = keys.first_sight("toy", past.service.version, action)
    return past.controller.execute(get(key, FirstSight))


def test_a_schedule_begins_with_its_first_tick_after_it_was_seen(past: Past) -> None:
    found = tick(past.unstarted, NOON)
    assert found.done == ()
    assert found.begins == {
        "application": datetime(2026, 6, 15, 12, 30, tzinfo=UTC),
        "training": datetime(2026, 7, 1, 4, tzinfo=UTC),
    }
    assert seen(past, "byhand") is None
    sight = seen(past, "training")
    assert (sight.since, sight.at) == ("2026-06-15T12:00:00+00:00",) * 2 if sight else False
    again = tick(past.unstarted, NOON + timedelta(minutes=29))
    assert (again.done, again.begins) == ((), {})
    assert seen(past, "training") == sight
    later = NOON + timedelta(minutes=31)
    assert done(past, later, dated=False) == {
        "training": "started",  # the first model that a due run needs, whatever its own schedule
        "application": f"of 2026-06-15T12:30:00+00:00 waits for training/{times.stamp(found.begins['application'])}-1 (starting)",
    }


def test_what_is_due_at_the_very_moment_of_the_first_sight_was_before_it(past: Past) -> None:
    assert tick(past.unstarted, LATEST).done == ()


def test_with_a_date_nothing_is_noted_and_all_is_due(past: Past) -> None:
    assert set(done(past)) == {"training", "application"}
    assert seen(past, "training") is None


def test_what_follows_others_begins_at_once(past: Past) -> None:
    past.add(FIRST)
    run = past.add(LATEST, action="application", key="by hand")
    tick(past.unstarted, NOON)
    assert done(past, dated=False) == {"training": "known", "report": "known"}
    assert past.controller.request(run._replace(action="report")).key == f"report after {run.label}"


@pytest.mark.parametrize("version", ["1", "0"])
def test_who_ticked_before_goes_on_also_in_another_version(tmp_path: Path, version: str) -> None:
    older = Past(tmp_path / "service", f'version = "{version}"\n{dedent(HOURLY)}')
    older.add(FIRST)
    for minute in range(3):
        older.add(LATEST + timedelta(minutes=minute, milliseconds=1), "failed", key=f"by hand {minute}")
    past = Past(tmp_path / "service", f'version = "1"\n{dedent(HOURLY)}')
    found = tick(past.unstarted, NOON)
    assert found.begins == {"application": datetime(2026, 6, 15, 12, 30, tzinfo=UTC)}
    assert [(one.due.action, one.due.date, one.new) for one in found.done] == [
        ("training", FIRST, version == "0")
    ]


@pytest.mark.parametrize("key", ["by hand", "training@2026-06-01T04:00:01+00:00", "dag/scheduled__2026"])
def test_a_past_that_is_not_of_ticks_is_none(past: Past, key: str) -> None:
    past.add(FIRST, key=key)
    past.add(LATEST)  # asked for with a date, by hand: it is on no tick of the schedule
    assert tick(past.unstarted, NOON).done == ()


def test_a_first_sight_is_noted_once_by_whoever_is_first(past: Past) -> None:
    tick(past.unstarted, NOON)
    first = seen(past, "training")
    tick(past.unstarted, NOON + timedelta(days=30))
    assert seen(past, "training") == first
    assert catalog_months(past) == ["2026-07"]


def catalog_months(past: Past) -> list[str]:
    return past.controller.execute(models.months("toy", "1", "training", NOON + timedelta(days=400)))


def test_ends_of_the_version_before_are_told_for_a_week(tmp_path: Path) -> None:
    older = Past(tmp_path / "service", f'version = "0"\n{dedent(HOURLY)}')
    failed = older.add(NOON - timedelta(hours=1), "failed")
    past = Past(tmp_path / "service", dedent(HOURLY))
    ended = [one.run for one in tick(past.unstarted, NOON).found.ended]
    late = [one.run for one in tick(past.unstarted, NOON + timedelta(days=8)).found.ended]
    assert (ended, failed in late) == ([failed], False)


# --- what cannot be read --------------------------------------------------------------------------------------------


def damage(past: Past, key: str) -> None:
    (past.root / ".foretell" / "store" / key).write_bytes(b"")


def test_a_model_that_cannot_be_read_holds_up_what_needs_it_and_nothing_else(past: Past) -> None:
    damage(past, past.add(FIRST).outcome)
    lately = (datetime.now(UTC) - NOON).total_seconds()
    past.add(NOON - timedelta(hours=1), "failed", action="byhand", took=lately)
    found = tick(past.unstarted, NOON, dated=True)
    training, application = found.done
    assert training.run
    assert "cannot be started: the record" in str(application)
    assert [one.run.action for one in found.found.ended] == ["byhand"]
    assert [problem.partition(" ")[0] for problem in found.found.problems] == [
        f"training/{times.stamp(FIRST)}-1"
    ]


def test_what_comes_after_a_run_that_cannot_be_read_is_a_problem(past: Past) -> None:
    past.add(FIRST)
    damage(past, past.add(LATEST, action="application").outcome)
    found = tick(past.unstarted, NOON, dated=True)
    assert "report" not in [one.due.action for one in found.done]
    assert any(problem.startswith("whether report is due is not known: ") for problem in found.found.problems)


def test_a_run_of_a_due_key_that_cannot_be_read_is_not_started_again(past: Past) -> None:
    damage(past, past.add(FIRST).request)
    found = {one.due.action: one for one in tick(past.unstarted, NOON, dated=True).done}
    assert (found["training"].run, found["training"].new) == (None, False)
    assert "cannot be read" in found["training"].problem


def test_a_first_sight_that_cannot_be_read_starts_nothing_of_its_schedule(past: Past) -> None:
    past.add(FIRST)
    tick(past.unstarted, NOON)
    damage(past, keys.first_sight("toy", "1", "application"))
    found = tick(past.unstarted, NOON + timedelta(days=40))
    assert [one.due.action for one in found.done] == ["training"]
    (problem,) = found.found.problems
    assert problem.startswith("the schedule of application is not kept: the record")
    assert problem.endswith("remove that record")


# --- models that are too old ----------------------------------------------------------------------------------------

DAILY = """
    name = "toy"
    [actions.application]
    command = "true"
    schedule = "30 * * * *"
    inputs = ["training"]
    [actions.training]
    command = "true"
    schedule = "0 6 * * *"
"""


def aging(past: Past, at: datetime = NOON) -> str:
    answer = past.controller.execute(models.current("toy", "1", "training", at))
    return models.aging(past.service, answer, at)


def test_a_model_is_old_after_twice_its_schedules_period_and_the_last_failure_is_told(tmp_path: Path) -> None:
    past = Past(tmp_path / "service", DAILY)
    run = past.add(NOON - timedelta(days=2))
    past.add(NOON - timedelta(days=1), "failed")
    past.add(NOON - timedelta(hours=1), trial=True)
    past.add(NOON, "running")
    assert aging(past) == ""
    assert aging(past, NOON + timedelta(seconds=1)) == (
        f'the model "{run.label}" is of 2026-06-13T12:00:00+00:00, older than twice the period of its schedule '
        '(0 6 * * *); "training/20260614T120000Z-1" is none: failed: it broke'
    )


def test_a_model_without_a_schedule_does_not_grow_old(tmp_path: Path) -> None:
    past = Past(tmp_path / "service", DAILY.replace('schedule = "0 6 * * *"', ""))
    past.add(NOON - timedelta(days=900))
    assert aging(past) == ""


def test_the_doctor_tells_old_models_and_schedules_of_an_older_foretell(tmp_path: Path) -> None:
    past = Past(tmp_path / "service", DAILY)
    target = past.service.targets["local"]
    assert list(ticks(past.service, target)) == []
    past.add(datetime(2026, 6, 13, 6, tzinfo=UTC))
    failed = past.add(datetime(2026, 6, 14, 6, tzinfo=UTC), "failed")
    model, due_now = ticks(past.service, target)
    assert (model.name, model.state, model.fix) == (
        "model",
        "warning",
        f"foretell show {failed.label} --on local",
    )
    assert "failed: it broke" in model.detail
    assert (due_now.name, due_now.state) == ("schedule", "warning")
    assert due_now.detail.startswith("training: ")
    tick(past.unstarted, NOON)
    assert [check.name for check in ticks(past.service, target)] == ["model"]


def test_the_line_for_cron_runs_from_anywhere(past: Past) -> None:
    file = past.root / "foretell.toml"
    line = crontab(file, "production")
    assert line.startswith("* * * * * ")
    words = shlex.split(line.removeprefix("* * * * * "))
    assert words[:4] == ["mkdir", "-p", str(past.root / ".foretell"), "&&"]
    assert words[4] == sys.executable
    log = str(past.root / ".foretell" / "tick.log")
    assert words[5:12] == ["-m", "foretell", "tick", "--on", "production", "--file", str(file)]
    assert words[12:] == ["--log", log, "2>>", log]


def test_the_line_for_cron_holds_no_percent_sign_that_cron_would_read(tmp_path: Path) -> None:
    line = crontab(tmp_path / "100% mine" / "foretell.toml", "local")
    assert "%" not in line.replace("\\%", "")
