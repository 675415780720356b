"""
Airflow's real components, for tests: each a process group of its own, on loopback, under a temporary directory.

A test kills and restarts them one by one. SQLite ends a component now and then ("database is locked"): one that died without
being killed by the test is brought up again, as a service manager would.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from foretell.airflow.local import COMPONENTS, HOST, MIGRATE, PARTS, environment
from foretell.system.processes import children, descendants, kill, kill_survivors

PATIENCE = 180.0
MARK = "FORETELL_TEST_AIRFLOW"
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def unused_port() -> int:
    """Give a port that nobody else is about to take either: two Airflows at one address would share their runs."""
    with socket.socket() as place:
        place.bind((HOST, 0))
        return int(place.getsockname()[1])


class Components:
    """An Airflow of a test's own. `dags` is its folder of DAG files, `url` its address."""

    def __init__(self, place: Path, *, environ: Mapping[str, str] = {}, python: str = sys.executable) -> None:
        self._python = python
        self.home = place / "airflow"
        self.dags = place / "dags"
        self.dags.mkdir(parents=True, exist_ok=True)
        ignored = ".foretell/\n"  # where runs of this machine have their copies
        (self.dags / ".airflowignore").write_text(ignored)
        self.home.mkdir(parents=True, exist_ok=True)
        port = unused_port()
        self.url = f"http://{HOST}:{port}"
        self.environ = {
            **environment(self.home, self.dags, port, os.environ),
            MARK: str(self.home),
            **environ,
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._killed: set[str] = set()
        self._token: dict[str, str] = {}

    # --- processes ---------------------------------------------------------------------------------------

    def up(self, names: Iterable[str] = COMPONENTS) -> None:
        """Make the database and start components, and wait until they are healthy."""
        migrate = subprocess.run(
            [self._python, "-c", MIGRATE],
            env=self.environ,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert migrate.returncode == 0, migrate.stderr[-3000:]
        self.start(*names)
        self.wait_healthy()

    def start(self, *names: str) -> None:
        """Start components; "triggerer 2" is another one of that kind."""
        for name in names:
            self._killed.discard(name)
            with (self.home / f"{name}.log").open("ab") as log:
                self._running[name] = subprocess.Popen(
                    [self._python, "-m", "airflow", *COMPONENTS[name.partition(" ")[0]]],
                    env=self.environ,
                    cwd=self.home,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def kill(self, *names: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the whole process group of each; with SIGKILL they stay dead until `start`."""
        for name in names:
            process = self._running[name]
            if number in (signal.SIGKILL, signal.SIGTERM):
                self._killed.add(name)
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                continue
        if number in (signal.SIGKILL, signal.SIGTERM):
            for name in names:
                self._running[name].wait(60)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def kill_workers(self, patience: float = 60) -> None:
        """
        Wait until tasks run, and kill the processes that execute them.

        One that has none is spared: it holds the lock of the queue of tasks, which then nobody gets any more. So each
        is held first, and looked at again. Nor is one killed whose task Airflow does not know to run yet: the
        LocalExecutor forgets such a task until the scheduler is started again.
        """
        scheduler = self._running["scheduler"].pid
        end = time.monotonic() + patience
        while True:
            members = [pid for pid in descendants(scheduler) if os.getpgid(pid) == scheduler]
            held = [pid for pid in members if children(pid)]
            kill(held, signal.SIGSTOP)
            try:
                busy = [pid for pid in held if children(pid)]
                if busy and not self._has_queued():
                    kill(busy)
                    return
            finally:
                kill(held, signal.SIGCONT)
            assert time.monotonic() < end, "no task is executed"
            time.sleep(0.01)

    def _has_queued(self) -> bool:
        return bool(self.get("dags/~/dagRuns/~/taskInstances?state=queued&limit=1")["total_entries"])

    def revive(self) -> None:
        """Start again what ended by itself."""
        for name, process in list(self._running.items()):
            if process.poll() is not None and name not in self._killed:
                self.start(name)

    def end(self) -> None:
        self.kill(*self._running)
        kill_survivors(f"{MARK}={self.home}")

    def said(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")

    # --- what Airflow knows ------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API; an HTTP error is an AssertionError with what it says."""
        request = urllib.request.Request(
            f"{self.url}/api/v2/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json", "accept": "application/json", **self._token},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            if error.code == 401 and not self._token:  # before Airflow 3.2 nobody is let in without
                with urllib.request.urlopen(f"{self.url}/auth/token", timeout=60) as answer:
                    self._token = {"authorization": f"Bearer {json.loads(answer.read())['access_token']}"}
                return self.call(method, path, body)
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:2000]}") from None
        return json.loads(text) if text else None

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def until(self, true: Callable[[], Any], what: str = "", patience: float = PATIENCE) -> Any:
        """Wait for something, with an API that may be away meanwhile; give what it gave."""
        end = time.monotonic() + patience
        seen: Any = None
        while time.monotonic() < end:
            self.revive()
            try:
                seen = true()
            except OSError as error:
                seen = error
            else:
                if seen:
                    return seen
            time.sleep(0.3)
        raise AssertionError(f"{what or true} did not come about within {patience:.0f} s: {seen!r}")

    def wait_healthy(self) -> None:
        wanted = [part for part in PARTS if part.replace("_", "-") in self._running]

        def healthy() -> bool:
            health = self.get("monitor/health")
            return all(health[part]["status"] == "healthy" for part in wanted)

        self.until(healthy, "healthy components")

    def wait_dags(self, *names: str) -> None:
        def known() -> bool:
            return set(names) <= {dag["dag_id"] for dag in self.get("dags?limit=1000")["dags"]}

        self.until(known, f"{names} (import errors: {self.import_errors()})")

    def import_errors(self) -> dict[str, str]:
        return {
            error["filename"]: error["stack_trace"] for error in self.get("importErrors")["import_errors"]
        }

    # --- runs --------------------------------------------------------------------------------------------

    def trigger(self, dag: str, **body: Any) -> str:
        """
        Start a run by hand; return its id.

        On SQLite Airflow answers with 500 where another of its parts writes at the same moment; nothing was written
        then, and a person would ask again.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                made = self.call("POST", f"dags/{dag}/dagRuns", {"logical_date": None, **body})
                return str(made["dag_run_id"])
            except AssertionError as error:
                if "Database error" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(1)

    def runs(self, dag: str) -> dict[str, str]:
        """Give the state of every run of a graph, by id."""
        return {
            run["dag_run_id"]: run["state"] for run in self.get(f"dags/{dag}/dagRuns?limit=1000")["dag_runs"]
        }

    def tasks(self, dag: str, run: str) -> dict[str, dict[str, Any]]:
        """Give the tasks of a run by their short names."""
        found = self.get(f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {task["task_id"].rpartition(".")[2]: task for task in found}

    def states(self, dag: str, run: str) -> dict[str, str | None]:
        return {name: task["state"] for name, task in self.tasks(dag, run).items()}

    def wait_task(self, dag: str, run: str, task: str, *states: str, patience: float = PATIENCE) -> str:
        """Wait until a task is in one of these states, or has ended."""
        wanted = states or tuple(ENDED)
        found = self.until(
            lambda: (state := self.states(dag, run).get(task)) in wanted and state,
            f"{task} of {run} in {wanted}",
            patience,
        )
        return str(found)

    def wait_run(self, dag: str, run: str, patience: float = PATIENCE) -> str:
        """Wait until a run has ended; give its state."""
        found = self.until(
            lambda: (state := self.runs(dag).get(run)) in ("success", "failed") and state,
            f"{run} of {dag}",
            patience,
        )
        return str(found)

    def mark(self, dag: str, run: str, task: str | None, state: str) -> None:
        """Mark a task, or the whole run, as a person does."""
        if task is None:
            self.call("PATCH", f"dags/{dag}/dagRuns/{run}", {"state": state})
        else:
            name = self.tasks(dag, run)[task]["task_id"]
            self.call("PATCH", f"dags/{dag}/dagRuns/{run}/taskInstances/{name}", {"new_state": state})

    def clear(self, dag: str, run: str, task: str, *, downstream: bool = True) -> None:
        name = self.tasks(dag, run)[task]["task_id"]
        body = {
            "dry_run": False,
            "dag_run_id": run,
            "task_ids": [name],
            "only_failed": False,
            "include_downstream": downstream,
        }
        self.call("POST", f"dags/{dag}/clearTaskInstances", body)

    def log(self, dag: str, run: str, task: str, number: int = 1) -> str:
        """Give what a task's log holds, as text: its lines, and what an exception says below its own."""
        name = self.tasks(dag, run)[task]["task_id"]
        found = self.get(f"dags/{dag}/dagRuns/{run}/taskInstances/{name}/logs/{number}?full_content=true")
        lines = []
        for line in found["content"]:
            lines.append(line["event"])
            lines += [error["exc_value"] for error in line.get("error_detail") or []]
        return "\n".join(lines)

    def xcom(self, dag: str, run: str, task: str, key: str = "return_value") -> Any:
        name = self.tasks(dag, run)[task]["task_id"]
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{name}/xcomEntries/{key}?deserialize=false&stringify=false"
        return self.get(path)["value"]

    def links(self, dag: str, run: str, task: str) -> dict[str, str | None]:
        """Give the addresses that a task's page offers, by what they show."""
        name = self.tasks(dag, run)[task]["task_id"]
        found: dict[str, str | None] = self.get(f"dags/{dag}/dagRuns/{run}/taskInstances/{name}/links")[
            "extra_links"
        ]
        return found

    def page(self, dag: str, run: str = "", task: str = "") -> str:
        """Give the address at which people look at a graph, at a run of it, or at a task of that."""
        place = f"{self.url}/dags/{dag}"
        place += f"/runs/{urllib.parse.quote(run)}" if run else ""
        return f"{place}/tasks/{self.tasks(dag, run)[task]['task_id']}" if task else place
