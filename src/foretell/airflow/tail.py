"""The log of a run's newest attempt, line by line, as it grows; for an event loop."""

from __future__ import annotations

from collections.abc import Callable

from foretell.errors import CorruptError
from foretell.protocol.frames import unframe
from foretell.protocol.keys import Run
from foretell.protocol.rules import Records
from foretell.store import Store

LONGEST = 4000
"""Characters of a line without an end, a bar of progress say, that are shown as one."""


class Tail:
    """Says every line once, in order. Both streams are kept apart until a line of theirs is whole."""

    def __init__(self, store: Store, run: Run, say: Callable[[str], None]) -> None:
        self._store = store
        self._run = run
        self._say = say
        self._attempt = 0
        self._chunk = 0
        self._open: dict[int, bytes] = {}

    async def follow(self, records: Records) -> None:
        """Say what is new, as far as the agent has told that it is there. StoreError where it cannot be read."""
        self._turn_to(records.attempt)
        written = records.exit.log if records.exit else records.beat.log if records.beat else 0
        while self._chunk < written and await self._read():
            pass

    async def drain(self, records: Records) -> None:
        """Say all that is left, and what has no end of its line. StoreError where it cannot be read."""
        self._turn_to(records.attempt)
        while self._attempt and await self._read():
            pass
        for rest in self._open.values():
            self._tell(rest)
        self._open = {}

    def _turn_to(self, attempt: int) -> None:
        if attempt != self._attempt:
            self._attempt, self._chunk, self._open = attempt, 0, {}
            if attempt > 1:
                self._say(f"attempt {attempt}:")

    async def _read(self) -> bool:
        """Say one chunk; False when it is not there."""
        data = await self._store.get_async(self._run.attempt(self._attempt).log(self._chunk))
        if data is None:
            return False
        self._chunk += 1
        try:
            for stream, part in unframe(data):
                self._add(stream, part)
        except CorruptError as error:
            self._say(f"({error.what})")
        return True

    def _add(self, stream: int, part: bytes) -> None:
        *lines, rest = (self._open.get(stream, b"") + part).split(b"\n")
        for line in lines:
            self._tell(line)
        if len(rest) > LONGEST:
            self._tell(rest)
            rest = b""
        self._open[stream] = rest

    def _tell(self, line: bytes) -> None:
        # of a bar of progress, which overwrites itself, the last state
        text = line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
        if text:
            self._say(text)
