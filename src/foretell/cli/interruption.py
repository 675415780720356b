"""^C at a moment at which one must not stop."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Self


class Held:
    """
    Holds back the first ^C while something is done that should be done whole. `let_go` lets it through afterwards.

    The second one is not held back. Nothing is changed where ^C is ignored, as in a script's background.
    """

    def __init__(self) -> None:
        self.pending = False
        self._before = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Self:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)

    def let_go(self) -> None:
        """Let the ^C through that was held back, if there was one."""
        if self.pending:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pending:
            signal.default_int_handler(number, frame)
        self.pending = True
