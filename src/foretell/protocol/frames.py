"""Two byte streams in one, as a run's log is stored: the frames of Docker's multiplexed stream format."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from foretell.errors import CorruptError

STDOUT = 1
STDERR = 2

_HEADER = Struct(">BxxxL")


def frame(stream: int, data: bytes) -> bytes:
    """Wrap bytes of one stream (1 standard output, 2 standard error): 8 bytes of header, then the bytes."""
    return _HEADER.pack(stream, len(data)) + data


def unframe(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Return (stream, bytes) in the order they were printed; CorruptError where the data is cut or changed."""
    at = 0
    while at < len(data):
        start = at + _HEADER.size
        stream, length = _HEADER.unpack_from(data, at) if start <= len(data) else (0, 0)
        at = start + length
        if stream not in (STDOUT, STDERR) or at > len(data):
            why = f"there is no whole frame at byte {start - _HEADER.size}"
            raise CorruptError("a part of the log is cut or changed", why=why)
        yield stream, data[start:at]
