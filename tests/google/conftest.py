"""What the tests of Google's services share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.google.storage import Storage, started


@pytest.fixture(scope="session")
def shared_storage() -> Iterator[Storage]:
    """One stand-in of Cloud Storage for the session."""
    with started() as storage:
        yield storage


@pytest.fixture
def storage(shared_storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """The stand-in as the one that this test's programs find; without faults, and with an empty log."""
    for name, value in shared_storage.environ.items():
        monkeypatch.setenv(name, value)
    shared_storage.clear()
    yield shared_storage
    shared_storage.clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.google)
