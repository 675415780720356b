"""The plan of a target in Google's cloud: it asks nobody, and is what a start then asks for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foretell.names import STORE_RECORD
from foretell.records import Launch, StoreId, decode
from tests.google.cloud import PROJECT, Cloud
from tests.google.storage import Storage

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


def filled(plan: Any, launch: Launch, store: str) -> Any:
    """The plan with what only the start could know."""
    text = json.dumps(plan).replace("toy-training-1-<new>", launch.machine).replace("<new>", launch.nonce)
    return json.loads(text.replace("<the store's id>", store))
