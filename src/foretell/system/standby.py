"""
A guard that is started before it is needed.

It loads what an agent needs while its launcher still reads the service file, and waits for its post. If no post comes,
it ends with its launcher. One a process, for the verbs that launch; whoever launches otherwise starts a guard then.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from subprocess import DEVNULL, Popen
from typing import NamedTuple

GUARD = ("-I", "-m", "foretell.agent.guard")
"""-I: neither the caller's directory nor its PYTHONPATH may stand in front of our own modules."""


LONGEST = 64 * 1024
"""Bytes of arguments; more than paths and names can take."""


class StandbyAgent(NamedTuple):
    """A guard without a post, and the line to it."""

    pid: int
    line: socket.socket


_waiting: list[StandbyAgent] = []


def begin() -> None:
    """Start a guard that waits for its post; where that cannot be, there is none, which costs time only."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            guard = Popen(
                [sys.executable, *GUARD, str(theirs.fileno())],
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError:
            ours.close()
            return
    guard.returncode = 0  # it is meant to outlive us, so it is nothing to be warned of
    _waiting.append(StandbyAgent(guard.pid, ours))


def post(arguments: Sequence[str], lock: int) -> int | None:
    """Return the waiting guard its arguments and the machine's lock; its process id, None where none is waiting."""
    while _waiting:
        pid, line = _waiting.pop()
        with line:
            try:
                socket.send_fds(line, [b"\0".join(map(os.fsencode, arguments))], [lock])
            except OSError:
                continue
            return pid
    return None


def await_post(line: int) -> list[str] | None:
    """As the guard: wait for the arguments, the lock's descriptor in place of its number; None when none will come."""
    with socket.socket(fileno=line) as end:
        data, locks, _, _ = socket.recv_fds(end, LONGEST, 1)
    if not data or not locks:
        return None
    return [*map(os.fsdecode, data.split(b"\0")[:-1]), str(locks[0])]


def load_msgspec() -> None:
    """
    Load msgspec with the standard library's typing.

    It prefers typing_extensions where it is there, and that is 12 ms of a program's start. Only for programs that
    begin: in a process of others, what is loaded is theirs to decide.
    """
    if "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        import msgspec  # noqa: F401 - so that it is loaded
    finally:
        del sys.modules["typing_extensions"]
