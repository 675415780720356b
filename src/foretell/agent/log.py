"""What the command prints, collected into numbered chunks while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from foretell.frames import frame

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
