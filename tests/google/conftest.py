"""What the tests of Google's services share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import plugins


def pytest_configure(config: pytest.Config) -> None:
    plugins.use(config, plugins.CONTAINERS, plugins.GOOGLE, plugins.MACHINES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.google)
            if "engine" in getattr(item, "fixturenames", ()):  # so that all who need one share it
                item.add_marker(pytest.mark.docker)
