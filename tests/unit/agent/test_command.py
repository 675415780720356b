"""Running a command: its output, its limits, its end, and the end of everything it started."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from foretell.agent import command
from foretell.agent.command import Ended, Limits, run
from foretell.system.processes import children, descendants

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")


class Printed:
    """What a command printed, as it arrived."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []

    def __call__(self, stream: int, data: bytes) -> None:
        self.pieces.append((stream, data))

    def of(self, stream: int) -> bytes:
        return b"".join(data for number, data in self.pieces if number == stream)


def limits(
    *, timeout: float | None = 30, kill_after: float = 0.3, stopping: bool = False, killing: bool = False
) -> Limits:
    made = Limits(
        timeout=timeout, kill_after=kill_after, stopping=threading.Event(), killing=threading.Event()
    )
    if stopping:
        made.stopping.set()
    if killing:
        made.killing.set()
    return made


def ran(
    *argv: str,
    cwd: Path = Path("/"),
    sink: Callable[[int, bytes], None] = lambda _stream, _data: None,
    env: Mapping[str, str] = os.environ,
    within: Limits | None = None,
) -> Ended:
    return run(argv, cwd=cwd, env=env, sink=sink, limits=within or limits())


def shell(script: str, **options: object) -> Ended:
    return ran("sh", "-c", script, **options)  # type: ignore[arg-type]


def python(script: str, **options: object) -> Ended:
    return ran(sys.executable, "-c", script, **options)  # type: ignore[arg-type]


def is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(path: Path) -> str:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.005)
    raise AssertionError(path)


@contextmanager
def after(path: Path, act: Callable[[], object]) -> Iterator[None]:
    """Act as soon as the command has written a file: when it is ready, in other words."""
    thread = threading.Thread(target=lambda: (wait_for(path), act()))
    thread.start()
    yield
    thread.join()


# --- the end -----------------------------------------------------------------------------------------------


def test_a_command_that_succeeds() -> None:
    ended = ran("true")
    assert ended.ok
    assert (ended.code, ended.signal, ended.cause) == (0, None, "")


def test_an_exit_code() -> None:
    ended = shell("exit 3")
    assert not ended.ok
    assert (ended.code, ended.signal, ended.cause) == (3, None, "the command ended with exit code 3")


def test_a_signal() -> None:
    ended = shell("kill -SEGV $$")
    assert (ended.code, ended.signal) == (None, signal.SIGSEGV)
    assert ended.cause == "the command was killed by signal 11 (Segmentation fault)"


def test_the_directory_the_variables_and_no_standard_input(tmp_path: Path) -> None:
    printed = Printed()
    ended = shell(
        'pwd; echo "$X"; cat', cwd=tmp_path, env={"X": "ä", "PATH": os.environ["PATH"]}, sink=printed
    )
    assert ended.ok
    assert printed.of(1).decode() == f"{tmp_path}\nä\n"


def test_time_and_memory_are_of_all_processes() -> None:
    hog = "x = bytearray(200_000_000); sum(range(3_000_000))"
    ended = python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{hog}'])")
    # a child shows at least what the process held that started it
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 200e6 < ended.memory < max(400e6, 1.1 * held)
    assert 0.02 < ended.cpu < 20
    assert ended.wall > 0.02


@LINUX
def test_time_of_an_orphan_counts(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass\nopen('done', 'w').write('x')"
    (tmp_path / "burn.py").write_text(burn)
    script = f"(setsid {sys.executable} burn.py &); while [ ! -s done ]; do sleep 0.02; done"
    assert shell(script, cwd=tmp_path).cpu >= 0.3


def test_the_end_is_noticed_at_once() -> None:
    walls = []
    for _ in range(5):
        begun = time.monotonic()
        ran("true")
        walls.append(time.monotonic() - begun)
    assert min(walls) < 0.04


# --- programs that do not start ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "place"), [("no-such", "on the PATH"), ("./no-such", "in the working directory")]
)
def test_a_program_that_is_not_there(program: str, place: str) -> None:
    assert ran(program) == Ended(code=127, cause=f'the program "{program}" is not found {place}')


@pytest.mark.parametrize(
    ("text", "mode", "cause"),
    [
        (
            "#!/no/such/interpreter\n",
            0o755,
            'begins with "#!/no/such/interpreter", but there is no such interpreter',
        ),
        ("echo hello\n", 0o755, 'is neither a program for this machine nor a script that begins with "#!"'),
        ("#!/bin/sh\n", 0o644, 'is not executable; "chmod +x" it'),
    ],
)
def test_a_program_that_cannot_be_executed(tmp_path: Path, text: str, mode: int, cause: str) -> None:
    (tmp_path / "train").write_text(text)
    (tmp_path / "train").chmod(mode)
    assert ran("./train", cwd=tmp_path) == Ended(code=126, cause=f'the program "./train" {cause}')


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    assert ran(str(tmp_path)).cause == f'the program "{tmp_path}" is a directory'


def test_arguments_that_no_system_takes() -> None:
    assert ran("true", "a\0b") == Ended(
        code=126, cause='the program "true" cannot be started: embedded null byte'
    )
    assert (
        ran("true", "x" * 10_000_000).cause == 'the program "true" cannot be started: argument list too long'
    )


def test_no_descriptor_and_no_thread_stays_behind() -> None:
    ran("true")
    before = len(list(Path("/dev/fd").iterdir())), threading.active_count()
    for program in ("true", "false", "no-such-program"):
        ran(program)
    assert (len(list(Path("/dev/fd").iterdir())), threading.active_count()) == before


# --- output ------------------------------------------------------------------------------------------------


def test_both_streams_are_kept_byte_for_byte() -> None:
    printed = Printed()
    data = bytes(range(256)) * 1000
    python("import os\nd = bytes(range(256)) * 1000\nos.write(1, d); os.write(2, d[::-1])", sink=printed)
    assert (printed.of(1), printed.of(2)) == (data, data[::-1])


def test_the_order_of_both_streams_is_that_of_arrival() -> None:
    printed = Printed()
    shell("for i in 1 2 3; do echo out; sleep 0.1; echo err >&2; sleep 0.1; done", sink=printed)
    assert printed.pieces == [(1, b"out\n"), (2, b"err\n")] * 3


def test_output_arrives_while_the_command_runs() -> None:
    arrived: list[float] = []
    begun = time.monotonic()
    ended = shell("echo now; sleep 0.5", sink=lambda _stream, _data: arrived.append(time.monotonic() - begun))
    assert arrived[0] < ended.wall - 0.3


def test_a_command_that_closes_its_output_goes_on() -> None:
    printed = Printed()
    ended = shell("echo last; exec >&- 2>&-; sleep 0.2; exit 5", sink=printed)
    assert (ended.code, printed.of(1)) == (5, b"last\n")
    assert ended.wall > 0.2


def test_ticks_come_also_while_nothing_is_printed() -> None:
    ticks: list[float] = []
    argv = ["sh", "-c", "exec >&- 2>&-; sleep 0.6"]
    run(
        argv,
        cwd=Path("/"),
        env=os.environ,
        sink=lambda _stream, _data: None,
        limits=limits(),
        tick=lambda: ticks.append(time.monotonic()),
    )
    assert len(ticks) >= 4


def test_a_slow_sink_holds_the_command_back() -> None:
    taken = 0
    seen: list[int] = []

    def sink(_stream: int, data: bytes) -> None:
        nonlocal taken
        taken += len(data)
        seen.append(len(data))
        time.sleep(0.01)

    ended = shell("head -c 5000000 /dev/zero", sink=sink)
    assert ended.ok
    assert taken == 5_000_000
    assert max(seen) <= 1024 * 1024


def with_package() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[2])}


@LINUX
@pytest.mark.slow
def test_a_gigabyte_passes_in_bounded_memory() -> None:
    script = (
        "import os\n"
        "from pathlib import Path\nfrom threading import Event\n"
        "from foretell.agent.command import Limits, run\n"
        "n = 0\ndef sink(_, data):\n    global n\n    n += len(data)\n"
        "command = ['head', '-c', '1000000000', '/dev/zero']\n"
        "limits = Limits(stopping=Event(), killing=Event())\n"
        "run(command, cwd=Path('/'), env=os.environ, sink=sink, limits=limits)\n"
        "assert n == 1_000_000_000\n"
        # not ru_maxrss, which begins with what the process held that started this one
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=with_package())
    assert int(done.stdout) < 100 * 1024


def test_a_sink_that_raises_ends_the_command() -> None:
    def sink(_stream: int, _data: bytes) -> None:
        raise OSError("the store is gone")

    begun = time.monotonic()
    with pytest.raises(OSError, match="the store is gone"):
        shell("while :; do echo x; done", sink=sink)
    assert time.monotonic() - begun < 5
    assert descendants(os.getpid()) == []


# --- limits ------------------------------------------------------------------------------------------------


def test_a_time_limit() -> None:
    ended = ran("sleep", "30", within=limits(timeout=0.2))
    assert (ended.timed_out, ended.stopped, ended.ok) == (True, False, False)
    assert ended.cause == "the command ran longer than its limit of 0.2 s"
    assert ended.wall < 2


def test_a_command_may_end_in_good_order_after_its_limit(tmp_path: Path) -> None:
    script = "trap 'echo saved > saved; exit 0' TERM; while :; do sleep 0.02; done"
    ended = shell(script, cwd=tmp_path, within=limits(timeout=0.2, kill_after=5))
    assert (tmp_path / "saved").read_text() == "saved\n"
    assert (ended.code, ended.timed_out, ended.ok) == (0, True, False)


def test_a_command_that_ignores_term_is_killed() -> None:
    ended = python(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(30)",
        within=limits(timeout=0.3),
    )
    assert (ended.signal, ended.timed_out) == (signal.SIGKILL, True)
    assert ended.wall < 3


def test_a_command_that_stands_still_is_ended_too(tmp_path: Path) -> None:
    within = limits(timeout=None, kill_after=5)
    with after(tmp_path / "ready", within.stopping.set):
        ended = shell("echo x > ready; kill -STOP $$; sleep 30", cwd=tmp_path, within=within)
    assert ended.wall < 3


def test_a_stop_reaches_the_children_with_time_to_end(tmp_path: Path) -> None:
    child = "trap 'sleep 0.3; echo saved > saved; exit' TERM; echo x > ready; while :; do sleep 0.02; done"
    within = limits(timeout=None, kill_after=5)
    with after(tmp_path / "ready", within.stopping.set):
        ended = shell(f'sh -c "{child}"; exit 0', cwd=tmp_path, within=within)
    assert (ended.stopped, ended.cause) == (True, "the command was stopped")
    assert (tmp_path / "saved").read_text() == "saved\n"


def test_a_kill_is_at_once(tmp_path: Path) -> None:
    within = limits(timeout=None, kill_after=60)
    with after(tmp_path / "ready", within.killing.set):
        ended = shell("trap '' TERM; echo x > ready; while :; do sleep 1; done", cwd=tmp_path, within=within)
    assert (ended.stopped, ended.signal) == (True, signal.SIGKILL)
    assert ended.wall < 3


def test_a_kill_comes_through_while_the_sink_blocks() -> None:
    within = limits(timeout=None, kill_after=0.2)
    blocked = threading.Event()

    def sink(_stream: int, _data: bytes) -> None:
        within.killing.set()
        blocked.wait(20)

    begun = time.monotonic()
    ended = shell("echo x; sleep 30", sink=sink, within=within)
    assert ended.stopped
    assert time.monotonic() - begun < 3
    blocked.set()


def test_a_kill_during_the_time_to_end_is_heard(tmp_path: Path) -> None:
    within = limits(timeout=0.2, kill_after=60)
    with after(tmp_path / "asked", within.killing.set):
        ended = shell("trap 'echo x > asked' TERM; while :; do sleep 0.02; done", cwd=tmp_path, within=within)
    assert ended.wall < 5


# --- what a command leaves behind --------------------------------------------------------------------------


@LINUX
@pytest.mark.parametrize(
    "daemon", ["sleep 60 &", "(setsid sleep 60 &)", "(setsid nohup sh -c 'sleep 60 & wait' &)"]
)
def test_nothing_survives_the_command(daemon: str) -> None:
    ended = shell(f"{daemon}\nsleep 0.1; exit 4")
    assert ended.code == 4
    assert ended.wall < 3
    assert children(os.getpid()) == []


@LINUX
def test_a_daemon_that_cleans_its_environment_is_found_too(tmp_path: Path) -> None:
    shell(
        "(env -i setsid sh -c 'echo $$ > pid; exec sleep 60' &); while [ ! -s pid ]; do :; done", cwd=tmp_path
    )
    assert is_dead(int((tmp_path / "pid").read_text()))


@LINUX
def test_a_daemon_that_forks_while_it_is_killed_does_not_escape(tmp_path: Path) -> None:
    script = (
        "import os, time\n"
        "for generation in range(5000):\n"
        "    if os.fork():\n"
        "        time.sleep(0.002)\n"
        "        os._exit(0)\n"
        "    os.setsid()\n"
    )
    (tmp_path / "hydra.py").write_text(script)
    shell(f"({sys.executable} hydra.py &); sleep 0.3", cwd=tmp_path)
    assert children(os.getpid()) == []


@LINUX
def test_a_child_that_was_there_before_is_let_alone() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        shell("sleep 60 & exit 0")
        assert other.poll() is None
        other.kill()
