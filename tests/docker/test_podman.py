"""The same by Podman, which has no daemon and no BuildKit."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from foretell.protocol.effects import SLOT
from foretell.protocol.records import Outcome
from tests.docker.toy import PREDICTIONS, ROWS, Toy, eventually
from tests.standins.containers.engine import REGISTRY, Engine

PODMAN = Path("/usr/bin/podman")
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]
[engine]
# of its own, as all else is: another Podman of this machine would free the locks that they share
lock_type = "file"
tmp_dir = "{home}/tmp"
"""
REGISTRIES = f'[[registry]]\nlocation = "{REGISTRY}"\ninsecure = true\n'


@pytest.fixture
def program(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Podman with a place of its own."""
    runc = shutil.which("runc")
    home = engine.home / "podman"
    home.mkdir(exist_ok=True)
    for name, text in (("containers", CONTAINERS), ("registries", REGISTRIES)):
        (home / f"{name}.conf").write_text(text.format(home=home))
        monkeypatch.setenv(
            {"containers": "CONTAINERS_CONF", "registries": "CONTAINERS_REGISTRIES_CONF"}[name],
            str(home / f"{name}.conf"),
        )
    (engine.home / "config" / "config.json").write_text("{}")
    places = f"--root {home}/root --runroot {home}/run --storage-driver overlay"
    how = f"--runtime {runc} --cgroup-manager cgroupfs --events-backend file"
    made = engine.home / "bin" / "podman"
    made.write_text(f'#!/bin/sh\nexec nsenter --net=/run/netns/{engine.space} {PODMAN} {places} {how} "$@"\n')
    made.chmod(0o755)
    return made


@pytest.fixture
def podman(toy: Toy, engine: Engine, program: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Podman as the engine that the tests' programs find."""
    base = f"python:{toy.python}-slim"
    if subprocess.run([program, "image", "exists", base], check=False).returncode:
        with subprocess.Popen(
            [engine.home / "bin" / "docker", "save", base], stdout=subprocess.PIPE
        ) as saved:
            subprocess.run([program, "load", "--quiet"], stdin=saved.stdout, check=True, capture_output=True)
    monkeypatch.setenv("FORETELL_ENGINE", "podman")
    toy.image += f'base = "localhost/{base}"\nagent_base = "localhost/{base}"\n'
    toy.platform = 'network = "host"'
    toy.write()
    return program


def listed(podman: Path, *options: str) -> list[str]:
    asked = [str(podman), "ps", "--format", "{{.Names}}", *options]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def test_it_builds_runs_and_delivers_by_podman(toy: Toy, podman: Path) -> None:
    for action in ("training", "application"):
        toy.foretell("run", action)
    assert toy.rows() == ROWS
    assert listed(podman, "--all") == []


def test_a_container_of_podman_that_is_killed_is_replaced(toy: Toy, podman: Path) -> None:
    toy.foretell("run", "training")
    toy.command(
        "application", f'echo begun; if [ "$FORETELL_ATTEMPT" = 1 ]; then sleep 500; fi; {PREDICTIONS}'
    )
    run = toy.start("application")
    eventually(lambda: toy.begun(run), "the command does not begin")
    subprocess.run([str(podman), "kill", toy.machine(run)], check=True, capture_output=True)
    assert toy.finish(run, "wait") == "succeeded"
    host = toy.host(run)
    assert host
    assert "was killed" in host.cause
    assert toy.rows() == ROWS
    assert listed(podman, "--all") == []


def test_podman_pushes_once_and_locks_what_the_registry_has(toy: Toy, podman: Path) -> None:
    first, second = toy.locked(), toy.locked()
    assert (first["new"], second["new"]) == (True, False)
    assert first["image"] == second["image"]
    subprocess.run([str(podman), "rmi", "--all", "--force"], check=True, capture_output=True)
    toy.foretell("run", "training")


def test_a_waiter_elsewhere_without_the_image_concludes_nothing(
    toy: Toy, engine: Engine, program: Path
) -> None:
    """An image that was never pushed is on one machine alone, and another engine's lack of it says nothing."""
    toy.foretell("run", "training")
    toy.command(
        "application", f'echo begun; if [ "$FORETELL_ATTEMPT" = 1 ]; then sleep 500; fi; {PREDICTIONS}'
    )
    run = toy.start("application")
    eventually(lambda: toy.begun(run), "the command does not begin")
    engine.docker("kill", toy.machine(run))
    away = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "-"]
    with toy.spawn("wait", run.label, through=away, FORETELL_ENGINE="podman") as waiter:
        eventually(lambda: toy.record(run.attempt(2).launch, SLOT) is not None, "nobody notices")
        told = next(line for line in waiter.stderr or () if "alone" in line)
        assert f"@{os.uname().nodename}" in told
        assert (toy.host(run, 2), toy.record(run.outcome, Outcome)) == (None, None)

        assert toy.finish(run, "wait") == "succeeded"

        _, errors = waiter.communicate(timeout=60)
    assert waiter.returncode == 0, errors
    assert len(list((toy.store / run.folder / "attempts").iterdir())) == 2
    assert toy.rows() == ROWS
    assert engine.containers() == listed(program, "--all") == []
