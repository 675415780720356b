"""Google's services and machines that boot, for the tests of several folders."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.standins.containers.engine import Engine
from tests.standins.google import cloud as clouds
from tests.standins.google.bigquery import BigQuery
from tests.standins.google.cloud import Cloud
from tests.standins.google.compute import NoHypervisor
from tests.standins.google.hypervisor import Hypervisor
from tests.standins.google.storage import Storage
from tests.support import conductor as conductors
from tests.support.conductor import Conductor
from tests.support.production import Production
from tests.support.theatre import Prepared, Theatre

LONG_AGO = datetime(2026, 9, 1, tzinfo=UTC)
"""Of the model that all tests apply, so that it is not newer than any date of theirs."""


@pytest.fixture(scope="session")
def shared_cloud() -> Iterator[Cloud]:
    """One stand-in of Google's other services for the session."""
    with clouds.started() as cloud:
        yield cloud


@pytest.fixture
def cloud(
    shared_cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    """The stand-in as the one that this test's programs find; what Google would have refused fails the test."""
    for name, value in shared_cloud.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path_factory.mktemp("gcloud")))
    shared_cloud.clear()
    yield shared_cloud
    complaints = list(shared_cloud.stand_in.complaints)
    shared_cloud.clear()
    assert not complaints


@pytest.fixture(scope="session")
def shared_hypervisor(
    shared_engine: Engine,
    shared_cloud: Cloud,
    shared_storage: Storage,
    shared_bigquery: BigQuery,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Hypervisor]:
    """What boots the machines of the session, in the network of the container engine."""
    shared_engine.offer_google()
    told = {**shared_cloud.stand_in.environ, **shared_storage.environ, **shared_bigquery.environ}
    hypervisor = Hypervisor(shared_engine, shared_cloud.stand_in, tmp_path_factory.mktemp("machines"), told)
    for server in (shared_storage.url, shared_bigquery.url):
        hypervisor.bridge(urlsplit(server).port or 0)
    yield hypervisor
    hypervisor.close()


@pytest.fixture
def hypervisor(
    engine: Engine, cloud: Cloud, storage: Storage, bigquery: BigQuery, shared_hypervisor: Hypervisor
) -> Iterator[Hypervisor]:
    """What boots the machines of a test; none outlives it."""
    cloud.compute.hypervisor = shared_hypervisor
    yield shared_hypervisor
    cloud.compute.clear()
    cloud.compute.hypervisor = NoHypervisor()
    shared_hypervisor.clear()


@pytest.fixture
def production(
    cloud: Cloud, storage: Storage, hypervisor: Hypervisor, bucket: str, tmp_path: Path
) -> Production:
    """A service on machines that really boot, with a bucket of its own."""
    return Production(tmp_path / "toy", cloud, storage, hypervisor, bucket)


@pytest.fixture(scope="session")
def prepared() -> Prepared:
    """What is made once, by the first test that needs it."""
    return Prepared()


@pytest.fixture(scope="session")
def shared_conductor(shared_hypervisor: Hypervisor) -> Iterator[Conductor]:
    """Whom the commands of the session ask."""
    with conductors.running() as conductor:
        shared_hypervisor.bridge(conductor.port)
        yield conductor


@pytest.fixture
def theatre(production: Production, prepared: Prepared, shared_conductor: Conductor) -> Iterator[Theatre]:
    """A service that does as it is told, with an image and a model that are made once a session."""
    found = Theatre(production, shared_conductor)
    if prepared.root is None:
        production.build()
        found.must_have(found.play("training", date=LONG_AGO), "succeeded")
        prepared.root, prepared.bucket = production.root, production.bucket
    else:
        prepared.copy_to(production.root)
        production.bucket = prepared.bucket
        found.write()
    production.cloud.compute.past.clear()
    production.cloud.stand_in.clear()
    shared_conductor.clear()
    yield found
    shared_conductor.clear()
