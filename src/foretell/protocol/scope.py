"""Who delivers, and what one delivery replaces."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def owner(store: str, service: str, action: str) -> str:
    """Who delivers: one action of one service from one store, whatever its version."""
    return f"{store}/{service}/{action}"


def scope(table: str, partition: str | None) -> str:
    """What one delivery replaces: the table, or one partition of it."""
    return table if partition is None else f"{table}${partition}"


def partition(granularity: str, date: datetime, timezone: str) -> str:
    """Return the value of the partition column for a run's date: an ISO date, or for hours a time with its offset."""
    local = date.astimezone(ZoneInfo(timezone))
    match granularity:
        case "hour":
            return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC).isoformat()
        case "month":
            return local.date().replace(day=1).isoformat()
        case _:
            return local.date().isoformat()
