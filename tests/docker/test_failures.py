"""What goes wrong around a container: the right cause and exit code, one outcome, rows once, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.protocol.records import Outcome
from tests.docker.toy import PREDICTIONS, REGISTRY, ROWS, Toy, eventually
from tests.standins.containers.engine import Engine
from tests.support.debian import lacking

FIRST = '[ "$FORETELL_ATTEMPT" = 1 ]'
STAYS = f"echo begun; if {FIRST}; then sleep 500; fi"
FINISHERS = pytest.mark.parametrize("finisher", ["wait", "tidy"])


@pytest.fixture
def stays(toy: Toy) -> Toy:
    """A service with a model, whose first attempt to apply it stays until something happens to it."""
    toy.foretell("run", "training")
    toy.command("application", f"{STAYS}; {PREDICTIONS}")
    return toy


def begun(toy: Toy, action: str = "application") -> tuple[object, str]:
    run = toy.start(action)
    eventually(lambda: toy.begun(run), "the command does not begin")
    return run, toy.machine(run)


def must_be_settled(toy: Toy, engine: Engine) -> None:
    """Rows once, and no container left."""
    assert toy.rows() == ROWS
    assert engine.containers() == []
    assert toy.foretell("tidy").stdout == ""


@FINISHERS
def test_a_container_that_is_killed_is_replaced(stays: Toy, engine: Engine, finisher: str) -> None:
    run, machine = begun(stays)
    engine.docker("kill", machine)
    assert stays.finish(run, finisher) == "succeeded"
    assert "was killed" in stays.host(run).cause
    must_be_settled(stays, engine)


def test_a_container_that_is_removed_is_replaced(stays: Toy, engine: Engine) -> None:
    run, machine = begun(stays)
    engine.docker("rm", "--force", machine)
    assert stays.finish(run, "wait") == "succeeded"
    must_be_settled(stays, engine)


@FINISHERS
def test_an_engine_that_stops_and_comes_back_loses_nothing(stays: Toy, engine: Engine, finisher: str) -> None:
    run, _ = begun(stays)
    with stays.spawn("wait", run.label) as waiter:
        engine.stop_daemon()
        time.sleep(1)
        phase = str(stays.controller.check(run).phase)
        assert phase in ("running", "starting"), phase  # not to be asked is not to be gone (P7)
        engine.start_daemon()
        if finisher == "tidy":
            waiter.kill()
            stays.finish(run, "tidy")
        _, errors = waiter.communicate(timeout=60)
    assert finisher == "tidy" or waiter.returncode == 0, errors
    assert stays.controller.check(run).phase == "succeeded"
    must_be_settled(stays, engine)


def test_an_engine_that_is_found_down_when_a_machine_is_replaced_is_named_for_it(
    stays: Toy, engine: Engine
) -> None:
    stays.times |= {"fence": "4s", "lease": "6s", "boot": "4s"}
    stays.actions["application"] += "losses = 1\n"
    stays.write()
    run, machine = begun(stays)
    engine.docker("kill", machine)
    engine.stop_daemon()
    try:
        with stays.spawn("wait", run.label) as waiter:
            ended = lambda: stays.record(run.outcome, Outcome) is not None  # noqa: E731
            eventually(ended, "it waits for ever", within=120)
            engine.start_daemon()
            _, errors = waiter.communicate(timeout=120)
    finally:
        if not engine.answers():
            engine.start_daemon()
    assert waiter.returncode == 0, errors
    assert "the container engine does not answer" in errors
    outcome = stays.outcome(run)
    assert outcome.kind == "lost"
    assert "no agent began within 4 s: the container engine does not answer" in outcome.cause
    stays.foretell("check", run.label, code=3)
    stays.foretell("tidy")
    assert engine.containers() == []


@pytest.mark.parametrize("locked", [False, True])
def test_while_the_engine_is_down_nothing_is_started(toy: Toy, engine: Engine, locked: bool) -> None:
    toy.locked() if locked else toy.foretell("run", "training")
    engine.stop_daemon()
    try:
        refused = toy.foretell("run", "training", code=3)
        assert "the container engine does not answer" in refused.stderr
        assert len(list(toy.store.glob("toy/1/training/*/*"))) == (not locked)
    finally:
        engine.start_daemon()
    assert engine.containers() == []


def test_a_command_that_needs_more_memory_than_it_may_fails_for_that(toy: Toy, engine: Engine) -> None:
    toy.platform = 'memory = "128m"'
    toy.command("training", 'exec python -c "b = bytearray(500_000_000)"')
    failed = toy.foretell("run", "training", code=1)
    assert "out of memory" in failed.stderr
    assert engine.containers() == []


def test_an_agent_without_memory_is_lost_for_that(toy: Toy, engine: Engine) -> None:
    toy.platform = 'memory = "12m"'
    toy.write()
    lost = toy.foretell("run", "training", code=3)
    assert "memory" in lost.stderr
    assert "memory" in toy.host(toy.newest("training")).cause
    assert engine.containers() == []


def test_an_image_that_was_removed_cannot_be_run_again(stays: Toy, engine: Engine) -> None:
    run, machine = begun(stays)
    image = engine.docker("inspect", "--format", "{{.Image}}", machine).stdout.strip()
    engine.docker("kill", machine)
    engine.docker("rm", machine)
    engine.docker("rmi", "--force", image)
    assert stays.finish(run, "wait") == "lost"
    assert "is not on this machine" in stays.outcome(run).cause
    assert stays.foretell("check", run.label, code=3)
    assert "is not on this machine" in stays.host(run, 2).cause
    assert engine.containers() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=1777", "small", str(place)], check=False
    )
    if mounted.returncode:
        lacking("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_fails_the_run_for_that(toy: Toy, engine: Engine, small_disk: Path) -> None:
    toy.platform = f'volumes = ["{small_disk}:/tmp"]'
    toy.command("training", "head -c 9000000 /dev/zero > output/model")
    failed = toy.foretell("run", "training", code=1)
    assert "No space left on device" in failed.stderr
    assert engine.containers() == []


def test_a_full_disk_before_the_command_fails_the_run_for_that(
    toy: Toy, engine: Engine, small_disk: Path
) -> None:
    (small_disk / "filler").write_bytes(b"")
    subprocess.run(
        ["sh", "-c", f"head -c 9000000 /dev/zero > {small_disk}/filler"], check=False, capture_output=True
    )
    toy.platform = f'volumes = ["{small_disk}:/tmp"]'
    toy.command("training", "echo model > output/model")
    failed = toy.foretell("run", "training", code=None)
    assert failed.returncode in (1, 3)
    assert "not enough disk space for the copies" in failed.stderr
    assert engine.containers() == []


# --- the registry -----------------------------------------------------------------------------------------------------


@pytest.fixture
def pushed(toy: Toy, engine: Engine) -> Toy:
    """A service whose image is in the registry and not on this machine, and whose first attempt is its last."""
    toy.command("training", "echo from the registry > output/model")
    toy.actions["training"] += "losses = 0\n"
    toy.write()
    toy.locked()
    engine.forget(f"{REGISTRY}/team/toy")
    return toy


def test_a_registry_that_is_down_ends_the_run_and_says_so(pushed: Toy, engine: Engine) -> None:
    engine.stop_registry()
    try:
        lost = pushed.foretell("run", "training", code=3)
        unreachable = pushed.foretell("build", "--push", code=3)
    finally:
        engine.start_registry()
    assert "cannot be pulled" in lost.stderr
    assert "refused" in lost.stderr
    assert "cannot be pulled" in pushed.host(pushed.newest("training")).cause
    assert "the registry cannot be asked" in unreachable.stderr
    assert engine.containers() == []


def test_a_registry_that_is_slow_only_takes_its_time(pushed: Toy, engine: Engine) -> None:
    os.kill(engine.registry, signal.SIGSTOP)
    try:
        with pushed.spawn("run", "training") as run:
            time.sleep(4)
            assert run.poll() is None
            os.kill(engine.registry, signal.SIGCONT)
            _, errors = run.communicate(timeout=60)
    finally:
        os.kill(engine.registry, signal.SIGCONT)
    assert run.returncode == 0, errors


REFUSING = """
import http.server
class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="team"')
        self.end_headers()
    do_HEAD = do_POST = do_PUT = do_GET
http.server.HTTPServer(("127.0.0.1", 5055), Refusing).serve_forever()
"""


def answers(engine: Engine) -> bool:
    """Whether somebody listens where the registry does."""
    asked = ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5055"]
    return engine.inside(*asked).wait() == 0


def test_a_registry_that_lets_nobody_in_is_told_as_such(pushed: Toy, engine: Engine) -> None:
    engine.stop_registry()
    refusing = engine.inside(sys.executable, "-c", REFUSING)
    try:
        eventually(lambda: answers(engine), "nobody refuses")
        lost = pushed.foretell("run", "training", code=3)
        unreachable = pushed.foretell("build", "--push", code=3)
    finally:
        refusing.kill()
        refusing.wait()
        engine.start_registry()
    assert "cannot be pulled" in lost.stderr
    assert "no basic auth credentials" in lost.stderr or "unauthorized" in lost.stderr
    assert "docker login localhost:5055" in unreachable.stderr
    assert engine.containers() == []
