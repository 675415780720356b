"""
What all tests share: which of them belong to the second stage, and the same arbitrary inputs in CI.

The servers of some are plugins beside their stand-ins; the folders that use them load them, see support/plugins.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from foretell import platforms, warehouses  # noqa: F401 - they know the kinds that service files name

# the same code gets the same inputs in CI; others are tried by hand and by make soak
settings.register_profile("ci", derandomize=True, database=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

SLOW = {"acceptance", "contract", "docker", "google", "property"}
"""Folders whose tests start processes, engines and databases, or try hundreds of inputs: not in the first stage."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)
