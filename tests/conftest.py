"""What all tests share: which of them belong to the second stage, and the container engine of some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.engine import Engine, started

SLOW = {"acceptance", "contract", "docker", "google"}
"""Folders whose tests start processes, engines and databases: seconds each, so not in the first stage."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One container engine for the session; who needs it is visibly skipped where there can be none."""
    with started(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture
def engine(shared_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine as the one that this test's programs find; no container of a test outlives it."""
    shared_engine.adopt(monkeypatch)
    yield shared_engine
    shared_engine.clear()
