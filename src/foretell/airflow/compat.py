"""Where Airflow 3.1, 3.2 and 3.3 keep what is used here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, TypeAlias

PLACES = {
    "AirflowException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AirflowFailException": ("airflow.sdk.exceptions", "airflow.exceptions"),
    "AssetOrTimeSchedule": ("airflow.sdk", "airflow.timetables.assets"),
    "CronTriggerTimetable": ("airflow.sdk", "airflow.timetables.trigger"),
    "conf": ("airflow.sdk", "airflow.configuration"),
}
"""The newest place first."""

Context: TypeAlias = Mapping[str, Any]
"""What Airflow tells a task: its own objects by name."""
Report: TypeAlias = dict[str, object]
"""What a task leaves for whoever looks at it: values of JSON."""


@cache
def find(name: str) -> Any:
    """Return a part of Airflow, from wherever this version has it."""
    for place in PLACES[name]:
        found = getattr(import_module(place), name, None)
        if found is not None:
            return found
    raise ImportError(f"Airflow has no {name}; Foretell needs Airflow 3.1 or newer")
