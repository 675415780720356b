"""Both graphs on Google Cloud: machines that boot, rows in BigQuery, a link to each; nothing of it is left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from foretell.protocol.keys import Run
from tests.standins.airflow.browser import Browser
from tests.standins.airflow.components import Components
from tests.standins.google.cloud import PROJECT
from tests.support.fleet import DAGS, YEARLY
from tests.support.production import Production

pytestmark = [pytest.mark.airflow, pytest.mark.google, pytest.mark.docker]

NEEDED = ("foretell.toml", "foretell.lock")
"""What Airflow's folder has of a service whose code is in its image."""
TRAIN = """\
echo "begun to learn"
echo '{"accuracy": 0.75}' > output/metrics.json
echo learned > output/model
"""
APPLY = r'[ "$(cat output/model)" = learned ] && printf "a,b\nx,1\ny,2\n" > output/predictions.csv'
DELIVERED = """\
after = ["training"]
inputs = ["training"]
[actions.application.delivery]
file = "predictions.csv"
columns = "a:STRING,b:INT64"
"""
ENDLESS = "echo begun; sleep 600"
PATIENCE = 300.0
PATIENT = {"stale": "20s", "lease": "60s", "boot": "120s"}
"""So that no machine counts as lost because Airflow's components have the cores."""


@pytest.fixture
def airflow(production: Production, tmp_path: Path) -> Iterator[Components]:
    """Airflow's components, in whose environment Google's services are those of the test."""
    production.times |= PATIENT
    production.command("training", TRAIN, more=YEARLY)
    production.command("application", APPLY, more=DELIVERED)
    production.command("endless", ENDLESS, more=YEARLY)
    file = production.root / "foretell.toml"
    file.write_text(f'target = "production"\n{file.read_text()}')
    production.build()
    found = Components(tmp_path / "scheduler")
    place = found.dags / "toy"
    place.mkdir()
    for name in NEEDED:
        shutil.copy(production.root / name, place)
    (place / "dags.py").write_text(DAGS)
    try:
        found.up()
        found.wait_dags("toy-training", "toy-application", "toy-endless")
        yield found
    finally:
        found.end()


def test_a_training_its_application_and_a_run_that_a_person_ends(
    production: Production, airflow: Components, browser: Browser, tmp_path: Path
) -> None:
    assert airflow.import_errors() == {}
    run = airflow.trigger("toy-training")
    assert airflow.wait_run("toy-training", run, PATIENCE) == "success", production.tell()
    assert "begun to learn" in airflow.log("toy-training", run, "wait")
    assert airflow.xcom("toy-training", run, "check")["metrics"] == {"accuracy": 0.75}
    _must_link_to_all_but_a_table(production, airflow, run)

    (follower,) = airflow.until(lambda: list(airflow.runs("toy-application")), "the application")
    assert airflow.wait_run("toy-application", follower, PATIENCE) == "success", production.tell()
    rows = json.loads(production.foretell("predictions", "--json").stdout)["rows"]
    assert sorted((row["a"], row["b"]) for row in rows) == [("x", 1), ("y", 2)]
    report = airflow.xcom("toy-application", follower, "check")
    assert report["delivery"] == {"table": "predictions", "state": "delivered", "rows": 2}
    assert report["inputs"] == {"training": _run(production, "training").label}
    (table,) = {airflow.links("toy-application", follower, task)["Table"] for task in ("check", "stop")}
    assert f"d={production.dataset}&t=predictions" in table
    production.must_leave_nothing()
    page = airflow.page("toy-application", follower, "check")
    browser.open(page, "2 rows in predictions (delivered)")
    browser.picture(tmp_path / "log.png")
    browser.open(f"{page}/details")
    shown = browser.wait_links("Machine", "Log", "Bucket", "Table")
    browser.picture(tmp_path / "links.png")
    assert shown["Table"] == table
    assert shown["Log"] == airflow.links("toy-application", follower, "check")["Log"]

    run = airflow.trigger("toy-endless")
    airflow.wait_task("toy-endless", run, "wait", "deferred", patience=PATIENCE)
    production.begun(_run(production, "endless"))
    assert len(production.cloud.compute.alive) == 1
    airflow.mark("toy-endless", run, "wait", "failed")
    assert airflow.wait_run("toy-endless", run, PATIENCE) == "failed"
    assert production.outcome(_run(production, "endless")).kind == "cancelled"
    production.must_leave_nothing()
    assert len(production.cloud.compute.past) == 3


def _run(production: Production, action: str) -> Run:
    """The one run of an action."""
    listed = json.loads(production.foretell("runs", action, "--json").stdout)
    (found,) = listed["runs"]
    return production.controller.find(found["run"])


def _must_link_to_all_but_a_table(production: Production, airflow: Components, run: str) -> None:
    label = _run(production, "training")
    for task in ("start", "wait", "check", "stop"):
        links = airflow.links("toy-training", run, task)
        assert f"/compute/instances?project={PROJECT}" in links["Machine"]
        assert f'labels.run="{label.id}"' in unquote(links["Log"])
        assert f"/storage/browser/{production.bucket}/{label.folder}" in unquote(links["Bucket"])
        assert not links["Table"]
