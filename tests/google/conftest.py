"""What the tests of Google's services share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.google import cloud as clouds
from tests.google.cloud import Cloud


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.google)
