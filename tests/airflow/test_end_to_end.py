"""From an empty directory to rows in the warehouse, by Airflow's own scheduler, triggerer and workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.airflow.browser import Browser
from tests.airflow.components import Components

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
    components: Components, browser: Browser, tmp_path: Path
) -> None:
    foretell("init", "churn", cwd=components.dags)
    service = components.dags / "churn"
    components.wait_dags("churn-training", "churn-application")
    assert components.import_errors() == {}
    run = components.trigger("churn-training")
    assert components.wait_run("churn-training", run) == "success"
    assert set(components.states("churn-training", run).values()) == {"success"}
    assert "accuracy" in components.log("churn-training", run, "wait")
    report = components.xcom("churn-training", run, "check")
    assert report["outcome"] == "succeeded"
    assert report["metrics"]["accuracy"]

    (follower,) = components.until(lambda: list(components.runs("churn-application")), "the application")
    assert components.wait_run("churn-application", follower) == "success"
    report = components.xcom("churn-application", follower, "check")
    assert report["delivery"] == {"table": "predictions", "state": "delivered", "rows": 80}
    rows = foretell("predictions", "--limit", "0", cwd=service)
    assert len(rows["rows"]) == 80
    runs = foretell("runs", cwd=service)
    assert sorted(one["state"] for one in runs["runs"]) == ["succeeded", "succeeded"]

    dag = "churn-application"
    browser.open(components.page(dag), "0 of 1", "Created Asset Events")
    browser.picture(tmp_path / "grid.png")
    assert f"{components.page(dag)}/runs/{follower}/tasks/group/application" in browser.links().values()
    browser.click("Dag Docs")
    browser.wait_text("Dag Documentation", "→ predictions (one partition a day)")
    page = browser.open(components.page(dag, follower), "application.start", "application.stop")
    browser.picture(tmp_path / "run.png")
    assert page.count("Success") == 5, "the run and its four tasks"
    browser.open(components.page("churn-training", run, "wait"), "] INFO - ", "accuracy")
    browser.picture(tmp_path / "log.png")
    browser.open(components.page(dag, follower, "check"), "succeeded: 80 rows in predictions (delivered)")
