"""Fixtures that several folders share, loaded by the folders which use them and by no other."""

from __future__ import annotations

import pytest

CONTAINERS = "tests.standins.containers.fixtures"
GOOGLE = "tests.standins.google.fixtures"
MACHINES = "tests.support.fixtures"


def use(config: pytest.Config, *names: str) -> None:
    """
    Have the folder's tests find the fixtures of these modules: called by `pytest_configure` of its conftest.

    A session fixture that two conftests import is made twice; that of a plugin once. The conftest of all tests does
    not name the plugins either, so that a run of `tests/unit` starts without them.
    """
    for name in names:
        if not config.pluginmanager.has_plugin(name):
            config.pluginmanager.import_plugin(name)
