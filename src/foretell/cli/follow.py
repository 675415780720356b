"""A run as it goes: its log as it is printed, news of its attempts, and on a terminal a line of progress."""

from __future__ import annotations

import time
from collections.abc import Callable

from foretell.cli.output import Terminal
from foretell.cli.wording import duration
from foretell.controller import history
from foretell.controller.controller import Controller
from foretell.controller.history import LogReader
from foretell.errors import CorruptError, StoreError
from foretell.protocol.keys import Run
from foretell.protocol.reconciler import Reconciler
from foretell.protocol.rules import Phase

PAUSE = 0.1
"""Seconds between two looks at the log."""


class Follower:
    """Shows a run while it is waited for. Give `look` to whoever waits, then call `finish`."""

    def __init__(
        self,
        controller: Controller,
        run: Run,
        out: Terminal,
        *,
        log: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._out = out
        self._clock = clock
        self._reader = LogReader(controller.store, run) if log and not out.quiet else None
        self._expected = history.estimate(controller, run.action) if out.live else None
        self._began = clock()
        self._next = 0.0
        self._attempt = 1
        self._troubled = False
        self._unclear = ""
        controller.waits = out.warn

    def look(self, witness: Reconciler) -> None:
        """Show what is new; often called, it looks now and then."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + PAUSE
        self._show_log()
        self._tell_trouble(witness)
        self._tell_attempt(witness)
        self._out.status(self._progress(witness, now - self._began))
        self._out.insist_on_a_reader()

    def rest(self) -> None:
        """Show what was printed since the last look; for whoever waits long for the next."""
        self._show_log()

    def finish(self) -> float:
        """Show the rest of the log; give the seconds since the beginning."""
        self._show_log()
        self._out.clear()
        return self._clock() - self._began

    def _show_log(self) -> None:
        if self._reader is None:
            return
        try:
            for _, data in self._reader.read():
                self._out.log(data)
        except StoreError:
            return  # whoever waits meets the same, and says so if it lasts
        except CorruptError as error:
            self._reader = None
            self._out.tell((f"the rest of the log is not shown: {error.what}", "warn"))

    def _tell_trouble(self, witness: Reconciler) -> None:
        """Say once that the store or the platform does not answer, and once that the store does again."""
        unclear = witness.seen.unclear
        if unclear and unclear != self._unclear:
            self._unclear = unclear
            self._out.tell((f"{unclear}; retrying", "warn"))
        trouble = witness.trouble
        if bool(trouble) == self._troubled:
            return
        self._troubled = bool(trouble)
        news = f"the store does not answer, retrying: {trouble.why}" if trouble else "the store answers again"
        self._out.tell((news, "warn"))

    def _tell_attempt(self, witness: Reconciler) -> None:
        attempts = witness.records.attempts
        if len(attempts) <= self._attempt:
            return
        self._attempt = len(attempts)
        launch = attempts[-1]
        why = f"{launch.after}: {launch.cause}" if launch.cause else str(launch.after)
        self._out.tell((f"attempt {self._attempt}, after {why}", "warn"))

    def _progress(self, witness: Reconciler, elapsed: float) -> str:
        state = witness.state
        doing = state.stage if state.phase is Phase.RUNNING and state.stage else str(state.phase)
        expected = f" of about {duration(self._expected)}" if self._expected else ""
        return f"{self._run.label} · {doing} · {duration(elapsed)}{expected}"
