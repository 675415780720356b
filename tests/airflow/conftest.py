"""Airflow for tests. Its configuration is read at its first import, which so is inside of the tests, never above."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standins.airflow import browser as browsers
from tests.standins.airflow.browser import Browser
from tests.standins.airflow.components import Components
from tests.support import plugins
from tests.support.debian import install, lacking


def pytest_configure(config: pytest.Config) -> None:
    plugins.use(config, plugins.CONTAINERS, plugins.GOOGLE, plugins.MACHINES)


@pytest.fixture(scope="session", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Airflow of this process's own, for what is tested without components."""
    home = tmp_path_factory.mktemp("airflow")
    os.environ.update(
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__DAGS_FOLDER=str(home / "dags"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{home}/airflow.db",
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL="1",
    )
    return home


QUICK = {
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
}
"""So that Airflow notices within seconds what it would take minutes for."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Components]:
    """Components that tests share, one after the other; who kills some brings them up again."""
    found = Components(tmp_path_factory.mktemp("shared"), environ=QUICK)
    try:
        found.up()
        yield found
    finally:
        found.end()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser for what people look at; who needs it is visibly skipped where there can be none."""
    if reason := install(browsers.PROGRAMS):
        lacking(reason)
    home = tmp_path / "browser"
    home.mkdir()
    with browsers.started(home) as found:
        yield found
