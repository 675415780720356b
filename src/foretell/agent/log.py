"""What an attempt says: into the store, whole; into Cloud Logging, where the machine is Google's; secrets nowhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Protocol

from foretell.agent.secrets import Redactor
from foretell.protocol.frames import frame
from foretell.protocol.records import Request

LONGEST_WAIT = 2.0
"""Seconds until what is printed is stored."""
LAST_WORDS = 5.0
"""Seconds that an agent waits at its end for Cloud Logging."""
SMALLEST_LIMIT = 64 * 1024
SHORTEST_INTERVAL = 0.2
SHARE_OF_AGE = 0.05


class Log:
    """
    A buffer in front of a store: `write(number, chunk)` is called with chunks 0, 1, 2, … of frames.

    A chunk is written when its oldest byte is `interval` seconds old, or when it is large. Both begin small,
    so that a short run is seen live, and grow: the delay with the age of the log up to `interval`, the size
    with every chunk that fills up, to `limit` bytes, so that a gigabyte is a hundred objects, not thousands.

    `write` blocks whoever prints, which is what keeps the memory bounded. When it raises, the chunk is kept
    and tried again with the next call. Any thread may call.
    """

    def __init__(
        self,
        write: Callable[[int, bytes], None],
        *,
        interval: float = 2.0,
        limit: int = 8 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.chunks = 0
        """How many chunks are written."""
        self._write = write
        self._interval = interval
        self._largest = limit
        self._limit = min(SMALLEST_LIMIT, limit)
        self._clock = clock
        self._born = clock()
        self._lock = Lock()
        self._segments: list[tuple[int, bytearray]] = []
        self._size = 0
        self._oldest = 0.0

    def add(self, stream: int, data: bytes) -> None:
        """Take bytes of one stream (1 or 2), in the order they were printed."""
        with self._lock:
            if not self._segments:
                self._oldest = self._clock()
            if not self._segments or self._segments[-1][0] != stream:
                self._segments.append((stream, bytearray()))
            self._segments[-1][1].extend(data)
            self._size += len(data)
            if self._size >= self._limit:
                self._flush()
                self._limit = min(2 * self._limit, self._largest)

    def tick(self) -> None:
        """Write what has waited long enough; to be called some times a second, also in silence."""
        with self._lock:
            now = self._clock()
            delay = min(self._interval, max(SHORTEST_INTERVAL, SHARE_OF_AGE * (now - self._born)))
            if self._segments and now - self._oldest >= delay:
                self._flush()

    def close(self) -> None:
        """Write the rest."""
        with self._lock:
            if self._segments:
                self._flush()

    def _flush(self) -> None:
        self._write(self.chunks, b"".join(frame(stream, bytes(data)) for stream, data in self._segments))
        self.chunks += 1
        self._segments.clear()
        self._size = 0


class Copy(Protocol):
    """Where a copy of the log goes; it neither blocks nor fails."""

    def take(self, stream: int, data: bytes) -> None:
        """Take what was printed."""

    def tell(self, severity: str, message: str, **facts: object) -> None:
        """Take an event."""

    def finish(self, patience: float) -> None:
        """Send the rest, within so many seconds."""


class AttemptLog:
    """The log of an attempt, as `Log` is used; any thread may call."""

    def __init__(self, write: Callable[[int, bytes], None], request: Request, number: int) -> None:
        self._lock = threading.Lock()
        self._log = Log(write, interval=min(LONGEST_WAIT, request.target.times.beat))
        self._redactor = Redactor({})
        self._wire = _wire(request, number)
        self._line_open = False

    @property
    def chunks(self) -> int:
        """How many chunks are stored."""
        return self._log.chunks

    def hide(self, secrets: Mapping[str, str]) -> None:
        """Keep these values out of everything that is said from now on."""
        self._redactor = Redactor(secrets)

    def add(self, stream: int, data: bytes) -> None:
        """Take bytes of one stream (1 or 2), in the order they were printed."""
        with self._lock:
            self._say(stream, self._redactor.clean(stream, data))

    def remark(self, line: bytes) -> None:
        """Say something of our own, on a line of its own, whatever the command has left unended."""
        with self._lock:
            for stream, data in self._redactor.rest():
                self._say(stream, data)
            self._say(2, (b"\n" if self._line_open else b"") + line)

    def clean(self, text: str) -> str:
        """Return what may stand in a record of a text: without the values that are hidden."""
        return self._redactor.whole(text)

    def event(self, severity: str, message: str, **facts: object) -> None:
        """Tell what becomes of the attempt, where people look for its log; the records have it anyway."""
        if self._wire:
            self._wire.tell(severity, message, **facts)

    def tick(self) -> None:
        """Store what has waited long enough; to be called some times a second, also in silence."""
        self._log.tick()

    def close(self) -> None:
        """Store the rest."""
        with self._lock:
            for stream, data in self._redactor.rest():
                self._say(stream, data)
        self._log.close()

    def finish(self) -> None:
        """Allow Cloud Logging a moment to take the last words."""
        if self._wire:
            self._wire.finish(LAST_WORDS)

    def _say(self, stream: int, data: bytes) -> None:
        if data:
            self._log.add(stream, data)
            self._line_open = not data.endswith(b"\n")
            if self._wire:
                self._wire.take(stream, data)


def _wire(request: Request, number: int) -> Copy | None:
    """
    Return the way to Cloud Logging, None elsewhere than on Google's machines.

    There the machine's account may write and is known, and the log would otherwise end with the machine; on any
    other machine people look at the terminal, and nobody asked for a copy of what is printed in a cloud.
    """
    place = request.target.platform.cloud_log
    if place is None:
        return None
    from foretell.google import logs
    from foretell.google.rest import Rest

    rest = Rest(timeout=10.0)
    labels = {
        "service": request.service,
        "version": request.version,
        "action": request.action,
        "run": request.run.id,
        "attempt": str(number),
    }
    source = logs.LogSource(place.project, place.location, labels, f"{request.uid}-{number}")
    return logs.CloudLogSink(
        source, lambda body: rest.call("POST", "logging", "v2/entries:write", body=body, again=True)
    )
