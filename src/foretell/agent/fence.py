"""What ends an agent that is cut off: from the store for too long, or from the guard that keeps its deadline."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import NoReturn

from foretell.agent.lifecycle import Left
from foretell.system.processes import descendants, kill

LEAVING_PAUSE = 0.5
SHORT_PAUSE = 0.005
PATIENCE_WITH_THE_DYING = 5.0


class Fence(threading.Thread):
    """
    Kills the command and leaves when the store could not be reached for too long, or the guard is dead.

    A fenced agent never comes back: a replacement may be running by now (P5).
    """

    def __init__(self, guard: int) -> None:
        super().__init__(daemon=True)
        self._guard = guard
        self._seconds = float("inf")
        self._reached = time.monotonic()
        self._leaving = threading.Event()

    def allow(self, seconds: float) -> None:
        """Set how long the store may be out of reach."""
        self._seconds = seconds

    def reached(self, sent: float) -> None:
        """Note that a beat which was sent then has arrived."""
        self._reached = max(self._reached, sent)

    @property
    def orphaned(self) -> bool:
        """Whether the guard is dead, so that nobody keeps the deadline any more."""
        return os.getppid() != self._guard

    def run(self) -> None:
        while not self.orphaned:
            self.hold()
            time.sleep(min(1.0, self._seconds / 100))
        self._fall("its guard died")

    def hold(self) -> None:
        """
        Let nobody pass who is cut off, stood still for as long, or leaves already.

        That the command was killed for it is no word about the command.
        """
        if time.monotonic() - self._reached > self._seconds:
            self._fall(f"the store could not be reached for {self._seconds:.0f} s")
        while self._leaving.is_set():
            time.sleep(LEAVING_PAUSE)

    def _fall(self, why: str) -> NoReturn:
        with suppress(OSError):  # of a full disk
            print(why, file=sys.stderr, flush=True)
        self.leave(Left.FENCED)

    def leave(self, status: Left) -> NoReturn:
        """End the command with everything below it, at once, and this process with it; the guard ends what is left."""
        self._leaving.set()
        end = time.monotonic() + PATIENCE_WITH_THE_DYING
        while (below := descendants(os.getpid())) and time.monotonic() < end:
            kill(below)
            time.sleep(SHORT_PAUSE)
        os._exit(status)
