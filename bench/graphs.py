"""A thousand services as Airflow reads them: Foretell, plain DAGs, the seed articles' loader, dag-factory."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent
from typing import TypeAlias

from uv import find_uv_bin

from bench import timing
from bench.timing import Usage
from foretell.system import paths

SERVICES = 1000
ROUNDS = 3
PROCESSED = 100
"""Services that the whole dag-processor goes over, which takes it a tenth of a second for each file."""
DATABASE = "airflow.db"
BASE = "plain `DAG()`s"
PEERS = Path(__file__).parent / "peers"
ROOT = Path(__file__).parents[1]
NEEDS = ("dag-factory==1.1.0", "apache-airflow-providers-postgres==7.1.1")
"""Beside Airflow in the very version that Foretell is tested with."""
QUIET = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRFLOW__DAG_FACTORY__ENABLE_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
}
"""Variables by which nobody tells anything about us."""
PROBE = """
import gc, json, sys, time
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
gc.freeze()
wall, cpu = time.perf_counter(), time.process_time()
bag = DagBag(sys.argv[1], collect_dags=False)
bag.collect_dags(sys.argv[1], only_if_updated=False)
took = [time.perf_counter() - wall, time.process_time() - cpu]
assert not bag.import_errors, list(bag.import_errors.values())[0]
print(json.dumps([*took, len(bag.dags), sum(len(dag.tasks) for dag in bag.dags.values())]))
"""
"""
Reads a folder by the code of the dag-processor, which has Airflow loaded and frozen before it begins. Prints seconds,
and what there is.
"""

Layouts: TypeAlias = Mapping[str, Callable[[Path, list[str]], None]]
"""How everybody's services are written into a folder, by name."""
STEPS = ("start", "wait", "check", "stop")
PLAIN = """\
from datetime import datetime
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator

for name, ticks in {services}.items():
    with DAG(name, schedule=ticks, start_date=datetime(2026, 1, 1), catchup=False) as dag:
        start, wait, check, stop = [
            BashOperator(task_id=step, bash_command=f"make training-{{step}}")
            for step in ("start", "wait", "check", "stop")
        ]
        start >> wait >> check >> stop
    globals()[name] = dag
"""
FORETELL = """\
from foretell.airflow import dags

globals().update(dags(__file__))
"""
SERVICE = """\
name = "{name}"

[actions.training]
schedule = "{ticks}"
command = "python -m prediction.main --action training --config configs/training.json"
"""
FACTORY = """\
from pathlib import Path
from airflow.sdk import DAG
from dagfactory import load_yaml_dags

load_yaml_dags(globals_dict=globals(), {what})
"""
YAML = """\
{name}:
  default_args:
    start_date: 2026-01-01
  schedule: "{ticks}"
  catchup: false
  tasks:
"""
STEP = """\
    - task_id: {step}
      operator: airflow.providers.standard.operators.bash.BashOperator
      bash_command: make training-{step}
"""


def main() -> None:
    """Print four tables: a file for each service, and one file for all, parsed, and by the whole dag-processor."""
    parser = argparse.ArgumentParser(prog="python -m bench.graphs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--services", type=int, default=SERVICES)
    parser.add_argument("--processed", type=int, default=PROCESSED)
    arguments = parser.parse_args()
    python = environment()
    print(timing.machine())
    for title, layouts in (("a file for each service", EACH), ("one file for all", ALL)):
        if arguments.services:
            print(f"\n{_parsed(python, title, layouts, arguments.services, arguments.rounds)}", flush=True)
        if arguments.processed:
            pair = {name: layouts[name] for name in (BASE, "Foretell")}
            print(f"\n{_processed(python, title, pair, arguments.processed, arguments.rounds)}", flush=True)


def _parsed(python: Path, title: str, layouts: Layouts, services: int, rounds: int) -> str:
    """Parse by the code of the dag-processor, in a process that does nothing else."""
    with _written(python, layouts, services) as places:
        found = {name: _parser(python, place, services) for name, place in places.items()}
        results = timing.in_turn(found, rounds=rounds)
    rows = [
        [
            name,
            timing.spread(usage.wall for usage in usages),
            timing.spread(timing.ratios(results, name, BASE, lambda usage: usage.cpu)),
            f"{1000 * statistics.median(usage.cpu for usage in usages) / services:.2f}",
        ]
        for name, usages in results.items()
    ]
    return timing.table(
        [f"{services:,} services parsed, {title}", "seconds", "CPU, ratio", "ms a service"], rows
    )


def _processed(python: Path, title: str, layouts: Layouts, services: int, rounds: int) -> str:
    """Let the dag-processor itself go over them once; what it takes for nothing is not counted."""
    nothing: Layouts = {"nothing": lambda _place, _services: None}
    with _written(python, {**nothing, **layouts}, services) as places:
        found = {name: _processor(python, place) for name, place in places.items()}
        results = timing.in_turn(found, rounds=rounds, warmup=0)
    idle = [usage.cpu for usage in results.pop("nothing")]
    cost = {
        name: [usage.cpu - nothing for usage, nothing in zip(usages, idle, strict=True)]
        for name, usages in results.items()
    }
    rows = [
        [
            name,
            timing.spread(ours / base for ours, base in zip(taken, cost[BASE], strict=True)),
            timing.spread((1000 * cpu / services for cpu in taken), 0),
        ]
        for name, taken in cost.items()
    ]
    return timing.table(
        [f"{services:,} services through the dag-processor, {title}", "CPU, ratio", "ms a service"], rows
    )


@contextmanager
def _written(python: Path, layouts: Layouts, services: int) -> Iterator[dict[str, Path]]:
    """Write everybody's files, each into a folder of its own, in an Airflow of its own."""
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as aside:
        home = Path(aside)
        migrate = [python, "-m", "airflow", "db", "migrate"]
        subprocess.run(migrate, env=_environ(home / "dags"), check=True, capture_output=True)
        places = {}
        for number, (name, write) in enumerate(layouts.items()):
            place = places[name] = home / str(number) / "dags"
            place.mkdir(parents=True)
            shutil.copy(home / DATABASE, place.parent)
            write(place, [f"service-{number:04}" for number in range(services)])
        yield places


def environment() -> Path:
    """Give the Python of an environment with Airflow, the others, and the Foretell of this directory; made once."""
    release = version("apache-airflow")
    place = paths.cache(os.environ) / "bench" / f"airflow-{release}"
    python, made_for = place / "bin" / "python", place / "made-for"
    if not made_for.exists() or made_for.read_text() != str(ROOT):
        subprocess.run(
            [find_uv_bin(), "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True
        )
        install = [find_uv_bin(), "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
        pinned = ["--constraints", ROOT / "constraints.txt", f"apache-airflow=={release}", *NEEDS]
        subprocess.run([*install, *pinned, "--editable", ROOT], check=True)
        made_for.write_text(str(ROOT))
    return python


def _environ(place: Path) -> dict[str, str]:
    """Give the variables of an Airflow whose graphs are in this folder, and whose database is beside it."""
    return timing.environment(
        **QUIET,
        AIRFLOW_HOME=str(place.parent),
        AIRFLOW__CORE__DAGS_FOLDER=str(place),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{place.parent / DATABASE}",
    )


def _processor(python: Path, place: Path) -> Callable[[], Usage]:
    command = [python, "-m", "airflow", "dag-processor", "--num-runs", "1"]
    return partial(timing.command, command, cwd=place, env=_environ(place))


def _parser(python: Path, place: Path, services: int) -> Callable[[], Usage]:
    env = _environ(place)

    def go() -> Usage:
        done = subprocess.run(
            [python, "-c", PROBE, place], env=env, check=True, stdout=subprocess.PIPE, cwd=place
        )
        wall, cpu, graphs, tasks = json.loads(done.stdout.splitlines()[-1])
        if graphs != services or tasks < 3 * services:
            raise AssertionError(f"{place}: {graphs} graphs, {tasks} tasks")
        return Usage(wall, cpu)

    return go


# --- what they write --------------------------------------------------------------------------------------------------


def _ticks(name: str) -> str:
    """Give a service's schedule: once a month, at a time that it shares with nobody."""
    hour, minute = divmod(int(name.rpartition("-")[2]), 60)
    return f"{minute} {hour} 1 * *"


def _plain(place: Path, services: list[str]) -> None:
    """A folder of repositories, as everybody's here."""
    for name in services:
        (place / name).mkdir()
        (place / name / "graph.py").write_text(PLAIN.format(services={name: _ticks(name)}))


def _plain_at_once(place: Path, services: list[str]) -> None:
    (place / "all.py").write_text(PLAIN.format(services={name: _ticks(name) for name in services}))


def _foretell(place: Path, services: list[str]) -> None:
    for name in services:
        _service(place / name, name)
        (place / name / "dags.py").write_text(FORETELL)


def _foretell_at_once(place: Path, services: list[str]) -> None:
    for name in services:
        _service(place / name, name)
    (place / "dags.py").write_text(FORETELL)


def _service(home: Path, name: str) -> None:
    home.mkdir()
    (home / "foretell.toml").write_text(SERVICE.format(name=name, ticks=_ticks(name)))


def _seed(place: Path, services: list[str]) -> None:
    """A folder of repositories, in each the loader of the seed articles and the graph that it reads, as JSON."""
    loader = (PEERS / "loader.py").read_text()
    for name in services:
        home = place / name / "scheduler"
        (home / "configs").mkdir(parents=True)
        (home / "training.py").write_text(loader)
        graph = {
            "graph": {
                "dag_id": f"{name}-training",
                "schedule": _ticks(name),
                "start_date": "2026-01-01",
                "catchup": False,
                "max_active_runs": 1,
            },
            "tasks": [{"name": step, "code": f"make training-{step}"} for step in STEPS[:3]],
            "dependencies": [["wait", "start"], ["check", "wait"]],
        }
        (home / "configs" / "training.json").write_text(json.dumps(graph, indent=4))


def _factory(place: Path, services: list[str]) -> None:
    for name in services:
        (place / name).mkdir()
        (place / name / "graph.yml").write_text(_yaml(name))
        what = 'config_filepath=str(Path(__file__).with_name("graph.yml"))'
        (place / name / "graph.py").write_text(FACTORY.format(what=what))


def _factory_at_once(place: Path, services: list[str]) -> None:
    for name in services:
        (place / f"{name}.yml").write_text(_yaml(name))
    (place / "all.py").write_text(FACTORY.format(what="dags_folder=str(Path(__file__).parent)"))


def _yaml(name: str) -> str:
    told = YAML.format(name=name, ticks=_ticks(name))
    for before, step in zip(("", *STEPS), STEPS, strict=False):
        told += STEP.format(step=step)
        told += f"      dependencies: [{before}]\n" if before else ""
    return dedent(told)


EACH: Layouts = {
    BASE: _plain,
    "Foretell": _foretell,
    "the seed's loader": _seed,
    "dag-factory": _factory,
}
ALL: Layouts = {BASE: _plain_at_once, "Foretell": _foretell_at_once, "dag-factory": _factory_at_once}


if __name__ == "__main__":
    main()
