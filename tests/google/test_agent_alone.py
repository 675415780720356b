"""An agent from its wheel alone reaches Google's services: it has all that a target in the cloud needs of Foretell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from foretell.images import wheel
from tests.google.test_bigquery_runs import Service, service
from tests.standins.google.bigquery import BigQuery
from tests.support import wheels

__all__ = ["service"]

FORETELL = (
    "import sys; sys.executable = sys.argv.pop(1); from foretell.cli.main import main; sys.exit(main())"
)
"""The command line, by an interpreter that takes another one for its agents."""


def test_it_keeps_records_in_a_bucket_and_delivers_to_bigquery(
    service: Service, bigquery: BigQuery, tmp_path: Path
) -> None:
    packed = tmp_path / "foretell.whl"
    packed.write_bytes(wheel.agent(google=True).wheel)
    agent = wheels.install(packed, tmp_path / "agent")
    for action in ("training", "application"):
        command = [sys.executable, "-c", FORETELL, str(agent), "run", action, "--on", "production"]
        done = subprocess.run(
            command, cwd=service.root, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "2 of 2 rows" in service("predictions").stderr
