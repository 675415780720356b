"""The start-up text by itself: whom it shows its token, what it says of each end, and what it leaves to others."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foretell.platforms.compute_engine import instance
from foretell.protocol.records import Host, decode
from tests.standins.google import metadata as machines
from tests.standins.google.cloud import PROJECT, Cloud
from tests.standins.google.metadata import Metadata
from tests.standins.google.storage import Storage
from tests.support.records import RUN

HOST = f"{RUN}/attempts/1/host.json"
DOCKER = """\
#!/bin/sh
# what it is asked, and what it is told, in place of an engine: Google's registry is not to be had here
echo "$@" >> "{home}/asked"
case $1 in
    login) cat > "{home}/shown" ;;
    pull) {pull} ;;
    run) {run} ;;
    inspect) echo {oom} ;;
esac
"""

Boot = Callable[..., Host | None]


@pytest.fixture
def boot(cloud: Cloud, storage: Storage, bucket: str, tmp_path: Path) -> Boot:
    """Run the text on a machine whose docker is a stub; give what it has put on record."""

    def once(*, pull: str = ":", run: str = ":", oom: str = "false", registry: str = "none") -> Host | None:
        (tmp_path / "bin").mkdir(exist_ok=True)
        docker = tmp_path / "bin" / "docker"
        docker.write_text(DOCKER.format(home=tmp_path, pull=pull, run=run, oom=oom))
        docker.chmod(0o755)
        script = tmp_path / "attempt.sh"
        script.write_text(instance.script())
        told = {
            "foretell-store": f"gs://{bucket}",
            "foretell-run": RUN,
            "foretell-attempt": "1",
            "foretell-machine": "toy-training-1-a1b2",
            "foretell-image": "an-image@sha256:0",
            "foretell-registry": registry,
            "foretell-deadline": "60",
            "foretell-kill": "1.5",
            "foretell-gpu": "none",
        }
        who = Metadata(
            lambda: cloud.stand_in.token("machine"),
            project=PROJECT,
            name="toy-training-1-a1b2",
            id="77",
            attributes=told,
        )
        with machines.running(who) as server:
            environ = {
                **cloud.stand_in.environ,
                **storage.environ,
                **server.environ,
                "HOME": str(tmp_path / "home"),
                "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
            }
            subprocess.run(["sh", str(script)], env=environ, check=True, timeout=60, capture_output=True)
        if HOST not in storage.names(bucket):
            return None
        return decode(storage.read(bucket, HOST), Host, HOST)

    return once


def asked(place: Path) -> list[str]:
    return (place / "asked").read_text().splitlines()


def test_an_attempt_is_pulled_run_and_its_machine_deleted(boot: Boot, cloud: Cloud, tmp_path: Path) -> None:
    assert boot() is None
    verbs = [line.split()[0] for line in asked(tmp_path)]
    assert verbs[:2] == ["pull", "run"]
    (ran,) = [line for line in asked(tmp_path) if line.startswith("run ")]
    assert "--network host" in ran
    assert "--memory " in ran
    assert ran.endswith(f"{RUN} 1 toy-training-1-a1b2 /tmp/foretell 60 1.5 77 -1")
    (deleted,) = cloud.stand_in.seen("compute.instances.delete")
    assert deleted.who == "machine"
    assert deleted.path.split("?")[0].endswith("/zones/europe-west1-b/instances/toy-training-1-a1b2")


def test_googles_registry_is_shown_the_token_on_standard_input(boot: Boot, tmp_path: Path) -> None:
    boot(registry="europe-docker.pkg.dev")
    (login,) = [line for line in asked(tmp_path) if line.startswith("login")]
    assert login == "login --username oauth2accesstoken --password-stdin https://europe-docker.pkg.dev"
    assert (tmp_path / "shown").read_text().strip() == "ya29.machine"


def test_nobody_else_is_shown_it(boot: Boot, tmp_path: Path) -> None:
    boot(registry="none")
    assert not [line for line in asked(tmp_path) if line.startswith("login")]
    assert not (tmp_path / "shown").exists()


@pytest.mark.parametrize(
    ("what", "reason", "final", "words"),
    [
        ({"pull": 'echo "manifest unknown" >&2; exit 1'}, "image", True, "manifest unknown"),
        ({"pull": 'echo "denied: no \\"right\\"" >&2; exit 1'}, "image", True, 'denied: no "right"'),
        ({"run": "exit 137", "oom": "true"}, "out of memory", False, "was killed at"),
        ({"run": "exit 137"}, "", False, "the container was killed"),
        ({"run": "echo what it said; exit 125"}, "", False, "status 125: what it said"),
    ],
)
def test_an_end_without_the_agents_word_is_told(
    boot: Boot, what: dict[str, Any], reason: str, final: bool, words: str
) -> None:
    host = boot(**what)
    assert host
    assert (host.boot, host.reason, host.final) == ("77", reason, final)
    assert words in host.cause


def test_a_witness_who_was_first_is_believed(boot: Boot, storage: Storage, bucket: str) -> None:
    first = {"format": 1, "boot": "77", "cause": "the guard's word"}
    storage.write(bucket, HOST, json.dumps(first).encode())
    host = boot(run="exit 1")
    assert host
    assert host.cause == "the guard's word"


def test_a_restart_runs_nothing_again(boot: Boot, tmp_path: Path) -> None:
    boot()
    (tmp_path / "asked").unlink()
    host = boot()
    assert host
    assert "restarted" in host.cause
    assert not (tmp_path / "asked").exists()
