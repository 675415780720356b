"""What the tests of Google's services share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docker.engine import Engine
from tests.google import cloud as clouds
from tests.google.cloud import Cloud
from tests.google.hypervisor import Hypervisor
from tests.google.play_compute import NoHypervisor
from tests.google.production import Production
from tests.google.storage import Storage


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
def production(
    engine: Engine, cloud: Cloud, storage: Storage, shared_hypervisor: Hypervisor, tmp_path: Path
) -> Iterator[Production]:
    """A service on machines that really boot, with a bucket of its own; no machine of a test outlives it."""
    cloud.compute.hypervisor = shared_hypervisor
    bucket = f"toy-{uuid.uuid4().hex[:12]}"
    storage.make_bucket(bucket)
    yield Production(tmp_path / "toy", cloud, storage, shared_hypervisor, bucket)
    cloud.compute.clear()
    cloud.compute.hypervisor = NoHypervisor()
    shared_hypervisor.never_boots = False
    shared_hypervisor.memory.clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.google)
