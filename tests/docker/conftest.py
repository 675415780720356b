"""What the tests of images and containers share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docker.toy import Toy
from tests.standins.containers.engine import Engine
from tests.support import plugins


def pytest_configure(config: pytest.Config) -> None:
    plugins.use(config, plugins.CONTAINERS)


@pytest.fixture
def toy(engine: Engine, tmp_path: Path) -> Toy:
    """A service that trains, applies and delivers by the shell alone."""
    return Toy(tmp_path / "toy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.docker)
