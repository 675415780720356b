"""Whole runs by the command line: records in a bucket, predictions in BigQuery."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from foretell.protocol.records import Receipt, decode
from tests.standins.google.bigquery import BigQuery
from tests.standins.google.faults import Fault
from tests.standins.google.storage import Storage

FORETELL = Path(sys.executable).with_name("foretell")
SERVICE = """\
name = "toy"
[actions.training]
command = "/bin/sh train.sh"
[actions.application]
command = "/bin/sh apply.sh"
inputs = ["training"]
[actions.application.delivery]
file = "predictions.csv"
columns = "a:STRING,b:INT64,seen:DATETIME"
mode = "partition"
partition = "day"
[targets.production]
store = "gs://{bucket}/runs"
[targets.production.warehouse]
kind = "bigquery"
dataset = "{dataset}"
location = "{location}"
"""
APPLY = 'printf "a,b,seen\\nx,1,2026-11-21 06:00:00\\ny,2,\\n" > output/predictions.csv\n'
PATIENCE = 120


class Service:
    """A service on this machine, which delivers to BigQuery."""

    def __init__(self, root: Path, bucket: str, location: str = "EU") -> None:
        self.root = root
        root.mkdir()
        dataset = f"toy_{uuid.uuid4().hex[:12]}"
        text = SERVICE.format(bucket=bucket, dataset=dataset, location=location)
        (root / "foretell.toml").write_text(text)
        (root / "train.sh").write_text("echo model > output/model.txt\n")
        (root / "apply.sh").write_text(APPLY)

    def __call__(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [FORETELL, *args, "--on", "production"]
        done = subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == code, done.stderr
        return done


@pytest.fixture
def service(tmp_path: Path, bigquery: BigQuery, bucket: str) -> Service:
    return Service(tmp_path / "toy", bucket)


def test_a_day_from_training_to_rows(
    service: Service, bigquery: BigQuery, storage: Storage, bucket: str
) -> None:
    service("run", "training", "--date", "2026-11-20")
    done = service("run", "application", "--date", "2026-11-21")
    service("run", "application", "--date", "2026-11-20")  # a backfill
    found = json.loads(service("predictions", "--json").stdout)
    assert found["table"] == "predictions"
    newest = [{"a": "x", "b": 1, "seen": "2026-11-21T06:00:00", "day": "2026-11-21"}]
    newest += [{"a": "y", "b": 2, "seen": None, "day": "2026-11-21"}]
    rows = sorted(found["rows"], key=lambda row: (row["day"], row["a"]), reverse=True)
    assert sorted(rows[:2], key=lambda row: row["a"]) == newest
    assert len(rows) == 4
    assert not [seen for seen in bigquery.log() if "/upload/" in seen.target]  # it read the bucket itself
    owner = service("claim", "predictions").stdout.strip()
    assert owner.endswith("/toy/application")
    label = done.stdout.split()[0]
    (copy,) = [
        name for name in storage.names(bucket) if name.endswith(f"{label.partition('/')[2]}/delivery.json")
    ]
    receipt = decode(storage.read(bucket, copy), Receipt, copy)
    assert (receipt.state, receipt.rows, receipt.table) == ("delivered", 2, "predictions")


def test_the_warehouse_is_seen_before_anything_is_started(
    tmp_path: Path, bigquery: BigQuery, bucket: str
) -> None:
    service = Service(tmp_path / "toy", bucket, location="asia-east1")
    service("run", "training")
    told = service("start", "application", code=2).stderr
    assert "does not load from the bucket" in told
    assert "gcloud storage buckets create" in told
    bigquery.fault(Fault(action="status", status=403, count=None))
    assert "gcloud projects add-iam-policy-binding" in service("start", "application", code=3).stderr
    bigquery.clear()
    assert "nothing" in service("runs", "application").stderr or not service("runs", "application").stdout


def test_rows_that_the_agent_could_not_deliver_are_delivered_by_who_waits(
    service: Service, bigquery: BigQuery
) -> None:
    service("run", "training")
    toml = service.root / "foretell.toml"
    toml.write_text(toml.read_text() + '[targets.production.times]\ndeliver = "2s"\n')
    bigquery.fault(Fault(action="status", status=403, match="/tables", count=None))
    label = service("start", "application").stdout.strip()
    assert "not delivered yet" in service("wait", label, code=3).stderr
    bigquery.clear()
    service("wait", label)
    service("check", label)
    assert len(json.loads(service("predictions", "--json").stdout)["rows"]) == 2


def test_a_plan_shows_what_is_then_asked_for_and_asks_nobody(
    service: Service, bigquery: BigQuery, storage: Storage
) -> None:
    """The same bodies in the same order, but for what stands as <…>."""
    service("run", "training", "--date", "2026-11-20")
    storage.clear()
    bigquery.clear()
    plan = json.loads(service("plan", "application", "--date", "2026-11-21").stdout)["delivery"]
    assert storage.log() == []
    assert bigquery.log() == []
    service("run", "application", "--date", "2026-11-21")
    made = bigquery.made()
    assert [step["POST"].rpartition("/")[2] for step in plan] == [
        *("datasets", "tables", "jobs", "tables", "jobs", "tables", "jobs", "jobs")
    ]
    assert len(made) == len(plan)
    for planned, real in zip(plan, made, strict=True):
        path = planned["POST"].partition("/bigquery/v2")[2]
        must_be_the_same(path, real["path"].partition("/bigquery/v2")[2])
        must_be_the_same(planned["body"], real["body"])


def must_be_the_same(planned: Any, real: Any) -> None:
    """Hold what was sent against the plan: <…> is anything that is not empty, and <and so on> ends a list."""
    match planned:
        case dict():
            assert isinstance(real, dict)
            assert planned.keys() == real.keys()
            for key in planned:
                must_be_the_same(planned[key], real[key])
        case [*first, "<and so on>"]:
            must_be_the_same(first, real[: len(first)])
        case list():
            assert len(planned) == len(real)
            for each, found in zip(planned, real, strict=True):
                must_be_the_same(each, found)
        case str():
            parts = re.split(r"<(?:new|the [^>]+|a day later)>", planned)
            assert re.fullmatch(".+".join(map(re.escape, parts)), str(real), re.DOTALL), (planned, real)
        case _:
            assert planned == real
