"""[actions.X.airflow]: how Airflow schedules an action."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from foretell.service.model import AirflowSettings
from foretell.service.positions import KeyPath
from foretell.service.problems import Faults
from foretell.service.reader import Given
from foretell.system.times import rfc3339


def scheduling(given: Given, path: KeyPath, timezone: str, faults: Faults) -> AirflowSettings:
    """Resolve the table; what is wrong becomes faults. Dates without an offset are in the service's time zone."""
    written = AirflowSettings(**given)
    start = _date(written.start, (*path, "start"), timezone, faults)
    end = _date(written.end, (*path, "end"), timezone, faults)
    if written.catchup and written.start is None:
        faults.add((*path, "catchup"), '"catchup" needs a start date: write start = "2026-01-01"')
    if start and end and end < start:
        faults.add((*path, "end"), f'"end" is before "start": {written.end} < {written.start}')
    for key in ("pool", "queue", "owner"):
        if key in given and not given[key].strip():
            faults.add((*path, key), f'"{key}" is empty; leave it out for Airflow\'s default')
    return replace(written, start=rfc3339(start) if start else None, end=rfc3339(end) if end else None)


def _date(text: str | None, path: KeyPath, timezone: str, faults: Faults) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=_zone(timezone))
    except ValueError:
        faults.add(path, f'"{path[-1]}" is not a date: "{text}"; write "2026-11-21" or "2026-11-21T07:00"')
        return None


def _zone(name: str) -> ZoneInfo:
    """Return a time zone; that it is none is told elsewhere."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")
