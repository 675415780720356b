"""From an empty directory to rows in the warehouse, by Airflow's own scheduler, triggerer and workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.standins.airflow.browser import Browser
from tests.standins.airflow.components import Components

pytestmark = pytest.mark.airflow


def foretell(*arguments: str, cwd: Path) -> Any:
    """Run a verb; give its document."""
    done = subprocess.run(
        [sys.executable, "-m", "foretell", *arguments, "--json"],
        cwd=cwd,
        env=os.environ,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout)


def test_both_graphs_run_and_the_application_follows_the_training(
    shared: Components, browser: Browser, tmp_path: Path
) -> None:
    foretell("init", "churn", cwd=shared.dags)
    service = shared.dags / "churn"
    shared.wait_dags("churn-training", "churn-application")
    assert not [file for file in shared.import_errors() if "churn" in file]
    run = shared.trigger("churn-training")
    assert shared.wait_run("churn-training", run) == "success"
    assert set(shared.states("churn-training", run).values()) == {"success"}
    assert "accuracy" in shared.log("churn-training", run, "wait")
    report = shared.xcom("churn-training", run, "check")
    assert report["outcome"] == "succeeded"
    assert report["metrics"]["accuracy"]

    (follower,) = shared.until(lambda: list(shared.runs("churn-application")), "the application")
    assert shared.wait_run("churn-application", follower) == "success"
    report = shared.xcom("churn-application", follower, "check")
    assert report["delivery"] == {"table": "predictions", "state": "delivered", "rows": 80}
    rows = foretell("predictions", "--limit", "0", cwd=service)
    assert len(rows["rows"]) == 80
    runs = foretell("runs", cwd=service)
    assert sorted(one["state"] for one in runs["runs"]) == ["succeeded", "succeeded"]

    dag = "churn-application"
    browser.open(shared.page(dag), "0 of 1", "Created Asset Events")
    browser.picture(tmp_path / "grid.png")
    assert f"{shared.page(dag)}/runs/{follower}/tasks/group/application" in browser.links().values()
    browser.click("Dag Docs")
    browser.wait_text("Dag Documentation", "→ predictions (one partition a day)")
    page = browser.open(shared.page(dag, follower), "application.start", "application.stop")
    browser.picture(tmp_path / "run.png")
    assert page.count("Success") == 5, "the run and its four tasks"
    browser.open(shared.page("churn-training", run, "wait"), "] INFO - ", "accuracy")
    browser.picture(tmp_path / "log.png")
    browser.open(shared.page(dag, follower, "check"), "succeeded: 80 rows in predictions (delivered)")
