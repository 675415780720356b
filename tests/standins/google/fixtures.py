"""Google's services and machines that boot, for the tests of several folders."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.standins.containers.engine import Engine
from tests.standins.google import bigquery as bigqueries
from tests.standins.google import cloud as clouds
from tests.standins.google import storage as cloud_storage
from tests.standins.google.bigquery import BigQuery
from tests.standins.google.cloud import Cloud
from tests.standins.google.compute import NoHypervisor
from tests.standins.google.hypervisor import Hypervisor
from tests.standins.google.storage import Storage


@pytest.fixture(scope="session")
def shared_storage() -> Iterator[Storage]:
    """One stand-in of Cloud Storage for the session."""
    with cloud_storage.started() as storage:
        yield storage


@pytest.fixture
def storage(shared_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """The stand-in as the one that this test's programs find; without faults, and with an empty log."""
    for name, value in shared_storage.environ.items():
        monkeypatch.setenv(name, value)
    shared_storage.clear()
    yield shared_storage
    shared_storage.clear()


@pytest.fixture
def bucket(storage: Storage) -> str:
    """A bucket of this test's own, by its name."""
    return storage.make_bucket(f"test-{uuid.uuid4().hex}").removeprefix("gs://")


@pytest.fixture(scope="session")
def shared_bigquery(shared_storage: Storage) -> Iterator[BigQuery]:
    """One stand-in of BigQuery for the session, which reads from that of Cloud Storage."""
    with bigqueries.started(shared_storage.environ) as bigquery:
        yield bigquery


@pytest.fixture
def bigquery(
    shared_bigquery: BigQuery, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BigQuery]:
    """The stand-in as the one that this test's programs find; what Google would have refused fails the test."""
    for name, value in shared_bigquery.environ.items():
        monkeypatch.setenv(name, value)
    shared_bigquery.clear()
    yield shared_bigquery
    complaints = shared_bigquery.complaints()
    shared_bigquery.clear()
    shared_bigquery.empty()
    assert not complaints


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
