"""The container engine, for the tests of several folders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standins.containers.engine import Engine, started


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
