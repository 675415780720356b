"""The bench of the platforms' suite whose machines are Compute Engine's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from foretell.protocol.keys import Run
from foretell.protocol.records import Request, decode
from tests.standins.containers.engine import REGISTRY, running
from tests.standins.google.cloud import PROJECT, Cloud
from tests.standins.google.compute import Fails
from tests.standins.google.hypervisor import Hypervisor
from tests.support.stage import Stage, eventually

AT_LEAST = {"beat": 1.0, "fence": 6.0, "lease": 9.0, "stale": 6.0, "boot": 30.0}
"""Seconds, for a bucket takes one write a second to one object."""


LOCKS: dict[str, str] = {}
"""What `build` has locked, by the engine it was built on: one image serves the whole session."""


class CloudStage(Stage):
    """A service whose records are in a bucket. Its script lies beside it, so that one image serves every test."""

    def __init__(self, root: Path, bucket: str, *, times: dict[str, str] | None = None) -> None:
        self.window = root.parent
        self.window.chmod(0o777)
        super().__init__(root, times=times)
        for name, least in AT_LEAST.items():
            self._times[name] = f"{max(least, float(self._times[name].removesuffix('s'))):g}s"
        self.target(f'store = "gs://{bucket}"')

    def action(self, name: str, script: str, *, more: str = "", delivery: str = "") -> None:
        file = self.window / f"{name}.sh"
        begun = f'umask 0; echo "{name} $FORETELL_RUN $FORETELL_ATTEMPT" >> "{self.trace}"'
        file.write_text(f"{begun}\n{dedent(script)}\n")
        table = f"[actions.{name}]\ncommand = '/bin/sh {file}'\n{more}\n"
        self._actions[name] = table + (f"[actions.{name}.delivery]\n{delivery}\n" if delivery else "")
        self.write()

    def read(self, key: str, kind: type) -> object:
        data = self.controller.store.get(key)
        return None if data is None else decode(data, kind, key)


class Clouds:
    """What a bench on Compute Engine does otherwise than one on this machine."""

    def __init__(self, request: pytest.FixtureRequest, root: Path) -> None:
        self.root = root
        self.cloud: Cloud = request.getfixturevalue("cloud")
        self.hypervisor: Hypervisor = request.getfixturevalue("hypervisor")
        self.hypervisor.window = root
        self.bucket: str = request.getfixturevalue("bucket")

    def stage(self, name: str, times: dict[str, str] | None) -> CloudStage:
        """Make a service whose runs are machines; where its time is short, Google's is too."""
        self.cloud.compute.scale = 0.5 if times else 1.0
        stage = CloudStage(self.root / name, self.bucket, times=times)
        stage.action("training", "true")
        settings = f'kind = "compute-engine", project = "{PROJECT}", zones = ["europe-west1-b"]'
        stage.target(
            f'platform = {{{settings}}}\n[source]\npython = "{running()}"\n'
            f'[image]\nnetwork = "host"\nregistry = "{REGISTRY}/team"'
        )
        self._build(stage)
        return stage

    def _build(self, stage: CloudStage) -> None:
        engine = str(self.hypervisor.engine.home)
        lock = stage.root / "foretell.lock"
        if engine in LOCKS:
            lock.write_text(LOCKS[engine])
            return
        build = [sys.executable, "-m", "foretell", "build", "--push", "--on", "local"]
        done = subprocess.run(build, cwd=stage.root, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        LOCKS[engine] = lock.read_text()

    def keep(self, stage: Stage, run: Run) -> None:
        """Put a copy of a run's launch where a store on this machine would have it."""
        copy = stage.store / run.attempt(1).launch
        copy.parent.mkdir(parents=True, exist_ok=True)
        data = stage.controller.store.get(run.attempt(1).launch)
        assert data is not None
        copy.write_bytes(data)

    def kill(self, stage: Stage, run: Run) -> None:
        """Break the host of the machine: everything on it is dead at once, and what is left of it is off."""
        (name,) = stage.machines(run)
        (machine,) = [found for found in self.cloud.compute.alive if found.name == name]
        self.cloud.compute.vanish(machine)
        eventually(lambda: machine.status == "TERMINATED", "the machine does not go off", within=60)

    @contextmanager
    def refused(self, request: Request) -> Iterator[Request]:
        self.cloud.compute.fails.append(Fails(code="QUOTA_EXCEEDED"))
        yield request
        self.cloud.compute.fails.clear()
