"""Airflow for tests: its configuration is read at its first import, so it is set before any test of this folder is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow.components import Components

HOME = Path(tempfile.mkdtemp(prefix="foretell-airflow-"))
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(HOME / "dags"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME}/airflow.db",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL="1",
)


@pytest.fixture
def components(tmp_path: Path) -> Iterator[Components]:
    """Airflow's components, up and healthy, with an empty folder of DAG files."""
    found = Components(tmp_path)
    try:
        found.up()
        yield found
    finally:
        found.end()
