"""The same by Podman, which has no daemon and no BuildKit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docker.engine import REGISTRY, Engine
from tests.docker.toy import PREDICTIONS, ROWS, Toy, eventually

PODMAN = Path("/usr/bin/podman")
CONTAINERS = '[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]\n'
REGISTRIES = f'[[registry]]\nlocation = "{REGISTRY}"\ninsecure = true\n'


@pytest.fixture
def podman(toy: Toy, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Podman with a place of its own, as the engine that the tests' programs find."""
    runc = shutil.which("runc")
    if not PODMAN.exists() or not runc:
        pytest.skip("Podman is not installed")
    home = engine.home / "podman"
    home.mkdir(exist_ok=True)
    for name, text in (("containers", CONTAINERS), ("registries", REGISTRIES)):
        (home / f"{name}.conf").write_text(text)
        monkeypatch.setenv(
            {"containers": "CONTAINERS_CONF", "registries": "CONTAINERS_REGISTRIES_CONF"}[name],
            str(home / f"{name}.conf"),
        )
    (engine.home / "config" / "config.json").write_text("{}")
    places = f"--root {home}/root --runroot {home}/run --storage-driver overlay"
    how = f"--runtime {runc} --cgroup-manager cgroupfs --events-backend file"
    program = engine.home / "bin" / "podman"
    program.write_text(
        f'#!/bin/sh\nexec nsenter --net=/run/netns/{engine.space} {PODMAN} {places} {how} "$@"\n'
    )
    program.chmod(0o755)
    base = f"python:{toy.python}-slim"
    with subprocess.Popen([engine.home / "bin" / "docker", "save", base], stdout=subprocess.PIPE) as saved:
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
