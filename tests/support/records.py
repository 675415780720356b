"""Requests and launches without a run: whole, and what a test says nothing of is what it need not know."""

from __future__ import annotations

from typing import Any

from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.platforms.process.settings import ProcessSettings
from foretell.protocol.keys import Run
from foretell.protocol.records import Launch, Request
from foretell.service.model import Action, Service, Source, Target
from foretell.service.times import Times
from foretell.system import times as moments
from foretell.warehouses.bigquery.settings import BigQuerySettings
from foretell.warehouses.duckdb.settings import DuckDBSettings

PROJECT = "example-project"
RUN = "toy/1.2/training/2026-11/20261121T060000.123Z-1"
IMAGE = "europe-docker.pkg.dev/example/services/toy@sha256:" + "0" * 64
STORE = "gs://bucket/x"


def request(run: Run | None = None, **more: Any) -> Request:
    """Return the request of a run; `more` are its fields where they are not as here."""
    told = {
        "service": "toy",
        "version": "1",
        "action": "training",
        "date": "2026-11-21T06:00:00+00:00",
        "n": 1,
    }
    if run:
        told = {**run._asdict(), "date": moments.rfc3339(run.date)}
    filled = {
        "key": "k",
        "uid": "u",
        "store": "s",
        "spec": Action(name=str(more.get("action", told["action"])), command=("true",)),
        "target": Target(
            name="local", store="file:///s", platform=ProcessSettings(), warehouse=DuckDBSettings(path="/w")
        ),
        "source": Source(),
        "fingerprint": "f",
        "asked_at": more.get("date", told["date"]),
    }
    return Request(**{**told, **filled, **more})


def request_of(
    service: Service, action: str, target: str = "local", run: Run | None = None, **more: Any
) -> Request:
    """Return the request for an action of a service that has been read from its file."""
    of_service = {"service": service.name, "version": service.version, "action": action}
    parts = {
        "spec": service.actions[action],
        "target": service.targets[target],
        "source": service.source,
    }
    return request(run, **({} if run else of_service), **parts, **more)


def launch(**more: Any) -> Launch:
    told = {"nonce": "a1b2", "machine": "toy-training-1-a1b2", "failures_left": 0, "losses_left": 2}
    return Launch(**{**told, **more})


# --- on Compute Engine ------------------------------------------------------------------------------------------------


def settings(**more: Any) -> ComputeEngineSettings:
    return ComputeEngineSettings(**{"project": PROJECT, "zones": ("europe-west1-b",), **more})


def request_on(platform: ComputeEngineSettings, *, timeout: float = 60, **times: float) -> Request:
    """Return the request of RUN, with an image, a secret and a variable that is one."""
    secrets = {"KEY": "projects/p/secrets/s/versions/1"}
    return request(
        version="1.2",
        date="2026-11-21T06:00:00.123Z",
        store="ab12",
        spec=Action(name="training", command=("true",), timeout=timeout, secrets=secrets),
        target=Target(
            name="production",
            store="gs://bucket",
            platform=platform,
            warehouse=BigQuerySettings(dataset="d"),
            times=Times(**times),
        ),
        image=IMAGE,
        env={"TOKEN": "hush"},
    )
