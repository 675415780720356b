"""The plan of a target in Google's cloud: it asks nobody, and is what a start then asks for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foretell.protocol.records import Launch, StoreId, decode
from foretell.store.directory import STORE_RECORD
from tests.standins.google.cloud import PROJECT, Cloud
from tests.standins.google.storage import Storage

FORETELL = [sys.executable, "-m", "foretell"]
IMAGE = f"europe-docker.pkg.dev/{PROJECT}/services/toy@sha256:{'0' * 64}"
SERVICE = f"""\
name = "toy"
[actions.training]
command = "true"
retries = 1
secrets = {{TOKEN = "projects/{PROJECT}/secrets/token/versions/3"}}
[targets.production]
store = "gs://BUCKET"
[targets.production.platform]
kind = "compute-engine"
project = "{PROJECT}"
zones = ["europe-west1-b", "europe-west1-c"]
machine_type = ["n2-standard-2", "n2-highmem-2"]
labels = {{team = "models"}}
"""
DELIVERS = """\
[targets.here.warehouse]
kind = "bigquery"
dataset = "toy"
[actions.application]
command = "true"
[actions.application.delivery]
file = "predictions.csv"
columns = "a:STRING"
"""


@pytest.fixture
def service(tmp_path: Path, bucket: str) -> Path:
    (tmp_path / "foretell.toml").write_text(SERVICE.replace("BUCKET", bucket))
    return tmp_path


def foretell(service: Path, *args: str) -> str:
    command = [*FORETELL, *args, "--on", "production", "--image", IMAGE, "--date", "2026-11-21T06:00:00Z"]
    done = subprocess.run(command, cwd=service, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_plan_asks_nobody(service: Path, cloud: Cloud, storage: Storage) -> None:
    told = json.loads(foretell(service, "plan", "training"))
    assert told["machine"]["POST"].endswith("/zones/europe-west1-b/instances?requestId=<of attempt and zone>")
    assert told["machine"]["next zones"] == ["europe-west1-c"]
    assert cloud.stand_in.log == []
    assert storage.log() == []


def test_a_start_asks_for_what_was_planned(
    service: Path, cloud: Cloud, storage: Storage, bucket: str
) -> None:
    plan = json.loads(foretell(service, "plan", "training"))["machine"]["body"]
    foretell(service, "start", "training")
    (seen,) = cloud.stand_in.seen("compute.instances.insert")
    store = decode(storage.read(bucket, STORE_RECORD), StoreId, STORE_RECORD).id
    (name,) = (name for name in storage.names(bucket) if name.endswith("/launch.json"))
    launch = decode(storage.read(bucket, name), Launch, name)
    assert filled(plan, launch, store) == seen.body


@pytest.mark.parametrize("target", ["production", "here"])
def test_a_plan_of_a_delivery_needs_no_credentials_and_nobody_to_ask(tmp_path: Path, target: str) -> None:
    """Addresses are Google's own, of which none is to be had here; rows come from the bucket, or are sent along."""
    (tmp_path / "foretell.toml").write_text(SERVICE.replace("BUCKET", "toy") + DELIVERS)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    command = [*FORETELL, "plan", "application", "--on", target]
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    asked = json.loads(done.stdout)["delivery"]
    project = PROJECT if target == "production" else "<the project of the credentials>"
    upload = "upload/" if target == "here" else ""
    own = f"https://bigquery.googleapis.com/bigquery/v2/projects/{project}"
    assert asked[0]["POST"] == f"{own}/datasets"
    assert asked[0]["body"]["location"] == "EU"
    load, deliver = asked[-2:]
    assert load["POST"] == f"https://bigquery.googleapis.com/{upload}bigquery/v2/projects/{project}/jobs"
    assert ("sourceUris" in load["body"]["configuration"]["load"]) == (target == "production")
    assert "BEGIN TRANSACTION" in deliver["body"]["configuration"]["query"]["query"]
    assert "<the number of rows>" in str(deliver["body"])


def filled(plan: Any, launch: Launch, store: str) -> Any:
    """The plan with what only the start could know."""
    text = json.dumps(plan).replace("toy-training-1-<new>", launch.machine).replace("<new>", launch.nonce)
    return json.loads(text.replace("<the store's id>", store))
