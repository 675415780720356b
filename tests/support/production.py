"""A service whose runs are machines of Compute Engine, and verbs on it by processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from foretell.controller.controller import Controller
from foretell.protocol.effects import SLOT
from foretell.protocol.keys import Run
from foretell.protocol.records import Host, Launch, Outcome, Request, decode
from foretell.service import load
from tests.standins.containers.engine import REGISTRY, running
from tests.standins.google.bigquery import PROJECT as WAREHOUSE
from tests.standins.google.cloud import PROJECT, Cloud
from tests.standins.google.compute import Machine
from tests.standins.google.hypervisor import Hypervisor
from tests.standins.google.storage import Storage

FORETELL = [sys.executable, "-m", "foretell"]
TIMES = {
    "beat": "1s", "fence": "30s", "kill": "1s", "lease": "40s", "stale": "6s", "boot": "60s", "poll": "0.5s",
    "deliver": "30s", "grace": "5s",
}  # fmt: skip
MACHINE_ACCOUNT = f"machine@{PROJECT}.iam.gserviceaccount.com"


class Production:
    """A directory with a service, and the cloud that its target "production" is in."""

    def __init__(
        self, root: Path, cloud: Cloud, storage: Storage, hypervisor: Hypervisor, bucket: str
    ) -> None:
        self.root = root
        self.cloud = cloud
        self.storage = storage
        self.hypervisor = hypervisor
        self.bucket = bucket
        self.platform: dict[str, Any] = {"zones": ["europe-west1-b", "europe-west1-c"]}
        self.times = dict(TIMES)
        self.actions: dict[str, str] = {}
        self.dataset = f"toy_{uuid.uuid4().hex[:12]}"
        """Of this test alone, in the one project that the stand-in of BigQuery knows."""
        root.mkdir(parents=True)

    # --- the service ----------------------------------------------------------------------------------------------

    def command(self, action: str, script: str, *, more: str = "") -> None:
        """Give an action its script; `more` are keys of its table."""
        (self.root / f"{action}.sh").write_text(dedent(script) + "\n")
        self.actions[action] = f'command = "/bin/sh {action}.sh"\n{more}\n'
        self.write()

    def write(self) -> None:
        """Write the service file as it stands."""
        actions = "".join(f"[actions.{name}]\n{text}" for name, text in self.actions.items())
        (self.root / "foretell.toml").write_text(
            f'name = "toy"\n[source]\npython = "{running()}"\n{actions}{self._where()}'
        )

    def adopt(self, root: Path) -> None:
        """Be the service of a directory that has a service file, to which only the target is added."""
        self.root = root
        with (root / "foretell.toml").open("a") as file:
            file.write(f"\n{self._where()}")

    def _where(self) -> str:
        """Give the tables that say where its images and its runs are."""
        told = {
            "kind": "compute-engine",
            "project": PROJECT,
            "service_account": MACHINE_ACCOUNT,
            **self.platform,
        }
        platform = "\n".join(f"{key} = {_toml(value)}" for key, value in told.items())
        times = "\n".join(f'{name} = "{value}"' for name, value in self.times.items())
        return (
            f'[image]\nnetwork = "host"\nregistry = "{REGISTRY}/team"\n'
            f'[targets.production]\nstore = "gs://{self.bucket}"\n'
            f'[targets.production.warehouse]\nproject = "{WAREHOUSE}"\ndataset = "{self.dataset}"\n'
            f"[targets.production.platform]\n{platform}\n[targets.production.times]\n{times}\n"
        )

    def build(self) -> None:
        self.foretell("build", "--push")

    # --- verbs ----------------------------------------------------------------------------------------------------

    def foretell(
        self, *arguments: str, code: int | None = 0, on: bool = True, within: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Do a verb, and see that it ends with the code."""
        done = subprocess.run(
            [*FORETELL, *arguments, *(("--on", "production") if on else ())],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        assert code is None or done.returncode == code, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.tell()}"
        )
        return done

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*FORETELL, *arguments, "--on", "production"],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, action: str, *more: str, code: int = 0) -> Run:
        said = self.foretell("start", action, *more, code=code)
        return self.controller.find(said.stdout.strip())

    @property
    def controller(self) -> Controller:
        service = load.load(self.root, environ={})
        return Controller(service, service.targets["production"])

    # --- what there is --------------------------------------------------------------------------------------------

    def record(self, key: str, kind: Any) -> Any:
        data = self.controller.store.get(key)
        return None if data is None else decode(data, kind, key)

    def request(self, run: Run) -> Request:
        found = self.record(run.request, Request)
        assert isinstance(found, Request)
        return found

    def outcome(self, run: Run) -> Outcome:
        found = self.record(run.outcome, Outcome)
        assert isinstance(found, Outcome), self.tell()
        return found

    def host(self, run: Run, attempt: int = 1) -> Host | None:
        found: Host | None = self.record(run.attempt(attempt).host, Host)
        return found

    def launches(self, run: Run) -> list[Launch]:
        found: list[Launch] = []
        while isinstance(slot := self.record(run.attempt(len(found) + 1).launch, SLOT), Launch):
            found.append(slot)
        return found

    def machine(self, run: Run, attempt: int = 1) -> Machine:
        """The machine of an attempt, as Compute Engine had it."""
        name = self.launches(run)[attempt - 1].machine
        return next(machine for machine in self.cloud.compute.past if machine.name == name)

    def log(self, run: Run, attempt: int = 1) -> bytes:
        folder = f"{run.attempt(attempt).folder}/log/"
        return b"".join(
            self.storage.read(self.bucket, name) for name in sorted(self.storage.names(self.bucket, folder))
        )

    def begun(self, run: Run, attempt: int = 1) -> None:
        """Wait until the command of an attempt has said something."""
        eventually(lambda: b"begun" in self.log(run, attempt), lambda: f"no command\n{self.tell()}")

    def must_leave_nothing(self) -> None:
        """Nothing is left in Compute Engine: no machine, no disk."""
        compute = self.cloud.compute
        eventually(
            lambda: not compute.machines and not compute.disks,
            lambda: f"left: {compute.machines} {compute.disks}\n{self.tell()}",
        )

    def tell(self, run: Run | None = None) -> str:
        """What a failed test shows: the records of one run, or of all."""
        parts = [
            f"--- {name}\n{self.storage.read(self.bucket, name)[:900].decode(errors='replace')}"
            for name in self.storage.names(self.bucket, run.folder if run else "")
            if name.endswith(".json") and not name.endswith(("request.json", "manifest.json"))
        ]
        parts += [
            f"--- serial port of {machine.name} ({machine.status})\n{machine.serial[-3000:]}"
            for machine in self.cloud.compute.past
        ]
        parts += [f"--- complaint: {complaint}" for complaint in self.cloud.stand_in.complaints]
        return "\n".join(parts)


def _toml(value: object) -> str:
    """Give a value as TOML has it; what JSON writes is TOML, for all but tables."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def eventually(holds: Callable[[], bool], tell: Callable[[], str], *, within: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, tell()
        time.sleep(0.05)
