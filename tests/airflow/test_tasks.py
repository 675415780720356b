"""The tasks in Airflow's own test run, in this process: each important path once."""

from __future__ import annotations

import importlib
import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foretell.controller.survey import Memory, survey
from tests.airflow.toy import Toy

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("default"),  # Airflow's own
]


@pytest.fixture(scope="module")
def toy(airflow_home: Path) -> Toy:
    importlib.import_module("airflow.utils.db").initdb()
    return Toy(airflow_home / "dags" / "toy")


def play(toy: Toy, action: str) -> tuple[str, dict[str, Any]]:
    """Run a graph; give how it ended, and the states of its tasks."""
    dag = runpy.run_path(str(toy.place / "dags.py"))[f"{toy.name}-{action}"]
    run = dag.test()
    tasks = importlib.import_module("airflow.models.taskinstance").TaskInstance
    with importlib.import_module("airflow.utils.session").create_session() as session:
        found = session.query(tasks).filter_by(dag_id=dag.dag_id, run_id=run.run_id).all()
        return str(run.state), {task.task_id.rpartition(".")[2]: task.state for task in found}


def test_a_training_and_its_application_end_green_with_rows(toy: Toy) -> None:
    assert play(toy, "training") == ("success", dict.fromkeys(("start", "wait", "check", "stop"), "success"))
    assert play(toy, "application")[0] == "success"
    assert [state for _, state in toy.runs("application")] == ["succeeded"]
    assert must_be_told(toy) == ["application", "training"]


def must_be_told(toy: Toy) -> list[str]:
    """That `check` showed each end is on record, so `tick` tells none; give whose ends these are."""
    found = survey(toy.controller, Memory(), horizon=datetime(2026, 1, 1, tzinfo=UTC))
    assert (found.ended, found.open) == ([], [])
    words = sorted(toy.controller.store.directory.rglob("told/tick.json"))
    assert all(b'"by": "Airflow, ' in word.read_bytes() for word in words)
    return sorted(word.parents[3].name for word in words)


def test_a_failure_of_today_stays_red_whatever_yesterday_was(toy: Toy) -> None:
    toy.fail("training")
    state, tasks = play(toy, "training")
    toy.fail("training", bad=False)
    assert state == "failed"
    assert (tasks["wait"], tasks["check"], tasks["stop"]) == ("success", "failed", "failed")
    assert [state for _, state in toy.runs("training")][-1] == "failed"
    must_be_told(toy)
