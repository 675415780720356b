"""Running one command: its output, its limits, its end, and the end of everything it started."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Event

from msgspec import Struct

from foretell.agent.memory import oom_kills
from foretell.agent.streams import Reader
from foretell.system.processes import children, descendants, kill, marker, survivors

LINUX = sys.platform == "linux"
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
STOP = "stop"
TIMEOUT = "timeout"
PAUSE = 0.1
GRACE_PAUSE = 0.01
SHORT_PAUSE = 0.002
PATIENCE_WITH_THE_DYING = 10.0
LOOKS = 2
LONGEST_LINE = 256
NOT_EXECUTABLE = 126
NOT_FOUND = 127
PR_SET_CHILD_SUBREAPER = 36


class Ended(Struct, frozen=True, kw_only=True):
    """
    How a command ended, when it and everything it started are dead.

    `code` is None where a signal ended it; 126 and 127 mean what they mean to a shell. `wall` and `cpu` are
    seconds, of all processes. `memory` is the peak of the largest process in bytes, never less than what the
    caller held when it started the command. `cause` is a sentence, empty for a success.
    """

    code: int | None = None
    signal: int | None = None
    oom: bool = False
    timed_out: bool = False
    stopped: bool = False
    wall: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    cause: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0 and not self.timed_out and not self.stopped


class Limits(Struct, frozen=True, kw_only=True):
    """
    What ends a command before it ends itself.

    `timeout` seconds and `stopping` send TERM, then KILL after `kill_after` seconds; `killing` KILL at once. The
    seconds count from `since`, by the monotonic clock; without it from when the command begins.
    """

    timeout: float | None = None
    since: float | None = None
    kill_after: float = 15.0
    stopping: Event
    killing: Event

    def deadline(self, begun: float) -> float:
        """Return when the time of a command is over that begins at `begun`, by the monotonic clock."""
        begun = self.since if self.since is not None else begun
        return begun + (self.timeout if self.timeout is not None else float("inf"))

    def over(self) -> Ended | None:
        """Return the end of a command that is not begun any more; None where it may begin."""
        if self.killing.is_set() or self.stopping.is_set():
            return Ended(stopped=True, cause=_cause(0, STOP, self, oom=False, counted=True))
        now = time.monotonic()
        if now >= self.deadline(now):
            return Ended(timed_out=True, cause=_cause(0, TIMEOUT, self, oom=False, counted=True))
        return None


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    sink: Callable[[int, bytes], None],
    limits: Limits,
    tick: Callable[[], None] = lambda: None,
) -> Ended:
    """
    Run a program (argv, no shell) in a session of its own, with no standard input, until all of it is dead.

    `sink(stream, data)` gets what it prints (stream 1 output, 2 error) in order of arrival, and `tick` is
    called some times a second, both in one other thread. If one raises, the command is killed and the error
    raised here. A program that cannot be started is an Ended with code 126 or 127. On Linux the caller
    adopts the orphans of the command, so nothing else in it may start a child meanwhile.
    """
    kills, begun = oom_kills(), time.monotonic()
    _adopt_orphans()
    strangers = frozenset(children(os.getpid()))
    try:
        process = Popen(
            argv, cwd=cwd, env=env, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
    except (OSError, ValueError) as error:
        return _not_started(argv[0], cwd, error)
    family = _Family(process.pid, strangers, env)
    with process.stdout as output, process.stderr as errors:  # type: ignore[union-attr]
        reader = Reader({output.fileno(): 1, errors.fileno(): 2}, sink, tick)
        try:
            reason = _supervise(family, limits, reader.broken, begun)
        finally:
            process.returncode = family.end()
            wall = time.monotonic() - begun
            reader.finish(limits.kill_after if limits.killing.is_set() else None)
    grown = kills is not None and (oom_kills() or 0) > kills
    code = process.returncode
    return Ended(
        code=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        oom=grown and (code != 0 or bool(reason)),
        timed_out=reason == TIMEOUT,
        stopped=reason == STOP,
        wall=wall,
        cpu=family.cpu,
        memory=family.memory,
        cause=_cause(code, reason, limits, oom=grown, counted=kills is not None),
    )


class _Family:
    """A command and all it started: its process group, and on Linux every descendant, whatever its group."""

    def __init__(self, pid: int, strangers: frozenset[int], env: Mapping[str, str]) -> None:
        self.pid = pid
        self.cpu = 0.0
        self.memory = 0
        self._strangers = strangers
        self._marker = marker(env.get("FORETELL_MACHINE", ""))
        self._end = _EndOf(pid)
        self._status: int | None = None

    def ended(self, patience: float) -> bool:
        """Wait up to `patience` seconds for the command; it stays a zombie, so that its number is its own."""
        if self._end.visible:
            return self._end.seen(patience)
        if self._status is None:
            time.sleep(patience / 2)
            self._reap(self.pid)
        return self._status is not None

    def others(self) -> list[int]:
        """List who is alive besides the command."""
        found = descendants(os.getpid()) if LINUX else survivors(self._marker)
        return [pid for pid in found if pid != self.pid and pid not in self._strangers]

    def signal(self, number: int) -> None:
        # nobody may be left in the group, of which macOS says "not permitted" while its leader is a zombie
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
        kill([pid for pid in self.others() if _group(pid) != self.pid], number)

    def reap_orphans(self) -> bool:
        """
        Wait for adopted processes that are dead; tell whether there was any adopted process, dead or alive.

        They count, and they would stay zombies as long as we live.
        """
        adopted = [pid for pid in children(os.getpid()) if pid != self.pid and pid not in self._strangers]
        for pid in adopted:
            self._reap(pid)
        return bool(adopted)

    def end(self) -> int:
        """Kill who is left, wait for all, and give the status as Popen has it (negative: a signal)."""
        quiet, give_up = 0, time.monotonic() + PATIENCE_WITH_THE_DYING
        # one look is not enough: the kernel's list of children may skip some while others die
        while quiet < LOOKS and time.monotonic() < give_up:
            self.signal(signal.SIGKILL)
            quiet = 0 if self.reap_orphans() or self.others() else quiet + 1
            time.sleep(0 if quiet else SHORT_PAUSE)
        if self._status is None:
            self._reap(self.pid, flags=0)
        self._end.close()
        return os.waitstatus_to_exitcode(self._status or 0)

    def _reap(self, pid: int, flags: int = os.WNOHANG) -> None:
        try:
            found, status, usage = os.wait4(pid, flags)
        except ChildProcessError:
            return
        if not found:
            return
        self.cpu += usage.ru_utime + usage.ru_stime
        self.memory = max(self.memory, usage.ru_maxrss * MAXRSS_UNIT)
        if pid == self.pid:
            self._status = status


class _EndOf:
    """The end of a process, seen without waiting for it in turns, where the system has a handle for it."""

    def __init__(self, pid: int) -> None:
        try:
            self._handle: int | None = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._handle = None

    @property
    def visible(self) -> bool:
        return self._handle is not None

    def seen(self, patience: float) -> bool:
        if self._handle is None:
            return False
        look = select.poll()
        look.register(self._handle, select.POLLIN)
        return bool(look.poll(patience * 1000))

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _supervise(family: _Family, limits: Limits, broken: Event, begun: float) -> str:
    """Wait for the command and end it where it must be; give why it was ended, or nothing."""
    deadline = limits.deadline(begun)
    while not family.ended(PAUSE):
        family.reap_orphans()
        if limits.killing.is_set() or broken.is_set():
            return STOP
        if limits.stopping.is_set() or time.monotonic() >= deadline:
            reason = STOP if limits.stopping.is_set() else TIMEOUT
            _end_gently(family, limits)
            return reason
    return ""


def _end_gently(family: _Family, limits: Limits) -> None:
    """Ask all to end and give them `kill_after` seconds: the command itself may be a mere shell."""
    family.signal(signal.SIGTERM)
    family.signal(signal.SIGCONT)
    give_up = time.monotonic() + limits.kill_after
    while time.monotonic() < give_up and not limits.killing.is_set():
        if family.ended(GRACE_PAUSE) and not family.others():
            return
        family.reap_orphans()
        time.sleep(GRACE_PAUSE)


def _adopt_orphans() -> None:
    """Make what loses its parent our child, so that a daemon of the command is found and killed (Linux)."""
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _cause(code: int, reason: str, limits: Limits, *, oom: bool, counted: bool) -> str:
    if reason == TIMEOUT:
        return f"the command ran longer than its limit of {limits.timeout:g} s"
    if reason == STOP:
        return "the command was stopped"
    if code and oom:
        return "out of memory: the kernel killed the command or a child of it"
    if code == -signal.SIGKILL and not counted:
        return "the command was killed, possibly out of memory"
    if code < 0:
        return f"the command was killed by signal {-code} ({signal.strsignal(-code)})"
    return f"the command ended with exit code {code}" if code else ""


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(LONGEST_LINE).decode(errors="replace").strip()


def _not_started(program: str, cwd: Path, error: Exception) -> Ended:
    """Tell apart what a shell tells apart: not found (127), and found but not to be executed (126)."""
    path = cwd / program
    if isinstance(error, FileNotFoundError) and "/" in program and path.is_file():
        return Ended(
            code=NOT_EXECUTABLE,
            cause=f'the program "{program}" begins with "{_first_line(path)}", but there is no such interpreter',
        )
    if isinstance(error, FileNotFoundError):
        place = "in the working directory" if "/" in program else "on the PATH"
        return Ended(code=NOT_FOUND, cause=f'the program "{program}" is not found {place}')
    if isinstance(error, PermissionError):
        why = "is a directory" if path.is_dir() and "/" in program else 'is not executable; "chmod +x" it'
        return Ended(code=NOT_EXECUTABLE, cause=f'the program "{program}" {why}')
    if isinstance(error, OSError) and error.errno == errno.ENOEXEC:
        why = 'is neither a program for this machine nor a script that begins with "#!"'
        return Ended(code=NOT_EXECUTABLE, cause=f'the program "{program}" {why}')
    why = str(getattr(error, "strerror", None) or error).lower()
    return Ended(code=NOT_EXECUTABLE, cause=f'the program "{program}" cannot be started: {why}')
