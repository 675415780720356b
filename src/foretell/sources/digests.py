"""SHA-256 of files, remembered, so that a large file which has not changed is not read again."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

REMEMBERED = 64 * 1024
"""Bytes from which on a digest is remembered: what is smaller is read in less time than it is looked up."""
SETTLED = 2_000_000_000
"""
Nanoseconds that a file must have been left alone when it was read.

Within the grain of a file system's clock a second change leaves the same time behind; the coarsest one's is two
seconds.
"""


class Stamp(Struct, frozen=True, array_like=True):
    """
    What identifies a file as unchanged since it was read.

    `changed` is the kernel's own time (ns), which no program can set back as it can `mtime`.
    """

    size: int
    mtime: int
    changed: int
    inode: int

    @classmethod
    def of(cls, info: os.stat_result) -> Stamp:
        return cls(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


class Known(Struct, frozen=True, array_like=True):
    """A file as it was when it was read."""

    stamp: Stamp
    digest: str


class Digests:
    """
    The digests of one home, in one file that is written aside and renamed.

    It begins with a digest of its own: what was cut, or holds a flipped bit, counts as nothing remembered. Of two who
    write at once the later wins, and what the other had learned is read once more.
    """

    def __init__(self, file: Path | None = None) -> None:
        """Begin with what the file holds; without a file, with nothing, and forget it all."""
        self._file = file
        self._known = _read(file) if file else {}
        self._news = False

    def get(self, path: str, info: os.stat_result) -> str | None:
        """Return the digest of a file that is as it was when it was read, else None."""
        known = self._known.get(_key(path))
        return known.digest if known and known.stamp == Stamp.of(info) else None

    def put(self, path: str, info: os.stat_result, digest: str, began: int) -> None:
        """
        Remember a digest; `info` is what the file was both before and after it was read, `began` when (ns).

        A file that was changed shortly before is not remembered: see SETTLED.
        """
        touched = max(info.st_mtime_ns, info.st_ctime_ns)
        if info.st_size >= REMEMBERED and touched < began - SETTLED:
            self._known[_key(path)] = Known(Stamp.of(info), digest)
            self._news = True

    def digest(self, path: str) -> tuple[str, os.stat_result]:
        """Return the digest of a file's bytes as they are now, and what the file was; OSError."""
        began = time.time_ns()
        with Path(path).open("rb") as file:
            info = os.fstat(file.fileno())
            if known := self.get(path, info):
                return known, info
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if Stamp.of(os.fstat(file.fileno())) == Stamp.of(info):
                self.put(path, info, digest, began)
            return digest, info

    def write(self, below: Path) -> None:
        """Keep what was learned, less the files below a directory that are not there any more; best effort."""
        if not self._news or self._file is None:
            return
        home = _key(f"{below}/")
        kept = {
            key: known
            for key, known in self._known.items()
            if not key.startswith(home) or os.path.lexists(key.encode("latin-1"))
        }
        body = msgspec.json.encode(kept)
        draft = self._file.with_name(f".{os.urandom(8).hex()}")
        with suppress(OSError):
            draft.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            draft.replace(self._file)
            self._news = False
        draft.unlink(missing_ok=True)


def _key(path: str) -> str:
    """Return a path as JSON takes it, whatever bytes it has."""
    return os.fsencode(path).decode("latin-1")


def _read(file: Path) -> dict[str, Known]:
    try:
        seal, _, body = file.read_bytes().partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != seal:
            return {}
        return msgspec.json.decode(body, type=dict[str, Known])
    except (OSError, msgspec.DecodeError):
        return {}
