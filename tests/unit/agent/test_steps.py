"""Several commands of one attempt: in turn, under one time limit, and no further than the first that fails."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from foretell.agent import steps
from foretell.agent.command import Ended, Limits
from foretell.protocol.records import Step


def limits(*, timeout: float | None = 30) -> Limits:
    return Limits(timeout=timeout, kill_after=0.3, stopping=threading.Event(), killing=threading.Event())


def run(
    place: Path, *scripts: str, within: Limits | None = None
) -> tuple[Ended, tuple[Step, ...], list[str], bytes]:
    said: list[str] = []
    printed: list[bytes] = []

    def say(sentence: str) -> None:
        said.append(sentence)
        printed.append(f"<{len(said)}>".encode())

    ended, done = steps.run(
        [["sh", "-c", script] for script in scripts],
        cwd=place,
        env={"PATH": "/usr/bin:/bin"},
        sink=lambda _, data: printed.append(data),
        limits=within or limits(),
        tick=lambda: None,
        say=say,
    )
    return ended, done, said, b"".join(printed)


def test_steps_run_in_turn_in_one_place_and_are_told_before_what_they_print(tmp_path: Path) -> None:
    ended, done, said, printed = run(tmp_path, "echo a > file", "cat file; sleep 0.1", "echo c")
    assert ended.ok
    assert (ended.code, ended.cause) == (0, "")
    assert [step.code for step in done] == [0, 0, 0]
    assert done[1].seconds >= 0.1
    assert ended.wall >= sum(step.seconds for step in done) - 0.01
    assert printed == b"<1><2>a\n<3>c\n"
    assert said[1] == "step 2 of 3: sh -c 'cat file; sleep 0.1'"


def test_a_single_command_is_no_step(tmp_path: Path) -> None:
    ended, done, said, printed = run(tmp_path, "echo a; exit 4")
    assert (ended.code, ended.cause) == (4, "the command ended with exit code 4")
    assert (done, said, printed) == ((), [], b"a\n")


def test_the_first_that_fails_ends_it_and_the_others_are_not_begun(tmp_path: Path) -> None:
    ended, done, said, _ = run(tmp_path, "true", "exit 3", "touch begun")
    assert (ended.ok, ended.code) == (False, 3)
    assert ended.cause == "step 2 of 3, sh -c 'exit 3': the command ended with exit code 3"
    assert [step.code for step in done] == [0, 3]
    assert len(said) == 2
    assert not (tmp_path / "begun").exists()


def test_a_step_that_a_signal_ends_fails_as_a_command_does(tmp_path: Path) -> None:
    ended, done, _, _ = run(tmp_path, "kill -9 $$", "touch begun")
    assert (ended.ok, ended.signal, done[0].signal, done[0].code) == (False, 9, 9, None)
    assert not (tmp_path / "begun").exists()


def test_a_program_that_is_not_there_fails_its_step(tmp_path: Path) -> None:
    ended, done = steps.run(
        [["true"], ["no-such-program"]],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        sink=lambda *_: None,
        limits=limits(),
        tick=lambda: None,
        say=lambda _: None,
    )
    assert ended.code == 127
    assert ended.cause.endswith('the program "no-such-program" is not found on the PATH')
    assert [step.code for step in done] == [0, 127]


def test_the_time_limit_is_of_all_steps_together(tmp_path: Path) -> None:
    begun = time.monotonic()
    ended, done, _, _ = run(tmp_path, "sleep 0.6", "sleep 60", "touch begun", within=limits(timeout=1))
    assert time.monotonic() - begun < 5
    assert (ended.ok, ended.timed_out, len(done)) == (False, True, 2)
    assert ended.cause == "step 2 of 3, sh -c 'sleep 60': the command ran longer than its limit of 1 s"
    assert not (tmp_path / "begun").exists()


def test_no_step_begins_when_the_time_is_over_or_the_end_is_asked_for(tmp_path: Path) -> None:
    over = limits(timeout=0)
    ended, done, said, _ = run(tmp_path, "touch begun", "true", within=over)
    assert (ended.timed_out, ended.code, done, said) == (True, None, (), [])
    stopping = limits()
    stopping.stopping.set()
    ended, done, said, _ = run(tmp_path, "touch begun", "true", within=stopping)
    assert (ended.stopped, done, said) == (True, (), [])
    assert not (tmp_path / "begun").exists()


def test_the_memory_is_of_the_largest_and_the_processor_of_all(tmp_path: Path) -> None:
    large = f"{sys.executable} -c 'b = bytearray(80_000_000); sum(range(2_000_000))'"
    ended, _, _, _ = run(tmp_path, large, "true")
    assert ended.memory > 80_000_000
    assert ended.cpu > 0.01
