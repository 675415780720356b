"""Processes, found by their ancestors or by a marker in their environment, and how they are killed."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PROC = Path("/proc")
HAS_PROC = (PROC / "self" / "environ").exists()
STATE, FLAGS, BORN, KERNEL_THREAD = 0, 6, 19, 0x00200000
PAUSE = 0.002
LOOKS = 3
"""Looks that find nothing, in a row: one may miss a process that is just being forked."""
MORE_LOOKS = 20
"""The same after something was found: who forks all the time is missed by most looks on a busy machine."""

YOUNG = 1.0
"""Seconds since its fork in which a process may still be becoming its program, on a machine that is busy."""


def marker(machine: str) -> str:
    """Return the environment entry that every process of a machine carries."""
    return f"FORETELL_MACHINE={machine}"


def survivors(entry: str) -> list[int]:
    """Return the live processes but this one whose environment holds `entry` ("NAME=value"), newest first."""
    return list(_carriers(entry))


def kill_survivors(entry: str, *, patience: float = 5.0) -> list[int]:
    """
    Kill every process that carries `entry`, also those that are forked meanwhile; give who was killed.

    Returns when none is left, or after `patience` seconds (a process in an uninterruptible call dies later).
    """
    killed: set[int] = set()
    end, quiet = time.monotonic() + patience, 0
    while quiet < (MORE_LOOKS if killed else LOOKS) and time.monotonic() < end:
        found = False
        # each is killed as it is found: who forks and ends all the time is gone when the last process was looked at
        for pid in _carriers(entry):
            _kill_if(pid, entry)
            killed.add(pid)
            found = True
        quiet = 0 if found else quiet + 1
        time.sleep(PAUSE if found else 0)
    return sorted(killed)


def descendants(pid: int) -> list[int]:
    """List the live processes below `pid`, parents before children."""
    if not HAS_PROC:
        psutil = _psutil()
        try:
            below = psutil.Process(pid).children(recursive=True)
            return [child.pid for child in below if child.status() != psutil.STATUS_ZOMBIE]
        except psutil.Error:
            return []
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children(waiting.pop())
        found += below
        waiting += below
    return [child for child in found if _is_alive(child)]


def processes() -> list[tuple[int, int]]:
    """List every process with its group."""
    found: list[tuple[int, int]] = []
    for pid in _pids():
        try:
            found.append((pid, os.getpgid(pid)))
        except OSError:
            continue
    return found


def directory(pid: int) -> Path | None:
    """Return the working directory of a live process of ours, None where it cannot be told."""
    if not HAS_PROC:
        psutil = _psutil()
        try:
            return Path(psutil.Process(pid).cwd())
        except (psutil.Error, OSError):
            return None
    try:
        return Path(os.readlink(PROC / str(pid) / "cwd"))  # noqa: PTH115 - two Paths less for every process there is
    except OSError:
        return None


def children(pid: int) -> list[int]:
    """List the children of `pid`, also the dead not waited for; nothing where there is no /proc."""
    found: list[int] = []
    try:
        for thread in (PROC / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except OSError:
        return found
    return found


def kill(pids: Iterable[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to each; who is gone already is passed over, and so is who may not be signalled."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue


def _carriers(entry: str) -> Iterator[int]:
    # newest first, since a process that forks and ends all the time is caught only while it is young
    return (pid for pid in sorted(_pids(), reverse=True) if pid != os.getpid() and _carries(pid, entry))


def _pids() -> list[int]:
    if not HAS_PROC:
        return list(_psutil().pids())
    return [int(place.name) for place in PROC.iterdir() if place.name.isdigit()]


def _carries(pid: int, entry: str) -> bool:
    if HAS_PROC:
        return os.fsencode(entry) in _environment(pid).split(b"\0")
    name, _, value = entry.partition("=")
    psutil = _psutil()
    try:
        return bool(psutil.Process(pid).environ().get(name) == value)
    except (psutil.Error, OSError):
        return False


def _kill_if(pid: int, entry: str) -> None:
    """Kill what still carries the entry, by a handle: its number may be another's meanwhile."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError) as error:
        if getattr(error, "errno", None) != errno.ESRCH and _carries(pid, entry):
            kill([pid])
        return
    try:
        if _carries(pid, entry):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        os.close(handle)


def _environment(pid: int) -> bytes:
    """Read a process's environment; for an instant, while the process becomes another program, it has none."""
    looks = 0
    while looks < LOOKS or _is_young(pid):
        try:
            found = (PROC / str(pid) / "environ").read_bytes()
        except OSError:
            return b""
        if found or not _is_alive(pid):
            return found
        looks += 1
        time.sleep(PAUSE)
    return b""


def _is_alive(pid: int) -> bool:
    """Tell whether a process runs a program: neither dead and not waited for, nor a thread of the kernel."""
    fields = _stat(pid)
    return bool(fields) and fields[STATE] not in (b"Z", b"X") and not int(fields[FLAGS]) & KERNEL_THREAD


def _is_young(pid: int) -> bool:
    fields = _stat(pid)
    if not fields:
        return False
    born = int(fields[BORN]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - born < YOUNG


def _stat(pid: int) -> list[bytes]:
    """Read what the kernel tells of a process, from its state on; nothing of one that is gone."""
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return []
    # the name of the program stands in parentheses before the rest and may itself hold any character
    return stat.rpartition(b")")[2].split()


def _psutil() -> Any:
    """Load psutil, only where there is no /proc: it is not installed elsewhere, and takes 25 ms to load."""
    import psutil

    return psutil
