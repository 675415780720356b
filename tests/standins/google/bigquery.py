"""
A stand-in of BigQuery: local-bigquery, in an environment of its own, behind a proxy that refuses what Google would.

`python -m tests.standins.google.bigquery` starts one for work by hand; point `BIGQUERY_EMULATOR_HOST` at what it prints. It
reads gs:// from the Cloud Storage that `STORAGE_EMULATOR_HOST` names. What it cannot show is told in docs/bigquery.md.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foretell.system import paths
from tests.standins.google.bigquery_proxy import Proxy
from tests.standins.google.faults import Faults
from tests.standins.google.server import Server, listening, running, until_the_input_ends, unused
from tests.support.debian import lacking

REQUIREMENTS = Path(__file__).with_name("bigquery.txt")
EXTENSIONS = ("icu", "httpfs", "ducklake", "spatial")
PYTHON = "3.13"
PROJECT = "test-project"
INSTALL = 600
HOST = "127.0.0.1"


# --- for tests ------------------------------------------------------------------------------------------------------


class BigQuery(Server):
    """A running stand-in. Use a dataset of its own for every test: jobs are named by it."""

    @property
    def environ(self) -> dict[str, str]:
        """What a program needs to take this for Google's."""
        return {"BIGQUERY_EMULATOR_HOST": self.url, "GOOGLE_CLOUD_PROJECT": PROJECT}

    def stop_script(self, after: int) -> None:
        """Have the next transaction fail after so many of its statements, as if its server died."""
        self.call("POST", f"/_stop?{after}")

    def empty(self) -> None:
        """Remove every dataset of the project."""
        place = f"/bigquery/v2/projects/{PROJECT}/datasets"
        for dataset in json.loads(self.call("GET", place)).get("datasets", []):
            name = dataset["datasetReference"]["datasetId"]
            if name != "local":
                self.call("DELETE", f"{place}/{name}?deleteContents=true")

    def complaints(self) -> list[str]:
        """Give what Google would have refused since the last `clear`."""
        found: list[str] = json.loads(self.call("GET", "/_complaints"))
        return found

    def made(self) -> list[dict[str, Any]]:
        """Give what was asked to be made, and was, since the last `clear`: "path", and "body" as it came."""
        found: list[dict[str, Any]] = json.loads(self.call("GET", "/_made"))
        return found


@contextmanager
def started(environ: Mapping[str, str]) -> Iterator[BigQuery]:
    """Start one in a process of its own; the test is skipped, or fails in CI, where it cannot be installed."""
    if reason := why_not():
        lacking(reason)
    command = [sys.executable, "-m", "tests.standins.google.bigquery"]
    with running(BigQuery, command, {**os.environ, **environ}) as bigquery:
        yield bigquery


# --- the environment ------------------------------------------------------------------------------------------------


def home() -> Path:
    """Give the directory of the environment: one for all checkouts, named by what is in it."""
    mark = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    return paths.cache(os.environ) / "tests" / f"bigquery-{mark}"


def why_not() -> str:
    """Install what is missing; else say in one line why there can be no such server."""
    place = home()
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (place / "made").exists():
            return ""
        python = _interpreter()
        if python is None:
            return f"local-bigquery needs Python {PYTHON}, which is not on this machine"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return _install(place, python)


def _interpreter() -> str | None:
    """Find a Python of the version that local-bigquery needs: on the path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    kept = sorted(str(path) for path in pyenv.glob(f"{PYTHON}*/bin/python{PYTHON}"))
    for path in [shutil.which(f"python{PYTHON}"), *reversed(kept)]:
        if path and not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode:
            return path
    return None


def _install(place: Path, python: str) -> str:
    uv = str(Path(sys.executable).with_name("uv"))
    inside = str(place / "venv" / "bin" / "python")
    imports = "from duckdb_extensions import import_extension as add\n" + "".join(
        f"add({name!r})\n" for name in EXTENSIONS
    )
    # no dependencies beside the list: local-bigquery asks for a DuckDB that has no wheels of its extensions
    listed = [uv, "pip", "install", "--quiet", "--no-deps", "--compile-bytecode", "--python", inside]
    for command in (
        [uv, "venv", "--quiet", "--no-python-downloads", "--python", python, str(place / "venv")],
        [*listed, "--requirement", str(REQUIREMENTS)],
        [inside, "-c", imports],
    ):
        environ = {**os.environ, "HOME": str(place)} if command[0] == inside else os.environ
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=INSTALL, check=False
        )
        if done.returncode:
            return f"local-bigquery cannot be installed: {done.stderr.strip().splitlines()[-1:]}"
    (place / "made").touch()
    return ""


# --- the process ----------------------------------------------------------------------------------------------------


def start_server(port: int, data: Path) -> subprocess.Popen[bytes]:
    """Start local-bigquery and wait until it answers; it ends with this process, whatever ends it."""
    spare = unused(HOST)[1]
    options = {"host": HOST, "port": port, "grpc-port": spare, "data-dir": data, "project": PROJECT}
    command = [str(home() / "venv" / "bin" / "local-bigquery")]
    command += [f"--{name}={value}" for name, value in options.items()]
    with (data / "log").open("wb") as log:
        return listening([*command, "serve"], (HOST, port), log, **{**os.environ, "HOME": str(home())})


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="foretell-bigquery-") as data:
        upstream = unused(HOST)
        server = start_server(upstream[1], Path(data))
        proxy = Proxy((HOST, 0), upstream, Faults())
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        until_the_input_ends(f"http://{HOST}:{proxy.server_address[1]}")
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
