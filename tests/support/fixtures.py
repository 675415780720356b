"""A service on machines that really boot, for the tests of several folders."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.standins.google.cloud import Cloud
from tests.standins.google.hypervisor import Hypervisor
from tests.standins.google.storage import Storage
from tests.support import conductor as conductors
from tests.support.conductor import Conductor
from tests.support.production import Production
from tests.support.theatre import Prepared, Theatre

LONG_AGO = datetime(2026, 9, 1, tzinfo=UTC)
"""Of the model that all tests apply, so that it is not newer than any date of theirs."""


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
