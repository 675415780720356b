"""Requests and launches as a run on Compute Engine has them, without a run."""

from __future__ import annotations

from typing import Any

from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.protocol.records import Launch, Request
from foretell.service.model import Action, Source, Target
from foretell.service.times import Times
from foretell.warehouses.bigquery.settings import BigQuerySettings

PROJECT = "example-project"
RUN = "toy/1.2/training/2026-11/20261121T060000.123Z-1"
IMAGE = "europe-docker.pkg.dev/example/services/toy@sha256:" + "0" * 64
STORE = "gs://bucket/x"


def settings(**more: Any) -> ComputeEngineSettings:
    return ComputeEngineSettings(**{"project": PROJECT, "zones": ("europe-west1-b",), **more})


def request(platform: ComputeEngineSettings, *, timeout: float = 60, **times: float) -> Request:
    secrets = {"KEY": "projects/p/secrets/s/versions/1"}
    return Request(
        key="k",
        uid="u",
        service="toy",
        version="1.2",
        action="training",
        date="2026-11-21T06:00:00.123Z",
        n=1,
        store="ab12",
        spec=Action(name="training", command=("true",), timeout=timeout, secrets=secrets),
        target=Target(
            name="production",
            store="gs://bucket",
            platform=platform,
            warehouse=BigQuerySettings(dataset="d"),
            times=Times(**times),
        ),
        source=Source(),
        fingerprint="f",
        image=IMAGE,
        env={"TOKEN": "hush"},
        asked_at="",
    )


def launch(**more: Any) -> Launch:
    told = {"nonce": "a1b2", "machine": "toy-training-1-a1b2", "failures_left": 0, "losses_left": 2}
    return Launch(**{**told, **more})
