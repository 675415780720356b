"""What all tests share: which of them belong to the second stage, and the servers of some."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.standins.containers.engine import Engine, started
from tests.standins.google import bigquery as bigqueries
from tests.standins.google import storage as cloud_storage
from tests.standins.google.bigquery import BigQuery
from tests.standins.google.fixtures import (
    cloud,
    hypervisor,
    prepared,
    production,
    shared_cloud,
    shared_conductor,
    shared_hypervisor,
    theatre,
)
from tests.standins.google.storage import Storage

# named here and nowhere else: one that is named in two places is made twice
__all__ = [
    "cloud",
    "hypervisor",
    "prepared",
    "production",
    "shared_cloud",
    "shared_conductor",
    "shared_hypervisor",
    "theatre",
]

# the same code gets the same inputs in CI; others are tried by hand and by make soak
settings.register_profile("ci", derandomize=True, database=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

SLOW = {"acceptance", "contract", "docker", "google", "property"}
"""Folders whose tests start processes, engines and databases, or try hundreds of inputs: not in the first stage."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[Engine]:
    """One container engine for the session; who needs it is visibly skipped where there can be none."""
    # a short name, for Podman takes none of more than 50 characters, and gone afterwards, for images are large
    with (
        tempfile.TemporaryDirectory(prefix="foretell-", ignore_cleanup_errors=True) as home,
        started(Path(home)) as engine,
    ):
        yield engine


@pytest.fixture
def engine(shared_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine as the one that this test's programs find; no container of a test outlives it."""
    shared_engine.adopt(monkeypatch)
    yield shared_engine
    shared_engine.clear()


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
