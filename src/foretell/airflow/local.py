"""
Airflow on this machine, for one service: its environment, and its components as one group.

Nothing of Airflow is imported here; its components are programs. They listen on loopback only, for they ask nobody who
they are.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from foretell.errors import InfrastructureError, UsageError
from foretell.system import locks
from foretell.system.processes import directory, kill, kill_survivors, processes

Json: TypeAlias = dict[str, Any]
HOST = "127.0.0.1"
PORT = 8080
COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
"""What each is started with. The servers of logs are left out: they listen on every address."""
PARTS = ("scheduler", "triggerer", "dag_processor")
"""What the api-server knows the health of."""
MIGRATE = "from airflow.utils.db import upgradedb; upgradedb()"
MARK = "FORETELL_AIRFLOW"
"""The variable by which the group's processes are known."""
GROUPS = "groups"
"""The file that holds the process groups of what is up."""
DAGS_FILE = """\
from foretell.airflow import dags

globals().update(dags({root!r}))
"""
UNAUTHORIZED = 401
WORKERS = 4
READY = 120.0
"""Seconds in which the components must have come up."""
ENDING = 5.0
"""Seconds in which they must have ended when they are asked to; then they are killed."""
ENDS, MINUTE = 5, 60.0
"""How often components may end by themselves within a minute, and are started again."""
PAUSE = 0.2


def must_be_installed() -> str:
    """Return Airflow's version; UsageError where it is not installed beside Foretell."""
    if importlib.util.find_spec("airflow") is None or importlib.util.find_spec("airflow.sdk") is None:
        raise UsageError(
            "Airflow is not installed beside Foretell",
            where=sys.executable,
            hint="run `pip install 'foretell[airflow]'` in the same environment",
        )
    return version("apache-airflow-core")


def free_port(wanted: int | None = None) -> int:
    """Return a port of this machine that nobody listens on: the one that is wanted, else the usual one, else any."""
    for port in [wanted] if wanted else [PORT, 0]:
        with socket.socket() as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                place.bind((HOST, port or 0))
            except OSError:
                continue
            return int(place.getsockname()[1])
    raise UsageError(f"the port {wanted} is taken", hint="choose another, or leave --port out")


def environment(home: Path, dags: Path, port: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of components on this machine: one database, loopback only, everybody an administrator."""
    url = f"http://{HOST}:{port}"
    secret = _secret(home)
    told = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__CORE__FERNET_KEY": secret,
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(WORKERS),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_HOST": HOST,
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "PYTHONUNBUFFERED": "1",
    }
    rest = {name: value for name, value in environ.items() if not name.startswith("AIRFLOW")}
    return {**rest, **told}


def _secret(home: Path) -> str:
    """Return what the components trust each other by, the same for as long as there is the database."""
    place = home / "secret"
    if not place.exists():
        home.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(32)))
    return place.read_text(encoding="ascii")


class LocalAirflow:
    """
    Airflow's components under `home`, as one group that ends together.

    `root` is the service's directory, `target` the target that its graphs run on.
    """

    def __init__(self, home: Path, root: Path, target: str, port: int, environ: Mapping[str, str]) -> None:
        self.home = home
        self.url = f"http://{HOST}:{port}"
        self._root = root
        self._dags = home / "dags"
        self._mark = f"{MARK}={home}"
        self._environ = {
            **environment(home, self._dags, port, environ),
            "FORETELL_TARGET": target,
            MARK: str(home),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ends: list[float] = []
        self._lock: int | None = None
        self._token = ""

    # --- beginning --------------------------------------------------------------------------------------------

    def start(self, say: Callable[[str], None]) -> None:
        """Bring the components up, without waiting for them; UsageError where they are up already."""
        self._dags.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self._end_orphans()
        self._write_dags()
        for name in ("database", *COMPONENTS):
            self.log(name).unlink(missing_ok=True)
        say("preparing Airflow's database")
        self._migrate()
        for name in COMPONENTS:
            say(f"starting the {name}")
            self._begin(name)

    def _take_lock(self) -> None:
        self._lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        if not locks.take(self._lock):
            os.close(self._lock)
            self._lock = None
            raise UsageError(
                "an Airflow of this service is up already",
                where=str(self.home),
                hint="use that one, or end it with ^C where it was started",
            )

    def _end_orphans(self) -> None:
        """
        End what is left of an Airflow whose head was killed.

        Airflow's processes write their titles over their environment, so they are known by their groups, and by where
        they work: the number of a group may be another's meanwhile.
        """
        place = self.home / GROUPS
        groups = (
            {int(line) for line in place.read_text(encoding="ascii").split()} if place.exists() else set()
        )
        for pid, group in processes():
            if group in groups and directory(pid) == self.home:
                kill([pid])
        kill_survivors(self._mark)
        place.unlink(missing_ok=True)

    def _write_dags(self) -> None:
        """Have Airflow find the service's own dags.py, with what it is told in Python, or one in its stead."""
        place, own = self._dags / "dags.py", self._root / "dags.py"
        place.unlink(missing_ok=True)
        if own.is_file():
            place.symlink_to(own)
        else:
            place.write_text(DAGS_FILE.format(root=str(self._root)), encoding="utf-8")

    def _migrate(self) -> None:
        process = self._spawn("database", [sys.executable, "-c", MIGRATE])
        if process.wait():
            raise self._ended("database", process.returncode)

    def _begin(self, name: str) -> None:
        self._running[name] = self._spawn(name, [sys.executable, "-m", "airflow", *COMPONENTS[name]])
        with (self.home / GROUPS).open("a", encoding="ascii") as file:
            file.write(f"{self._running[name].pid}\n")

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log(name).open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.home,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    # --- while it is up ---------------------------------------------------------------------------------------

    def wait_ready(self, graphs: int, say: Callable[[str], None]) -> list[str]:
        """Wait until every component is up and so many graphs are known, or a problem with them; give their names."""
        end = time.monotonic() + READY
        missing = "the api-server"
        while time.monotonic() < end:
            self.check()
            missing = self._missing(graphs)
            if not missing:
                return sorted(dag["dag_id"] for dag in self.ask("/api/v2/dags")["dags"])
            say(f"waiting for {missing}")
            time.sleep(PAUSE)
        raise InfrastructureError(
            f"Airflow did not come up within {READY:.0f} s", why=f"{missing} is missing", where=str(self.home)
        )

    def _missing(self, graphs: int) -> str:
        try:
            health = self.ask("/api/v2/monitor/health")
            lame = [part for part in PARTS if health[part]["status"] != "healthy"]
            known = self.ask("/api/v2/dags")["total_entries"] >= graphs or self.problems()
        except (OSError, ValueError, KeyError):
            return "the api-server"
        if lame:
            return f"the {lame[0].replace('_', '-')}"
        return "" if known else "the graphs"

    def problems(self) -> list[str]:
        """Return what Airflow says of graphs that it cannot read."""
        return [str(error["stack_trace"]) for error in self.ask("/api/v2/importErrors")["import_errors"]]

    def ask(self, path: str) -> Json:
        """Ask the api-server; OSError or ValueError where it does not answer."""
        try:
            return self._fetch(path)
        except urllib.error.HTTPError as error:
            if error.code != UNAUTHORIZED:
                raise
        self._token = self._fetch("/auth/token")[
            "access_token"
        ]  # before Airflow 3.2 nobody is let in without
        return self._fetch(path)

    def _fetch(self, path: str) -> Json:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)  # noqa: S310 - our own address
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            told: Json = json.loads(answer.read())
            return told

    def check(self) -> None:
        """Raise InfrastructureError when a component has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise self._ended(name, process.returncode)

    def tend(self, say: Callable[[str], None]) -> None:
        """
        Start again what has ended by itself; InfrastructureError where that happens again and again.

        Airflow's components end where SQLite is busy with others of them for too long; what is killed loses nothing.
        """
        for name, process in self._running.items():
            if process.poll() is None:
                continue
            now = time.monotonic()
            self._ends = [*(end for end in self._ends if end > now - MINUTE), now]
            ended = self._ended(name, process.returncode)
            if len(self._ends) > ENDS:
                raise ended
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # workers that outlive their scheduler
            self._begin(name)
            say(f"{ended.what}, and was started again: {ended.why}")

    def log(self, name: str) -> Path:
        """Return the file of what a component prints."""
        return self.home / f"{name}.log"

    def _ended(self, name: str, code: int) -> InfrastructureError:
        said = self.log(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return InfrastructureError(
            f"the {name} of Airflow has ended with {code}",
            where=str(self.log(name)),
            why=said[-1] if said else "",
            hint="see that file; to begin anew, remove its directory",
        )

    # --- the end ----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """End the components and all that they have started; return when no process is left."""
        if self._lock is None:
            return  # whatever is up is another's
        for process in self._running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        end = time.monotonic() + ENDING
        for process in self._running.values():
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # workers that outlive their scheduler
        kill_survivors(self._mark)
        (self.home / GROUPS).unlink(missing_ok=True)
        os.close(self._lock)
