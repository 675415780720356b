"""What a container is: its settings, its owner, what the engine saw of its end, and when it is removed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from foretell.protocol.records import Outcome
from tests.docker.toy import Toy, eventually
from tests.standins.containers.engine import REGISTRY, Engine


def made(toy: Toy, text: str, action: str = "training") -> str:
    """Run a script and give what it wrote into output/model."""
    toy.command(action, text)
    toy.foretell("run", action)
    return (toy.store / toy.newest(action).attempt(1).folder / "output/model").read_text()


def test_settings_arrive(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("mounted")
    toy.platform = f'memory = "256m"\ncpus = 1.5\nnetwork = "none"\nvolumes = ["{tmp_path}/data:/data:ro"]\nenv = {{A = "b c"}}\n'
    told = made(
        toy,
        """\
        exec > output/model
        cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max 2>/dev/null || cat \
            /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us
        ls /sys/class/net
        cat /data/file && echo
        echo "$A"
        touch /data/other 2>&1
        true
        """,
    )
    lines = told.splitlines()
    assert lines[0] == str(256 << 20)
    assert lines[1].split()[0] == "150000"
    assert lines[2:5] == ["lo", "mounted", "b c"]
    assert "Read-only file system" in lines[5]


def test_google_credentials_are_read_only(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "adc.json"
    file.write_text('{"type": "authorized_user"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    script = """\
        exec > output/model
        cat "${GOOGLE_APPLICATION_CREDENTIALS:-/nowhere}" 2>&1
        echo >> "${GOOGLE_APPLICATION_CREDENTIALS:-/nowhere}" || true
        """
    assert "authorized_user" not in made(toy, script)
    toy.platform = "google_credentials = true\n"
    assert "authorized_user" in made(toy, script)
    assert file.read_text() == '{"type": "authorized_user"}'


def test_an_env_file_reaches_the_command_and_not_who_inspects(toy: Toy, engine: Engine) -> None:
    (toy.root / "prod.env").write_text("TOKEN='hunter2 and more'\n")
    toy.top = 'env_file = "prod.env"\n'
    toy.command(
        "training",
        'echo begun; echo "$TOKEN"; printf %s "$TOKEN" > output/model; ls > output/ls; sleep 3',
    )
    run = toy.start("training")
    eventually(lambda: toy.begun(run), "the command does not begin")
    assert "hunter2" not in engine.docker("inspect", toy.machine(run)).stdout
    assert toy.finish(run, "wait") == "succeeded"
    output = toy.store / run.attempt(1).folder / "output"
    assert (output / "model").read_text() == "hunter2 and more"
    assert "prod.env" not in (output / "ls").read_text()
    assert "***TOKEN***" in toy.foretell("logs", run.label).stdout


def test_it_runs_as_the_owner_of_the_store(toy: Toy) -> None:
    toy.store.mkdir(parents=True)
    for place in (toy.root / ".foretell", toy.store):
        place.chmod(0o777)
    os.chown(toy.store, 12345, 12346)
    toy.command("training", 'id -u > output/model; echo "$HOME" >> output/model; touch "$HOME/mine"')
    open_to_all = ["sh", "-c", 'umask 0; exec "$@"', "-"]  # who starts it here is root, and not the owner
    with toy.spawn("run", "training", through=open_to_all) as run:
        _, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    attempt = toy.newest("training").attempt(1)
    model = toy.store / attempt.folder / "output/model"
    assert model.read_text().splitlines() == ["12345", "/tmp/foretell"]
    for path in (model, toy.store / toy.newest("training").outcome):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346)


def test_its_log_and_its_time_are_limited_as_beside_it(toy: Toy, engine: Engine) -> None:
    toy.command("training", "echo out; echo err >&2; sleep 500")
    toy.actions["training"] += 'timeout = "1s"\n'
    toy.write()
    ended = toy.foretell("run", "training", code=4)
    assert {"out", "err"} <= set(ended.stderr.splitlines())
    assert engine.containers() == []


def test_a_container_that_is_asked_to_stop_says_so(toy: Toy, engine: Engine) -> None:
    """The guard is process 1 and hears what the engine says: nobody waits for the kill."""
    toy.command(
        "training",
        'echo begun; if [ "$FORETELL_ATTEMPT" = 1 ]; then sleep 500; fi; echo model > output/model',
    )
    run = toy.start("training")
    eventually(lambda: toy.begun(run), "the command does not begin")
    engine.docker("stop", "--time", "100", toy.machine(run))
    state = json.loads(engine.docker("inspect", toy.machine(run)).stdout)[0]["State"]
    assert state["ExitCode"] != 137
    assert toy.finish(run, "wait") == "succeeded"
    assert engine.containers() == []


@pytest.mark.parametrize("ends", ["by itself", "killed"])
def test_a_container_stays_until_its_end_is_on_record(toy: Toy, engine: Engine, ends: str) -> None:
    toy.command(
        "training", "echo begun; while [ ! -e /go/go ]; do sleep 0.1; done; echo model > output/model"
    )
    toy.actions["training"] += "losses = 0\n"
    gate = toy.root.parent / "gate"
    gate.mkdir()
    toy.platform = f'volumes = ["{gate}:/go"]\n'
    toy.write()
    run = toy.start("training")
    eventually(lambda: toy.begun(run), "the command does not begin")
    machine = toy.machine(run)
    if ends == "killed":
        engine.docker("kill", machine)
    else:
        (gate / "go").touch()
        eventually(lambda: toy.record(run.outcome, Outcome) is not None, "it does not end")
    exited = lambda: "exited" in engine.docker("inspect", "--format", "{{.State.Status}}", machine).stdout  # noqa: E731
    eventually(exited, "the container does not end")
    toy.foretell("check", run.label, code=None)
    assert engine.containers() == [machine]  # who only looks removes nothing
    assert toy.finish(run, "tidy") == ("lost" if ends == "killed" else "succeeded")
    assert (toy.host(run) is not None) is (ends == "killed")
    assert engine.containers() == []


def test_what_is_no_image_of_ours_is_told_with_its_exit_code(
    toy: Toy, engine: Engine, tmp_path: Path
) -> None:
    entry = '["/bin/sh", "-c", "echo something else >&2; exit 7"]'
    (tmp_path / "Dockerfile").write_text(f"FROM python:{toy.python}-slim\nENTRYPOINT {entry}\n")
    tag = f"{REGISTRY}/team/foreign:1"
    engine.docker("build", "--tag", tag, str(tmp_path))
    digest = engine.docker("push", tag).stdout.rpartition("digest: ")[2].split()[0]
    foreign = f"{tag.rpartition(':')[0]}@{digest}"
    lost = toy.foretell("run", "training", "--image", foreign, code=3)
    assert "the container ended with status 7: something else" in lost.stderr
    assert "status 7" in toy.host(toy.newest("training")).cause
    assert engine.containers() == []
