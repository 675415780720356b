"""Out of memory: where the kernel counts, and a command that is really killed for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from foretell.agent import command
from foretell.agent.command import Ended, Limits, run
from foretell.agent.memory import CGROUPS, OWN, oom_kills


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("4:memory:/a/b\n0::/\n", {"memory/a/b/memory.oom_control": "oom_kill_disable 0\noom_kill 7\n"}, 7),
        ("4:memory:/of/the/host\n", {"memory/memory.oom_control": "under_oom 0\noom_kill 6\n"}, 6),
        ("0::/user.slice\n", {"user.slice/memory.events": "low 0\noom 9\noom_kill 5\n"}, 5),
        ("0::/\n", {"memory.events": "oom_kill 4\n"}, 4),
        ("0::/\n", {"vmstat": "nr_free_pages 1\noom_kill 3\n"}, 3),
        ("0::/\n", {}, None),
    ],
)
def test_where_the_kernel_counts(
    tmp_path: Path, own: str, files: dict[str, str], expected: int | None
) -> None:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert oom_kills(own=tmp_path / "own", cgroups=tmp_path, host=tmp_path / "vmstat") == expected


def test_a_kill_where_nothing_counts_is_perhaps_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "oom_kills", lambda: None)
    limits = Limits(stopping=threading.Event(), killing=threading.Event())
    ended = run(
        ["sh", "-c", "kill -KILL $$"], cwd=Path("/"), env=os.environ, sink=lambda _s, _d: None, limits=limits
    )
    assert (ended.signal, ended.oom) == (signal.SIGKILL, False)
    assert ended.cause == "the command was killed, possibly out of memory"


def with_package() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(command.__file__).parents[2])}


@pytest.fixture
def small_group() -> Iterator[Path]:
    """Make a control group of 64 MB below our own: what runs in it is bound by our limits and by its own."""
    paths = [line.split(":", 2) for line in OWN.read_text().splitlines()] if OWN.exists() else []
    own = next((path for _, controllers, path in paths if controllers == "memory"), None)
    if own is None:
        pytest.skip("no memory control group (version 1) here")
    group = CGROUPS / "memory" / own.lstrip("/") / f"foretell-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(64 * 1024 * 1024))
        yield group
    finally:
        end = time.monotonic() + 10
        while (group / "cgroup.procs").read_text() and time.monotonic() < end:
            time.sleep(0.01)
        group.rmdir()


IN_GROUP = """
import os, sys
from pathlib import Path
from threading import Event
import msgspec
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from foretell.agent.command import Limits, run
limits = Limits(stopping=Event(), killing=Event())
ended = run(sys.argv[2:], cwd=Path("/"), env=os.environ, sink=lambda stream, data: None, limits=limits)
print(msgspec.json.encode(ended).decode())
"""
HOG = "x = bytearray(300_000_000); print(len(x))"


@pytest.mark.parametrize(
    ("command", "code", "killed"),
    [
        (["sh", "-c", f"{sys.executable} -c '{HOG}' || exit 1"], 1, None),
        ([sys.executable, "-c", HOG], None, signal.SIGKILL),
    ],
)
def test_out_of_memory_is_seen_also_of_a_child(
    small_group: Path, command: list[str], code: int | None, killed: int | None
) -> None:
    argv = [sys.executable, "-c", IN_GROUP, str(small_group), *command]
    done = subprocess.run(argv, capture_output=True, check=True, env=with_package())
    ended = msgspec.json.decode(done.stdout, type=Ended)
    assert (ended.oom, ended.code, ended.signal) == (True, code, killed)
    assert ended.cause == "out of memory: the kernel killed the command or a child of it"


def test_a_failure_that_has_nothing_to_do_with_memory_is_not_out_of_memory(small_group: Path) -> None:
    argv = [sys.executable, "-c", IN_GROUP, str(small_group), "sh", "-c", "kill -KILL $$"]
    done = subprocess.run(argv, capture_output=True, check=True, env=with_package())
    ended = msgspec.json.decode(done.stdout, type=Ended)
    assert (ended.oom, ended.signal) == (False, signal.SIGKILL)
    assert ended.cause == "the command was killed by signal 9 (Killed)"
