"""
A service's actions as Airflow's graphs: `start >> wait >> check`, and a teardown `stop`.

Loaded by every parse of a DAG file, so it imports neither the store nor any platform, and says the same every time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from airflow.sdk import DAG, Asset, TaskGroup, get_parsing_context

from foretell import platforms, warehouses  # noqa: F401 - they know the kinds that a service file names
from foretell.airflow.assets import model, outlets
from foretell.airflow.broken import BrokenDag
from foretell.airflow.compat import find
from foretell.airflow.dag_docs import describe, documentation
from foretell.airflow.operators import CheckOperator, StartOperator, StopOperator, WaitOperator
from foretell.errors import UsageError
from foretell.service import load, schedule
from foretell.service.load import FILE
from foretell.service.model import Action, AirflowSettings, Service

WORK = ".foretell"
LEAST_RETRIES = 2
"""Of `wait`: Airflow may take a resumed task for one that died, and the next try goes on where it was."""
SOON = timedelta(seconds=10)

Options: TypeAlias = Mapping[str, Any]
"""Arguments of a DAG, whatever Python has for them."""


def dags(path: str | Path, *, actions: Mapping[str, Options] | None = None, **options: Any) -> dict[str, DAG]:
    """
    Return the graphs of the service, or of all the services, that the file `path` stands for, by name.

    That is the service whose foretell.toml stands beside it, else those in the directories beside it, else the one
    above. `options` go to every DAG (callbacks, deadlines: whatever is Python), `actions` has more for single ones.
    Raises ServiceFileError where a single service is broken; of several, a broken one takes no other with it.
    """
    chosen = {name: {**options, **more} for name, more in (actions or {}).items()}
    place = Path(os.path.realpath(path))
    place = place if place.is_dir() else place.parent
    if WORK in place.parts:
        return {}  # a copy that a run on this machine works on, where a repository lies in the DAGs folder
    if (place / FILE).is_file():
        return _graphs(load.load(place / FILE, environ=os.environ), options, chosen)
    services = sorted(file for file in place.glob(f"*/{FILE}"))
    if not services:
        return _graphs(load.load(load.find(place), environ=os.environ), options, chosen)
    return _several(services, options, chosen)


def _several(files: list[Path], options: Options, chosen: Mapping[str, Options]) -> dict[str, DAG]:
    found: dict[str, DAG] = {}
    services: dict[Path, Service] = {}
    homes: dict[str, Path] = {}
    # In two passes, for each finds its code in the processor's caches: together they take a third longer.
    for file in _wanted(files):
        with _apart(file, found):
            service = load.load(file, environ=os.environ)
            _must_be_alone(service, file, homes)
            services[file] = service
    for file, service in services.items():
        with _apart(file, found):
            found |= _graphs(service, options, chosen)
    return found


@contextmanager
def _apart(file: Path, found: dict[str, DAG]) -> Iterator[None]:
    """Have whatever is wrong with a service told in its place; it must not take the other services with it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a fault of Airflow's or ours, a callback's that Python was told
        found[f"broken {file.parent.name}"] = BrokenDag(file, error)


def _must_be_alone(service: Service, file: Path, homes: dict[str, Path]) -> None:
    if homes.setdefault(service.name, file) != file:
        raise UsageError(
            f'there are two services of the name "{service.name}"',
            where=str(file),
            why=f"the other is {homes[service.name]}",
            hint="give this one another name",
        )


def _wanted(files: list[Path]) -> list[Path]:
    """Return the files that may hold what is asked for: a worker needs one graph, not those of a thousand services."""
    dag_id = get_parsing_context().dag_id
    if not dag_id:
        return files
    words = dag_id.split("-")
    names = {f'"{"-".join(words[:count])}"' for count in range(1, len(words))}
    likely = [file for file in files if _mentions(file, names)]
    return likely or files


def _mentions(file: Path, names: set[str]) -> bool:
    try:
        text = file.read_text(encoding="utf-8", errors="replace").replace("'", '"')
    except OSError:
        return True
    return any(name in text for name in names)


# --- one service ------------------------------------------------------------------------------------------------------


def _graphs(service: Service, options: Options, chosen: Mapping[str, Options]) -> dict[str, DAG]:
    return {
        dag.dag_id: dag
        for action in service.actions.values()
        if action.schedule or action.after
        for dag in [_graph(service, action, {**options, **chosen.get(action.name, {})})]
    }


def _graph(service: Service, action: Action, options: dict[str, Any]) -> DAG:
    settings = action.airflow
    defaults = {**_defaults(settings), **options.pop("default_args", {})}
    told: dict[str, Any] = {
        "start_date": _moment(settings.start),
        "end_date": _moment(settings.end),
        "catchup": settings.catchup,
        "max_active_runs": settings.max_active_runs,
        "is_paused_upon_creation": settings.paused,
        "description": describe(service, action),
        "doc_md": documentation(service, action),
        **options,
        "tags": sorted({service.name, "foretell", *settings.tags, *options.get("tags", ())}),
        "default_args": defaults,
    }
    told.setdefault("schedule", _schedule(service, action))
    dag_id = f"{service.name}-{action.name}"
    with DAG(dag_id, schedule=told.pop("schedule"), **told) as dag, TaskGroup(action.name):
        _tasks(service, action)
    return dag


def _tasks(service: Service, action: Action) -> None:
    settings, about = action.airflow, (service.root, action.name)
    start = StartOperator(task_id="start").about(*about)
    wait = WaitOperator(
        task_id="wait",
        retries=max(LEAST_RETRIES, settings.retries),
        retry_delay=min(SOON, timedelta(seconds=settings.retry_delay)),
    ).about(*about)
    check = CheckOperator(task_id="check", outlets=outlets(service, action, os.environ)).about(*about)
    stop = StopOperator(task_id="stop").about(*about)
    start >> [wait, stop]
    wait >> [check, stop]
    check >> stop
    # Without `setups`: a setup would be run again whenever another task is cleared, and `stop` left out if it failed.
    stop.as_teardown(on_failure_fail_dagrun=True)


def _defaults(settings: AirflowSettings) -> dict[str, object]:
    told = {"owner": settings.owner, "pool": settings.pool, "queue": settings.queue}
    return {
        "retries": settings.retries,
        "retry_delay": timedelta(seconds=settings.retry_delay),
        **{name: value for name, value in told.items() if value is not None},
    }


def _schedule(service: Service, action: Action) -> Any:
    """Return what starts an action: its ticks, the actions it comes after, or both."""
    assets: list[Asset] = [model(service, name) for name in action.after]
    if action.schedule is None:
        return assets
    ticks = find("CronTriggerTimetable")(schedule.expression(action.schedule), timezone=service.timezone)
    return find("AssetOrTimeSchedule")(timetable=ticks, assets=assets) if assets else ticks


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
