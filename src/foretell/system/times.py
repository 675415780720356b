"""Dates as text: in run ids, in records, and where texts are sorted."""

from __future__ import annotations

import re
from datetime import UTC, datetime

STAMP = re.compile(r"\d{8}T\d{6}(?:\.\d{3})?Z")


def stamp(date: datetime) -> str:
    """Return a date as it stands in a run id: UTC, basic ISO format, milliseconds only where there are any."""
    date = date.astimezone(UTC)
    fraction = f".{date.microsecond // 1000:03d}" if date.microsecond else ""
    return f"{date:%Y%m%dT%H%M%S}{fraction}Z"


def unstamp(text: str) -> datetime:
    """Read what `stamp` wrote; ValueError for anything else."""
    # not by strptime, whose first call loads calendars and locales for longer than everything else here takes
    if not STAMP.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def exact(date: datetime) -> datetime:
    """Return a date as runs have it: UTC, to the millisecond."""
    date = date.astimezone(UTC)
    return date.replace(microsecond=date.microsecond // 1000 * 1000)


def rfc3339(date: datetime) -> str:
    """Return a date as the environment and the records show it: UTC, to the second or millisecond."""
    date = date.astimezone(UTC)
    return date.isoformat(timespec="milliseconds" if date.microsecond else "seconds")


def sortable(date: datetime) -> str:
    """Return a date as text that sorts as the dates do: UTC, always with milliseconds."""
    return date.astimezone(UTC).isoformat(timespec="milliseconds")
