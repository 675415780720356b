"""What the suites of the extension points share."""

from __future__ import annotations

import pytest

from tests.support import plugins


def pytest_configure(config: pytest.Config) -> None:
    plugins.use(config, plugins.CONTAINERS, plugins.GOOGLE)
