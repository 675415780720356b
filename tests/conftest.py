"""What all tests share: which of them belong to the second stage."""

from __future__ import annotations

from pathlib import Path

import pytest

SLOW = {"acceptance", "contract", "docker"}
"""Folders whose tests start processes, engines and databases: seconds each, so not in the first stage."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)
