"""Ticks: oldest later, newest not later, across changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from foretell.service.model import Action
from foretell.service.schedule import effective, expression, following, interval, period, previous

STOCKHOLM = "Europe/Stockholm"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_tick_is_in_the_time_zone_of_the_service() -> None:
    assert previous("0 7 * * *", STOCKHOLM, at("2026-01-15T12:00")) == at("2026-01-15T06:00")
    assert previous("0 7 * * *", STOCKHOLM, at("2026-07-15T12:00")) == at("2026-07-15T05:00")
    assert following("0 7 * * *", "UTC", at("2026-07-15T12:00")) == at("2026-07-16T07:00")


def test_previous_is_the_tick_itself_when_it_is_one_and_following_is_later() -> None:
    tick = at("2026-01-15T06:00")
    assert previous("0 7 * * *", STOCKHOLM, tick) == tick
    assert following("0 7 * * *", STOCKHOLM, tick) == tick + timedelta(days=1)


@pytest.mark.parametrize(
    "away", [timedelta(microseconds=1), timedelta(milliseconds=500), timedelta(seconds=1)]
)
def test_a_moment_before_a_tick_is_before_it_and_a_moment_after_is_after(away: timedelta) -> None:
    tick = at("2026-01-15T06:00")
    assert previous("0 7 * * *", STOCKHOLM, tick - away) == tick - timedelta(days=1)
    assert previous("0 7 * * *", STOCKHOLM, tick + away) == tick
    assert following("0 7 * * *", STOCKHOLM, tick - away) == tick


def test_an_interval_runs_from_the_tick_before() -> None:
    tick = at("2026-03-01T00:00")
    assert interval("@monthly", "UTC", tick) == (at("2026-02-01T00:00"), tick)


def test_a_day_without_a_time_has_its_tick_right_after_the_gap() -> None:
    # On 2026-03-29 in Stockholm 02:00 is followed by 03:00.
    assert previous("30 2 * * *", STOCKHOLM, at("2026-03-29T12:00")) == at("2026-03-29T01:00")


def test_a_time_that_comes_twice_a_day_has_one_tick() -> None:
    # On 2026-10-25 in Stockholm 03:00 is followed by 02:00.
    tick = at("2026-10-25T00:30")
    assert previous("30 2 * * *", STOCKHOLM, at("2026-10-25T12:00")) == tick
    assert previous("30 2 * * *", STOCKHOLM, at("2026-10-25T01:15")) == tick
    assert following("30 2 * * *", STOCKHOLM, tick) == at("2026-10-26T01:30")


def test_an_interval_over_a_change_of_the_clocks_is_an_hour_shorter() -> None:
    start, end = interval("0 7 * * *", STOCKHOLM, at("2026-03-29T05:00"))
    assert end - start == timedelta(hours=23)


CHANGES = ["2024-03-31T01:00", "2024-10-27T01:00", "2011-04-02T15:00", "2011-10-01T15:30", "2011-12-30T10:00"]
ZONES = ["UTC", STOCKHOLM, "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]
LINES = ["30 2 * * *", "15 */2 * * *", "*/20 * * * *", "10 1-3 * * *", "30 * * * *", "59 23 * * 0"]


@pytest.mark.parametrize("timezone", ZONES)
@pytest.mark.parametrize("line", LINES)
def test_ticks_are_the_same_from_both_sides_around_changes_of_the_clocks(line: str, timezone: str) -> None:
    for change in CHANGES:
        for hours in (-25.0, -0.25, 0.75, 1.5):
            moment = at(change) + timedelta(hours=hours)
            before, after = previous(line, timezone, moment), following(line, timezone, moment)
            assert before <= moment < after
            assert previous(line, timezone, after) == after
            assert previous(line, timezone, after - timedelta(seconds=1)) == before
            assert following(line, timezone, before) == after


def test_shorthands_stand_for_their_lines() -> None:
    assert expression("@daily") == expression("@midnight") == "0 0 * * *"
    assert expression(" @Weekly ") == "0 0 * * 0"
    assert expression("0  7 * *   MON-FRI") == "0 7 * * MON-FRI"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("99 * * * *", "bad minute"),
        ("* * * *", "five fields"),
        ("0 * * * * *", "five fields"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("@dayly", "shorthands"),
        ("", "five fields"),
        ("* * * * ☃", "consist of"),
        (f"{'9' * 5000} * * * *", "consist of"),
    ],
)
def test_what_is_no_schedule_is_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        expression(line)


def test_an_action_comes_due_by_its_schedule_and_by_those_it_comes_after() -> None:
    def action(name: str, *, schedule: str | None = None, after: tuple[str, ...] = ()) -> Action:
        return Action(name=name, command=("true",), schedule=schedule, after=after)

    actions = {
        "training": action("training", schedule="@monthly"),
        "testing": action("testing", after=("training",)),
        "application": action("application", after=("testing", "training")),
        "by_hand": action("by_hand"),
        "report": action("report", schedule="@daily", after=("application",)),
    }
    assert effective(actions, "training") == ("@monthly",)
    assert effective(actions, "application") == ("@monthly",)
    assert effective(actions, "by_hand") == ()
    assert effective(actions, "report") == ("@daily", "@monthly")


@pytest.mark.parametrize(
    ("line", "at", "days"),
    [
        ("0 7 * * *", "2026-11-27T12:00", 1),
        ("0 7 * * 1-5", "2026-11-27T12:00", 3),
        ("0 7 * * 1-5", "2026-11-29T12:00", 3),
        ("0 0 1 * *", "2026-11-27T12:00", 31),
        ("*/15 * * * *", "2026-11-27T12:00", 1 / 96),
        ("0 0 29 2 *", "2026-11-27T12:00", 1461),
    ],
)
def test_a_period_is_the_longest_time_between_neighbours(line: str, at: str, days: float) -> None:
    found = period(line, "UTC", datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert found == timedelta(days=days)


def test_a_period_is_measured_by_what_there_was() -> None:
    assert period("0 0 * 2 1#5", "UTC", datetime(2026, 11, 27, tzinfo=UTC)) > timedelta(days=365 * 20)
