"""Whole processes and calls, timed in turn (A B C A B C ...): medians, extremes, and ratios within each round."""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from resource import struct_rusage
from typing import NamedTuple, TypeAlias

PR_SET_CHILD_SUBREAPER = 36
MEMORY_UNIT = 1 if sys.platform == "darwin" else 1024
STRAY = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables that make one contestant another program than a user would start."""


class Usage(NamedTuple):
    """
    What one go took: seconds until it ended, CPU seconds of all its processes, bytes of the largest.

    `own` are the CPU seconds of the program that was called, without those that it left running.
    """

    wall: float
    cpu: float
    memory: int = 0
    own: float = 0.0


Contestant: TypeAlias = Callable[[], Usage]
Results: TypeAlias = dict[str, list[Usage]]


def environment(**variables: str) -> dict[str, str]:
    """Give this process's environment without what would make a contestant slower than a user sees it."""
    return {name: value for name, value in os.environ.items() if name not in STRAY} | variables


def command(argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> Usage:
    """
    Run a program to its end; what it leaves running is waited for as well, but only its CPU time counts.

    A program that does not succeed is a RuntimeError with what it said.
    """
    _adopt_orphans()
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        child = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            raise RuntimeError(
                f"{argv} ended with {child.returncode}:\n{said.read().decode(errors='replace')}"
            )
    own = usage.ru_utime + usage.ru_stime
    cpu, memory = own, usage.ru_maxrss
    for orphan in _orphans():
        cpu, memory = cpu + orphan.ru_utime + orphan.ru_stime, max(memory, orphan.ru_maxrss)
    return Usage(wall, cpu, memory * MEMORY_UNIT, own)


def call(work: Callable[[], object]) -> Usage:
    """Time a call in this process, all threads of it included."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Usage(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(contestants: Mapping[str, Contestant], *, rounds: int, warmup: int = 1) -> Results:
    """Let everybody go once a round, so that a busy minute of the machine is busy for all."""
    for _ in range(warmup):
        for go in contestants.values():
            go()
    results: Results = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, go in contestants.items():
            results[name].append(go())
    return results


def ratios(
    results: Results, name: str, base: str, of: Callable[[Usage], float] = lambda u: u.wall
) -> list[float]:
    """Give how a contestant compares with another one, round by round."""
    return [of(mine) / of(theirs) for mine, theirs in zip(results[name], results[base], strict=True)]


def spread(values: Iterable[float], digits: int = 2) -> str:
    """Show a median with its extremes."""
    values = list(values)
    shown = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return "{} ({}-{})".format(*shown)


def table(title: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a Markdown table, its first column left-aligned, the others right."""
    lines = [title, ["---", *["---:"] * (len(title) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Describe what was measured on, in a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    python = ".".join(map(str, sys.version_info[:3]))
    where = f"{os.cpu_count()} cores, {memory:.0f} GiB, {os.uname().sysname}, Python {python}"
    return f"{where}; load {load:.1f} at the start"


def _adopt_orphans() -> None:
    """Become the parent of what a contestant leaves running, so that its CPU time counts (on Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _orphans() -> Iterable[struct_rusage]:
    while True:
        try:
            yield os.wait4(-1, 0)[2]
        except ChildProcessError:
            return
