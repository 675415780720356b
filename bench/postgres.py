"""A PostgreSQL server of Debian's package, on loopback, for as long as a benchmark needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.standins.airflow.components import unused_port

PROGRAMS = Path("/usr/lib/postgresql")
USER = "postgres"


def why_not() -> str:
    """Say why there can be none here; empty where there can."""
    if not list(PROGRAMS.glob("*/bin/initdb")):
        return 'PostgreSQL is missing: install the package "postgresql"'
    return ""


@contextmanager
def started() -> Iterator[str]:
    """Give the address of an empty database, as SQLAlchemy reads it."""
    bin_ = max(PROGRAMS.glob("*/bin"), key=lambda path: int(path.parent.name))
    place = Path(tempfile.mkdtemp(prefix="foretell-postgres-"))
    # it refuses to run as root, for whom the package has made a user
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.getuid() == 0 else []
    if user:
        shutil.chown(place, USER, USER)
    port = unused_port()

    def run(*command: str | Path) -> None:
        done = subprocess.run([*user, *command], cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")

    try:
        run(bin_ / "initdb", "-D", place / "data", "-U", "airflow", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-h 127.0.0.1 -p {port} -k {place} -c max_connections=300 -c fsync=off"
        run(bin_ / "pg_ctl", "-D", place / "data", "-l", place / "log", "-w", "-o", options, "start")
        run(bin_ / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", "airflow")
        yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/airflow"
    finally:
        if (place / "data" / "postmaster.pid").exists():
            run(bin_ / "pg_ctl", "-D", place / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(place, ignore_errors=True)
