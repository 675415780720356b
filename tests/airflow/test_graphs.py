"""What a parse gives: the graphs of a service, what they cost to read, and what they are given in Python."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.toy import Toy

pytestmark = pytest.mark.airflow

HEAVY = (
    "obstore",
    "duckdb",
    "_duckdb",
    "google",
    "requests",
    "foretell.store",
    "foretell.controller.controller",
)


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path / "dags" / "toy")


def graphs(toy: Toy, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = importlib.import_module("foretell.airflow").dags(toy.place / "dags.py", **options)
    return found


def test_a_graph_for_each_action_that_runs_by_itself(toy: Toy) -> None:
    more = '\n[actions.byhand]\ncommand = "true"\n'
    (toy.place / "foretell.toml").write_text((toy.place / "foretell.toml").read_text() + more)
    found = graphs(toy)
    assert list(found) == ["toy-training", "toy-application"]
    for name, dag in found.items():
        action = name.partition("-")[2]
        assert dag.dag_id == name
        start, wait, check, stop = (
            dag.get_task(f"{action}.{task}") for task in ("start", "wait", "check", "stop")
        )
        assert start.downstream_task_ids == {wait.task_id, stop.task_id}
        assert wait.downstream_task_ids == {check.task_id, stop.task_id}
        assert check.downstream_task_ids == {stop.task_id}
        assert stop.is_teardown
        assert stop.on_failure_fail_dagrun
        assert not start.is_setup, "a setup would be run again whenever another task is cleared"
        assert wait.retries >= 2


def test_schedules_keep_their_time_zone_and_follow_their_assets(toy: Toy) -> None:
    found = graphs(toy)
    timetable = importlib.import_module("foretell.airflow.compat").find("CronTriggerTimetable")
    assert found["toy-training"].timetable == timetable("0 4 1 * *", timezone="Europe/Stockholm")
    both = found["toy-application"].timetable
    assert both.timetable == timetable("0 6 * * *", timezone="Europe/Stockholm")
    (asset,) = both.asset_condition.objects
    assert asset in found["toy-training"].get_task("training.check").outlets
    uris = [outlet.uri for outlet in found["toy-application"].get_task("application.check").outlets]
    assert uris[0] == "foretell://toy/application"
    assert uris[1].startswith("duckdb:/")
    assert uris[1].endswith("/.foretell/warehouse.duckdb/main/predictions")


def test_what_the_service_file_and_python_say_reaches_the_graph(tmp_path: Path) -> None:
    more = '\n[actions.training.airflow]\ncatchup = true\nstart = "2026-05-01"\nretries = 5\nretry_delay = "2m"\n'
    more += 'pool = "big"\nqueue = "far"\nowner = "science"\ntags = ["costly"]\nmax_active_runs = 3\npaused = false\n'
    toy = Toy(tmp_path / "dags" / "toy", more=more)
    seen: list[object] = []
    found = graphs(
        toy,
        on_failure_callback=seen.append,
        tags=["ours"],
        actions={"application": {"max_active_tasks": 2, "default_args": {"owner": "ops"}}},
    )
    dag = found["toy-training"]
    assert (dag.catchup, dag.max_active_runs, dag.is_paused_upon_creation) == (True, 3, False)
    assert dag.start_date.isoformat() == "2026-04-30T22:00:00+00:00"
    assert dag.tags == {"toy", "foretell", "costly", "ours"}
    start, wait = dag.get_task("training.start"), dag.get_task("training.wait")
    assert (start.pool, start.queue, start.owner, start.retries) == ("big", "far", "science", 5)
    assert (start.retry_delay.total_seconds(), wait.retry_delay.total_seconds()) == (120, 10)
    assert dag.on_failure_callback == seen.append
    other = found["toy-application"]
    assert (other.max_active_tasks, other.get_task("application.start").owner) == (2, "ops")
    assert other.on_failure_callback == seen.append


def test_a_graph_survives_being_stored_and_says_the_same_at_every_parse(toy: Toy) -> None:
    module = importlib.import_module("airflow.serialization.serialized_objects")
    storage = (
        getattr(module, "DagSerialization", None) or module.SerializedDAG
    )  # the latter before Airflow 3.2
    for name, dag in graphs(toy).items():
        stored = storage.to_dict(dag)
        assert json.dumps(stored, sort_keys=True) == json.dumps(
            storage.to_dict(graphs(toy)[name]), sort_keys=True
        )
        back = storage.from_dict(json.loads(json.dumps(stored)))
        assert back.task_dict.keys() == dag.task_dict.keys()
        assert set(back.get_task(f"{name.partition('-')[2]}.wait").extra_links) == {
            "Machine",
            "Log",
            "Bucket",
            "Table",
        }


def test_the_page_of_a_graph_shows_its_service(toy: Toy) -> None:
    page = graphs(toy)["toy-application"].doc_md
    assert "│ training    │  0 4 1 * *" in page
    assert "┃ application ┃  0 6 * * * · after training\n" in page
    assert "┗━━━━━━━━━━━━━┛  → predictions (one partition a day)" in page
    assert "customer STRING, score FLOAT64" in page


def test_parsing_loads_no_store_and_no_cloud(toy: Toy) -> None:
    script = f"""
import sys
import airflow.sdk
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable
before = set(sys.modules)
from foretell.airflow import dags
assert len(dags({str(toy.place)!r})) == 2
new = set(sys.modules) - before
print(*sorted(name for name in new if name.split(".")[0] in {HEAVY!r} or name in {HEAVY!r} or name == "pydantic"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.split() == []


def test_a_copy_that_a_run_works_on_is_no_service_of_its_own(toy: Toy) -> None:
    copy = toy.place / ".foretell" / "snapshots" / "x"
    copy.mkdir(parents=True)
    (copy / "foretell.toml").write_text((toy.place / "foretell.toml").read_text())
    assert importlib.import_module("foretell.airflow").dags(copy / "dags.py") == {}


def test_a_worker_reads_only_the_service_that_it_needs(tmp_path: Path) -> None:
    place = tmp_path / "dags"
    for name in ("one", "one-more", "other"):
        Toy(place / f"place-of-{name}", name=name)
    module = importlib.import_module("airflow.sdk.definitions._internal.dag_parsing_context")
    dags = importlib.import_module("foretell.airflow").dags
    assert len(dags(place / "all.py")) == 6
    with module._airflow_parsing_context_manager(dag_id="one-more-training"):
        assert "one-more-training" in (found := dags(place / "all.py"))
        assert not any(name.startswith("other") for name in found)
