"""Google's services and machines that boot, for the tests of several folders."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docker.engine import Engine
from tests.google import cloud as clouds
from tests.google import conductor as conductors
from tests.google.cloud import Cloud
from tests.google.conductor import Conductor
from tests.google.hypervisor import Hypervisor
from tests.google.play_compute import NoHypervisor
from tests.google.production import Production
from tests.google.storage import Storage
from tests.google.theatre import Prepared, Theatre


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
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Hypervisor]:
    """What boots the machines of the session, in the network of the container engine."""
    shared_engine.offer_google()
    told = {**shared_cloud.stand_in.environ, **shared_storage.environ}
    hypervisor = Hypervisor(shared_engine, shared_cloud.stand_in, tmp_path_factory.mktemp("machines"), told)
    hypervisor.bridge(urlsplit(shared_storage.url).port or 0)
    yield hypervisor
    hypervisor.close()


@pytest.fixture
def hypervisor(
    engine: Engine, cloud: Cloud, storage: Storage, shared_hypervisor: Hypervisor
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
    found = Theatre(production, shared_conductor, f"test-{uuid.uuid4().hex[:12]}")
    if prepared.root is None:
        production.build()
        found.must_have(found.play("training"), "succeeded")
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
