"""[actions.X.airflow]: how Airflow schedules an action."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from foretell.service.durations import seconds
from foretell.service.form import AirflowTable
from foretell.service.model import AirflowSettings
from foretell.service.positions import KeyPath
from foretell.service.problems import Faults
from foretell.system.times import rfc3339


def scheduling(table: AirflowTable, path: KeyPath, timezone: str, faults: Faults) -> AirflowSettings:
    """Resolve the table; what is wrong becomes faults. Dates without an offset are in the service's time zone."""
    start = _date(table.start, (*path, "start"), timezone, faults)
    end = _date(table.end, (*path, "end"), timezone, faults)
    if table.catchup and table.start is None:
        faults.add((*path, "catchup"), '"catchup" needs a date to begin at: write start = "2026-01-01"')
    if start and end and end < start:
        faults.add((*path, "end"), f'"end" is before "start": {table.end} < {table.start}')
    for key in ("pool", "queue", "owner"):
        if getattr(table, key) is not None and not getattr(table, key).strip():
            faults.add((*path, key), f'"{key}" is empty; leave it out for Airflow\'s default')
    return AirflowSettings(
        catchup=table.catchup,
        start=rfc3339(start) if start else None,
        end=rfc3339(end) if end else None,
        max_active_runs=table.max_active_runs,
        retries=table.retries,
        retry_delay=seconds(table.retry_delay, (*path, "retry_delay"), faults),
        pool=table.pool,
        queue=table.queue,
        tags=table.tags,
        owner=table.owner,
        paused=table.paused,
    )


def _date(text: str | None, path: KeyPath, timezone: str, faults: Faults) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=_zone(timezone))
    except ValueError:
        faults.add(path, f'"{path[-1]}" is no date: "{text}"; write "2026-11-21" or "2026-11-21T07:00"')
        return None


def _zone(name: str) -> ZoneInfo:
    """Return a time zone; that it is none is told elsewhere."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")
