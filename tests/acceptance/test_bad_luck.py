"""What a command can do to those who run it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.controller import history
from foretell.protocol.keys import Run
from foretell.protocol.records import Exit, Launch, Outcome
from foretell.protocol.rules import State
from tests.support.stage import DELIVERY, PREDICTIONS, Stage, eventually, must_be_gone

pytestmark = pytest.mark.slow

GIGABYTE = 1_000_000_000


def ended(stage: Stage, action: str) -> tuple[Run, State]:
    """Run an action to its end."""
    label = stage.act("start", action)
    controller = stage.controller
    run = controller.find(label)
    return run, controller.wait(run)


def exit_of(stage: Stage, run: Run, attempt: int = 1) -> Exit:
    end = stage.read(run.attempt(attempt).exit, Exit)
    assert isinstance(end, Exit), stage.tell()
    return end


def outcome_of(stage: Stage, run: Run) -> Outcome:
    outcome = stage.read(run.outcome, Outcome)
    assert isinstance(outcome, Outcome), stage.tell()
    return outcome


def log_of(stage: Stage, run: Run) -> dict[int, bytes]:
    streams = {1: b"", 2: b""}
    for stream, data in history.LogReader(stage.controller.store, run).read():
        streams[stream] += data
    return streams


def test_a_command_that_exits_with_3_has_failed(stage: Stage) -> None:
    stage.action("training", "exit 3")
    run, state = ended(stage, "training")
    assert (state.phase, state.exit_code) == ("failed", 1)
    assert exit_of(stage, run).code == 3
    assert outcome_of(stage, run).cause == "the command ended with exit code 3"
    stage.must_be_settled(run, "failed")


def test_a_command_that_a_signal_ends_has_failed(stage: Stage) -> None:
    stage.action("training", "kill -SEGV $$")
    run, state = ended(stage, "training")
    assert state.phase == "failed"
    assert exit_of(stage, run).signal == signal.SIGSEGV
    assert "signal 11" in state.cause


def test_bytes_that_are_no_text_are_kept_as_they_are(stage: Stage) -> None:
    every = bytes(range(256)) * 100
    (stage.root / "bytes").write_bytes(every)
    stage.action("training", "cat bytes; cat bytes bytes >&2")
    run, state = ended(stage, "training")
    assert state.phase == "succeeded"
    assert log_of(stage, run) == {1: every, 2: every * 2}


def test_what_we_say_stands_on_a_line_of_its_own(stage: Stage) -> None:
    stage.action("training", "echo 1 > model; printf 'no end' >&2")
    run, _ = ended(stage, "training")
    begun, said = log_of(stage, run)[2].split(b"\n", 1)
    assert begun == b"no end"
    assert said.startswith(b"foretell: not kept, because outside")


def test_a_command_that_prints_nothing_for_long_is_alive(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "quiet", times={"fence": "1s", "kill": "0.3s", "lease": "1.5s", "stale": "1.3s"})
    stage.action("training", "sleep 4")
    run, state = ended(stage, "training")
    assert (state.phase, stage.machines(run)[1:]) == ("succeeded", [])


@pytest.mark.parametrize("disguise", ["setsid", "env -i setsid"])
def test_a_daemon_dies_with_its_command(stage: Stage, disguise: str) -> None:
    stage.action(
        "training",
        f"({disguise} /bin/sh -c 'echo $$ > {stage.pids}; exec sleep 500' &); while ! [ -s {stage.pids} ]; do :; done",
    )
    run, state = ended(stage, "training")
    assert state.phase == "succeeded"
    must_be_gone([int(stage.pids.read_text())])
    stage.must_be_settled(run, "succeeded")


def test_a_command_that_ignores_term_is_killed_when_its_time_is_over(stage: Stage) -> None:
    stage.action(
        "training", f"trap '' TERM; sleep 500 & echo $$ $! > {stage.pids}; wait; wait", more='timeout = "1s"'
    )
    run, state = ended(stage, "training")
    assert (state.phase, state.exit_code) == ("timeout", 4)
    assert "longer than its limit of 1 s" in state.cause
    must_be_gone(map(int, stage.pids.read_text().split()))
    stage.must_be_settled(run, "timeout")


def test_stop_reaches_the_children(stage: Stage) -> None:
    stage.action("training", f"sleep 500 & echo $$ $! > {stage.pids}; wait")
    label = stage.act("start", "training")
    eventually(lambda: stage.pids.exists() and stage.pids.read_text().endswith("\n"), "no command")
    assert stage.act("stop", label) == "cancelled"
    must_be_gone(map(int, stage.pids.read_text().split()))
    run = stage.controller.find(label)
    assert stage.controller.check(run).exit_code == 6
    stage.must_be_settled(run, "cancelled")


def test_a_stop_that_comes_too_late_says_what_was_decided(stage: Stage) -> None:
    stage.action("training", "echo model > output/model")
    run, _ = ended(stage, "training")
    assert stage.controller.stop(run).kind == "produced"
    stage.must_be_settled(run, "succeeded")


def test_a_training_that_writes_nothing_has_failed(stage: Stage) -> None:
    stage.action("training", "true")
    stage.action("application", PREDICTIONS, more='inputs = ["training"]', delivery=DELIVERY)
    run, state = ended(stage, "training")
    assert state.phase == "failed"
    assert 'wrote nothing to "output/"' in state.cause
    stage.must_be_settled(run, "failed")


def test_a_failed_command_is_retried_as_often_as_allowed(stage: Stage) -> None:
    stage.action("training", '[ "$FORETELL_ATTEMPT" = 3 ] || exit 1', more="retries = 2")
    run, state = ended(stage, "training")
    assert (state.phase, state.attempt) == ("succeeded", 3)
    launches = [stage.read(run.attempt(number).launch, Launch) for number in (1, 2, 3)]
    assert [launch.failures_left for launch in launches if isinstance(launch, Launch)] == [2, 1, 0]
    stage.must_be_settled(run, "succeeded")


@pytest.mark.parametrize(
    ("metrics", "on_record"),
    [
        (b"{", None),
        (b"[1]", None),
        (b"", None),
        (b"\xff", None),
        (b'{"n": "' + b"x" * 2_000_000 + b'"}', None),
        (b'{"n": "\\ud800"}', None),
        (b'{"n": ' + b"[" * 5000 + b"]" * 5000 + b"}", None),
        (b'{"auc": NaN}', {"auc": None}),
    ],
)
def test_metrics_that_are_none_are_no_reason_to_fail(stage: Stage, metrics: bytes, on_record: object) -> None:
    (stage.root / "metrics").write_bytes(metrics)
    stage.action("training", "cp metrics output/metrics.json")
    run, state = ended(stage, "training")
    assert state.phase == "succeeded"
    assert outcome_of(stage, run).metrics == on_record


def test_a_gigabyte_of_output_is_kept_in_bounded_memory(stage: Stage) -> None:
    if shutil.disk_usage(stage.root).free < 3 * GIGABYTE:
        pytest.skip("needs 3 GB of disk")
    stage.action("training", f"head -c {GIGABYTE} /dev/zero; sleep 1")
    label = stage.act("start", "training")
    controller = stage.controller
    run = controller.find(label)
    peak = 0
    while not controller.check(run).phase.ended:
        peak = max([peak, *(peak_of(pid) for pid in stage.processes(run))])
        time.sleep(0.1)
    assert controller.check(run).phase == "succeeded", stage.tell()
    assert sum(len(data) for _, data in history.LogReader(controller.store, run).read()) == GIGABYTE
    assert 0 < peak < 250_000_000
    shutil.rmtree(stage.root)


def peak_of(pid: int) -> int:
    """The largest resident memory that a process ever had, bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stage]:
    """A service on a disk of 6 MB."""
    place = tmp_path / "small"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=6m", "small", str(place)], check=False
        ).returncode
    ):
        pytest.skip("needs the right to mount a file system")
    yield Stage(place / "service")
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_command_that_fills_the_disk_has_failed(small: Stage) -> None:
    small.action("training", "head -c 50000000 /dev/zero > output/model")
    run, state = ended(small, "training")
    assert state.phase == "failed"
    assert exit_of(small, run).code == 1
    assert b"No space left on device" in log_of(small, run)[2]
    small.must_be_settled(run, "failed")


def test_a_command_that_leaves_no_room_for_its_log_has_failed(small: Stage) -> None:
    small.action("training", "head -c 50000000 /dev/zero > output/model; head -c 3000000 /dev/zero; exit 1")
    run, state = ended(small, "training")
    assert state.phase == "failed"
    small.must_be_settled(run, "failed")


def test_an_output_that_does_not_fit_into_the_store_is_told(small: Stage) -> None:
    small.action("training", "head -c 4000000 /dev/zero > output/model")
    run, state = ended(small, "training")
    assert (state.phase, state.exit_code) == ("lost", 3)
    assert "StoreFullError: cannot write" in state.cause
    assert "No space left on device" in state.cause
    small.must_be_settled(run, "lost")


def test_predictions_that_leave_no_room_to_check_them_have_failed(small: Stage) -> None:
    lines = 'awk \'BEGIN {print "a,b"; for (i = 0; i < 120000; i++) printf "%d%d%d,%d\\n", rand()*1e9, rand()*1e9, rand()*1e9, i}\''
    small.action("application", f"{lines} > output/predictions.csv", delivery=DELIVERY)
    run, state = ended(small, "application")
    assert (state.phase, state.attempt) == ("failed", 1)
    assert 'not enough memory or disk space to validate "predictions.csv"' in state.cause
    small.must_be_settled(run, "failed")
