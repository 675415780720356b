"""Airflow for tests. Its configuration is read at its first import, which so is inside of the tests, never above."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow.components import Components


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


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Components]:
    """Components for all tests of a file that do not kill any."""
    found = Components(tmp_path_factory.mktemp("shared"))
    try:
        found.up()
        yield found
    finally:
        found.end()


@pytest.fixture
def components(tmp_path: Path) -> Iterator[Components]:
    """Airflow's components, up and healthy, with an empty folder of DAG files."""
    found = Components(tmp_path)
    try:
        found.up()
        yield found
    finally:
        found.end()
