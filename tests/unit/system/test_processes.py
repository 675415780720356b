"""Processes found by their ancestors and by the marker in their environment."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from foretell.system import processes as module
from foretell.system.processes import descendants, kill_survivors, marker, survivors

MACHINE = f"test-{os.getpid()}"


@pytest.fixture(params=["proc", "psutil"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look both ways, also where one would do: as Linux does, and as macOS must."""
    if request.param == "psutil":
        monkeypatch.setattr(module, "HAS_PROC", False)
    elif not module.HAS_PROC:
        pytest.skip("no /proc here")


@pytest.fixture
def marked() -> Iterator[subprocess.Popen[bytes]]:
    yield from sleeping({"FORETELL_MACHINE": MACHINE})


@pytest.fixture
def alike() -> Iterator[subprocess.Popen[bytes]]:
    yield from sleeping({"FORETELL_MACHINE": f"{MACHINE}-2", "X_FORETELL_MACHINE": MACHINE})


def sleeping(variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    argv, env = ["sh", "-c", "echo ready; read _"], {**os.environ, **variables}
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.usefixtures("way")
def test_who_carries_the_marker_is_found_and_who_is_like_it_is_not(
    marked: subprocess.Popen[bytes], alike: subprocess.Popen[bytes]
) -> None:
    assert survivors(marker(MACHINE)) == [marked.pid]
    assert survivors(marker(f"{MACHINE}-2")) == [alike.pid]
    assert survivors(marker(f"{MACHINE}-3")) == []


@pytest.mark.usefixtures("way")
def test_who_carries_the_marker_is_killed_and_nobody_else(
    marked: subprocess.Popen[bytes], alike: subprocess.Popen[bytes]
) -> None:
    assert kill_survivors(marker(MACHINE)) == [marked.pid]
    assert marked.wait(5) == -9
    assert alike.poll() is None
    assert kill_survivors(marker(MACHINE)) == []


@pytest.mark.skipif(not module.HAS_PROC, reason="no /proc here")
def test_a_process_is_found_also_while_it_becomes_its_program() -> None:
    """A second after its fork it would be found by any reader; in the first instant its environment is empty."""
    env = {**os.environ, "FORETELL_MACHINE": MACHINE}
    for _ in range(100):
        with subprocess.Popen(["sleep", "60"], env=env) as process:
            found = survivors(marker(MACHINE))
            process.kill()
        assert found == [process.pid]


def test_who_asks_is_not_among_them() -> None:
    script = (
        "from foretell.system.processes import kill_survivors, marker, survivors\n"
        f"entry = marker({MACHINE!r})\n"
        "assert survivors(entry) == kill_survivors(entry) == []"
    )
    path = str(Path(module.__file__).parents[1])
    env = {**os.environ, "FORETELL_MACHINE": MACHINE, "PYTHONPATH": path}
    assert subprocess.run([sys.executable, "-c", script], env=env, check=False).returncode == 0


def test_who_forks_all_the_time_is_killed_in_the_end(tmp_path: Path) -> None:
    script = (
        "import os, time\n"
        "for generation in range(1000):\n"
        "    time.sleep(0.003)\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        "    open('born', 'a').write('x')\n"
    )
    env = {**os.environ, "FORETELL_MACHINE": MACHINE}
    born = tmp_path / "born"
    with subprocess.Popen([sys.executable, "-c", script], env=env, cwd=tmp_path, start_new_session=True):
        while not born.exists() or born.stat().st_size < 20:
            time.sleep(0.005)
        kill_survivors(marker(MACHINE))
    size = born.stat().st_size
    time.sleep(0.1)
    assert born.stat().st_size == size < 1000


@pytest.mark.usefixtures("way")
def test_descendants_are_all_below_and_alive() -> None:
    script = "sleep 60 & (exit 0) & sh -c 'sleep 60 & echo ready; wait'"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        end = time.monotonic() + 5
        while (names := named(descendants(process.pid))) != [
            "sh",
            "sleep",
            "sleep",
        ] and time.monotonic() < end:
            time.sleep(0.005)
        os.killpg(process.pid, 9)
    assert names == ["sh", "sleep", "sleep"]
    assert descendants(process.pid) == []


def named(pids: list[int]) -> list[str]:
    names = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(psutil.Process(pid).name())
    return sorted(names)
