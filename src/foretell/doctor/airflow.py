"""Whether Airflow can run a service's graphs, where it is installed beside Foretell."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from foretell.service.model import Service, Target
from foretell.system.check import Check

OLDEST = (3, 1)


def airflow(service: Service, target: Target) -> Iterator[Check]:
    """Look at its version, and say where the graphs' runs would be executed; nothing where there is no Airflow."""
    try:
        found = version("apache-airflow-core")
    except PackageNotFoundError:
        return
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        yield Check(
            name="airflow",
            state="missing",
            detail=f"{found} is too old",
            fix="install Airflow 3.1 or newer, or `pip install 'foretell[airflow]'`",
        )
        return
    graphs = sum(bool(action.schedule or action.after) for action in service.actions.values())
    detail = f"{found}; graphs of {service.name}: {graphs}"
    if not target.platform.is_remote:
        detail += f'; on "{target.name}" they run on the worker, so workers and triggerer must be one machine'
    yield Check(name="airflow", state="ok", detail=detail)
