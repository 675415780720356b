"""Which run a run of a graph is: its key, date and interval, from what Airflow knows of it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from foretell.system import times


class Identity(NamedTuple):
    """The key and date that a run is asked for by, and the interval where Airflow has one."""

    key: str
    date: datetime
    interval: tuple[datetime, datetime] | None

    @property
    def shown_interval(self) -> tuple[str, str] | None:
        """Return the interval as records have it."""
        return (times.rfc3339(self.interval[0]), times.rfc3339(self.interval[1])) if self.interval else None


def identity(dag_run: Any, timezone: str) -> Identity:
    """
    Return the identity of a graph's run.

    Its date is the partition key, else the end of the data interval, else the logical date, else when it became due;
    in UTC, to the millisecond. `timezone` is meant where a partition key has no offset.
    """
    start, end = dag_run.data_interval_start, dag_run.data_interval_end
    date = _partition(getattr(dag_run, "partition_key", None), timezone) or end
    date = _exact(date or dag_run.logical_date or dag_run.run_after)
    # The interval of a plain cron line is empty in Airflow: there it follows from the schedule, as for `tick`.
    known = start is not None and end is not None and start < end and _exact(end) == date
    return Identity(
        key=f"{dag_run.dag_id}/{dag_run.run_id}",
        date=date,
        interval=(_exact(start), date) if known else None,
    )


def generation(max_tries: int, retries: int) -> int:
    """
    Tell which clearing of a task this is: 0 for none, else another number each time.

    Airflow grants `retries` more tries than were used when a task is cleared, and none when it tries again by itself.
    """
    return max(0, max_tries - retries)


def _partition(key: str | None, timezone: str) -> datetime | None:
    """Read a partition key as the date that it is; None for one of another kind."""
    try:
        found = datetime.fromisoformat(key or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=ZoneInfo(timezone))


def _exact(date: datetime) -> datetime:
    """Return a date as a run has it."""
    return times.exact(date if type(date) is datetime else datetime.fromtimestamp(date.timestamp(), UTC))
