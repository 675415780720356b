"""The engine that the tests of images and containers share, and what they build from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.engine import Engine, started
from tests.docker.toy import Toy


@pytest.fixture(scope="session")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for the session; visibly skipped, with the reason, where there can be none."""
    with started(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(autouse=True)
def engine(shared_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The engine as the one that this test's programs find; no container of a test outlives it."""
    shared_engine.adopt(monkeypatch)
    yield shared_engine
    shared_engine.clear()


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """A service that trains, applies and delivers by the shell alone."""
    return Toy(tmp_path / "toy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.docker)
