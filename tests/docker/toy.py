"""A service whose runs are containers, and verbs on it by processes of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb

from foretell.controller.controller import Controller
from foretell.protocol.effects import SLOT
from foretell.protocol.keys import Run, run_of
from foretell.protocol.records import Host, Launch, Outcome, decode
from foretell.service import load
from tests.standins.containers.engine import INDEX, REGISTRY

FORETELL = [sys.executable, "-m", "foretell"]
TIMES = {
    "beat": "0.2s", "fence": "30s", "kill": "1s", "lease": "40s", "stale": "2s", "boot": "30s", "poll": "0.2s",
    "deliver": "20s", "grace": "5s",
}  # fmt: skip
PREDICTIONS = r'printf "a,b\nx,1\ny,2\n" > output/predictions.csv'
ROWS = [("x", 1), ("y", 2)]


class Toy:
    """A directory with a service. `top` are lines above its tables, `platform` of its [targets.docker.platform], `more` whole tables."""

    def __init__(self, root: Path, *, python: str = "3.11") -> None:
        self.root = root
        self.python = python
        self.top = ""
        self.platform = ""
        self.image = f'registry = "{REGISTRY}/team"\n'
        self.source = ""
        self.more = ""
        self.times = dict(TIMES)
        self.actions: dict[str, str] = {}
        root.mkdir(parents=True)
        self.command("training", "echo model > output/model")
        self.command("application", PREDICTIONS)

    def command(self, action: str, script: str) -> None:
        """Give an action its script."""
        (self.root / f"{action}.sh").write_text(dedent(script) + "\n")
        self.actions[action] = f'command = "/bin/sh {action}.sh"\n'
        self.write()

    def write(self) -> None:
        """Write the service file as it stands."""
        times = "\n".join(f'{name} = "{value}"' for name, value in self.times.items())
        actions = "".join(f"[actions.{name}]\n{text}" for name, text in self.actions.items())
        (self.root / "foretell.toml").write_text(
            f'name = "toy"\n{self.top}[source]\npython = "{self.python}"\n{self.source}\n'
            f'[image]\nnetwork = "host"\n{self.image}\n{actions}'
            'inputs = ["training"]\n[actions.application.delivery]\nfile = "predictions.csv"\n'
            'columns = "a:STRING,b:INT64"\n'
            f"[targets.docker.platform]\n{self.platform}\n[targets.docker.times]\n{times}\n{self.more}"
        )

    def commit(self) -> str:
        """Put all there is into Git, and give the revision."""
        (self.root / ".gitignore").write_text(".foretell/\noutput/\n.foretellignore\n.gitignore\n")
        (self.root / ".foretellignore").write_text(".gitignore\n.foretellignore\n")
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        for command in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "--message", "a"]):
            subprocess.run(["git", *command], cwd=self.root, check=True)
        asked = ["git", "rev-parse", "HEAD"]
        return subprocess.run(asked, cwd=self.root, capture_output=True, text=True, check=True).stdout.strip()

    # --- verbs ----------------------------------------------------------------------------------------------------

    def foretell(
        self, *arguments: str, code: int | None = 0, on: str = "docker"
    ) -> subprocess.CompletedProcess[str]:
        """Do a verb, and see that it ends with the code."""
        done = subprocess.run(
            [*FORETELL, *arguments, "--on", on],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert code is None or done.returncode == code, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def spawn(self, *arguments: str, through: Sequence[str] = (), **env: str) -> subprocess.Popen[str]:
        """Have a process do a verb; `through` is what starts it."""
        return subprocess.Popen(
            [*through, *FORETELL, *arguments, "--on", "docker"],
            cwd=self.root,
            env=os.environ | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, action: str) -> Run:
        label = self.foretell("start", action).stdout.strip()
        return self.controller.find(label)

    def finish(self, run: Run, verb: str, *, within: float = 180) -> str:
        """Bring a run to its end by `wait`, or by `tidy` as cron calls it; give the phase."""
        end = time.monotonic() + within
        if verb == "wait":
            self.foretell("wait", run.label)
        while not (state := self.controller.check(run)).phase.ended:
            assert time.monotonic() < end, self.tell(run)
            self.foretell("tidy", code=None)
        self.foretell("tidy")  # what a run left that has ended since the last call
        return str(state.phase)

    # --- what there is --------------------------------------------------------------------------------------------

    @property
    def controller(self) -> Controller:
        service = load.load(self.root, environ={})
        return Controller(service, service.targets["docker"])

    @property
    def store(self) -> Path:
        return self.root / ".foretell" / "store"

    def record(self, key: str, kind: Any) -> Any:
        path = self.store / key
        return decode(path.read_bytes(), kind, key) if path.exists() else None

    def outcome(self, run: Run) -> Outcome:
        found = self.record(run.outcome, Outcome)
        assert isinstance(found, Outcome), self.tell(run)
        return found

    def host(self, run: Run, attempt: int = 1) -> Host | None:
        found: Host | None = self.record(run.attempt(attempt).host, Host)
        return found

    def machine(self, run: Run, attempt: int = 1) -> str:
        """The container of an attempt."""
        slot = self.record(run.attempt(attempt).launch, SLOT)
        assert isinstance(slot, Launch)
        return slot.machine

    def newest(self, action: str) -> Run:
        """The newest run of an action, by the store alone: the engine may be down."""
        folders = sorted(path.parent for path in self.store.glob(f"toy/1/{action}/*/*/request.json"))
        return run_of(folders[-1].relative_to(self.store).as_posix())

    def rows(self) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.root / ".foretell" / "warehouse.duckdb"), read_only=True) as connection:
            return connection.execute("SELECT a, b FROM predictions ORDER BY ALL").fetchall()

    def log(self, run: Run, attempt: int = 1) -> bytes:
        chunks = sorted((self.store / run.attempt(attempt).folder / "log").glob("*"))
        return b"".join(chunk.read_bytes() for chunk in chunks)

    def begun(self, run: Run, attempt: int = 1) -> bool:
        """Whether the command of an attempt has said something."""
        return b"begun" in self.log(run, attempt)

    def tell(self, run: Run) -> str:
        """What a failed test shows."""
        folder = self.store / run.folder
        return "\n".join(f"--- {path}\n{path.read_text()[:1500]}" for path in sorted(folder.rglob("*.json")))

    def locked(self) -> dict[str, Any]:
        done = self.foretell("build", "--push", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def eventually(holds: Callable[[], bool], message: str, *, within: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, message
        time.sleep(0.05)


def executed(told: str) -> list[str]:
    """Give the steps of the service's own stage, and all that run a program, that a builder did not find done."""
    steps = re.findall(r"^#(\d+) \[(?:\S+ )?\d+/\d+\] (.*)$", told, re.MULTILINE)
    done = set(re.findall(r"^#(\d+) CACHED$", told, re.MULTILINE))
    return [
        step
        for number, step in steps
        if number not in done and step.startswith(("RUN", "COPY .foretell/service"))
    ]


__all__ = ["INDEX", "PREDICTIONS", "REGISTRY", "ROWS", "Toy", "eventually", "executed"]
