"""
Schedules: the ticks of a cron line in a time zone. Pure; UTC datetimes in and out.

Across a change of the clocks a fixed time behaves as in Debian's cron: a skipped one comes right after the
gap, a repeated one comes once. Lines with a star in minutes or hours go by elapsed time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from foretell.service.model import Action

SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
SECOND = timedelta(seconds=1)
FIELDS = 5
LONG = timedelta(days=365 * 28)
NEIGHBOURS = 6
"""Ticks by which a period is measured: a week of weekdays has five, and a gap."""
LONGEST = 200
"""Characters of a cron line; whatever is longer is a mistake, and slow to read."""


@lru_cache(1024)  # to find out whether it ever comes due takes 0.1 ms
def expression(schedule: str) -> str:
    """Return the five fields of a schedule; ValueError with the reason if it is none or never comes due."""
    line = SHORTHANDS.get(schedule.strip().lower(), " ".join(schedule.split()))
    if line.startswith("@"):
        raise ValueError(f"the shorthands are {', '.join(SHORTHANDS)}")
    if len(line.split()) != FIELDS:
        raise ValueError("it needs five fields: minute, hour, day of month, month, day of week")
    if len(line) > LONGEST or not re.fullmatch(r"[0-9A-Za-z*/,#\- ]+", line):
        raise ValueError("fields consist of numbers, names of days and months, and * / , - #")
    try:
        next(CronSim(line, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(str(error).lower()) from None
    except StopIteration:
        raise ValueError("it never matches a date") from None
    return line


def following(schedule: str, timezone: str, at: datetime) -> datetime:
    """Return the oldest tick later than `at`."""
    return next(tick for tick in _ticks(schedule, timezone, at) if tick > at)


def previous(schedule: str, timezone: str, at: datetime) -> datetime:
    """Return the newest tick that is not later than `at`."""
    for start in _earlier(schedule, timezone, at):
        newest = None
        for tick in _ticks(schedule, timezone, start - SECOND):
            if tick > at:
                break
            newest = tick
        if newest:
            return newest
    raise ValueError(f'the schedule "{schedule}" has no time before {at}')


def interval(schedule: str, timezone: str, tick: datetime) -> tuple[datetime, datetime]:
    """Return the data interval of a tick: from the tick before it to the tick itself."""
    return previous(schedule, timezone, tick - SECOND), tick


def period(schedule: str, timezone: str, at: datetime) -> timedelta:
    """Return the longest time between neighbours of the newest ticks, so that a weekend counts among weekdays."""
    ticks = [previous(schedule, timezone, at)]
    with suppress(ValueError):  # one that comes due every 28 years was not so often
        while len(ticks) <= NEIGHBOURS:
            ticks.append(previous(schedule, timezone, ticks[-1] - SECOND))
    return max((later - earlier for later, earlier in pairwise(ticks)), default=LONG)


def effective(actions: Mapping[str, Action], name: str) -> tuple[str, ...]:
    """Return the schedules by which an action comes due: its own, and those of the actions it comes after."""
    action = actions[name]
    own = (action.schedule,) if action.schedule else ()
    inherited = (schedule for earlier in action.after for schedule in effective(actions, earlier))
    return tuple(dict.fromkeys((*own, *inherited)))


def _ticks(schedule: str, timezone: str, start: datetime) -> Iterator[datetime]:
    for tick in CronSim(expression(schedule), _local(start, timezone)):
        yield tick.astimezone(UTC)


def _earlier(schedule: str, timezone: str, at: datetime) -> Iterator[datetime]:
    # Iteration backwards is only trusted for where to begin: around a change of the clocks it gives ticks
    # that iteration forwards does not know (changes by half an hour) and misses some of a repeated hour.
    ticks = CronSim(expression(schedule), _local(at, timezone) + SECOND, reverse=True)
    for tick in islice(ticks, 1, None):
        yield tick.astimezone(UTC)


def _local(at: datetime, timezone: str) -> datetime:
    return at.astimezone(ZoneInfo(timezone)).replace(microsecond=0)
