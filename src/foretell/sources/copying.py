"""
Copies of files and directories: clones where the file system makes them, else bytes; in parallel, holes left out.

A copy shares nothing with its original that a program could change through it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from foretell.errors import NoRoomError
from foretell.system.parallel import each
from foretell.system.text import counted, duration, size

CLONE = 0x40049409
"""FICLONE of Linux: the new file shares the old one's blocks until either is written to."""
SMALL = 64 * 1024
"""Bytes up to which a file is read and written at once: anything cleverer takes longer."""
BLOCK = 1024 * 1024
AT_ONCE = 1024 * 1024 * 1024
BLOCKS = 512
"""Bytes in the unit of `st_blocks`."""
FEW, LITTLE = 32, 4 * 1024 * 1024
"""Files and bytes up to which threads take longer to start than they save."""
WORKERS = 4
LONG = 1.0
"""Seconds from which on a copy is worth a word."""
FULL = (errno.ENOSPC, errno.EDQUOT)
_unable: set[tuple[int, int]] = set()
"""Pairs of file systems, by device, between which nothing can be cloned."""


class Copied(NamedTuple):
    """What was copied, in bytes and seconds."""

    files: int
    size: int
    seconds: float

    @property
    def is_long(self) -> bool:
        return self.seconds > LONG

    def __str__(self) -> str:
        return f"{counted(self.files, 'file')}, {size(self.size)}, in {duration(self.seconds)}"


class FileToCopy(NamedTuple):
    """A file to be copied. `room` is the bytes that it takes on a disk: less than its size if it has holes."""

    path: str
    info: os.stat_result

    @property
    def room(self) -> int:
        return room_of(self.info)


def room_of(info: os.stat_result) -> int:
    """Return the bytes that a file takes on its disk."""
    return min(info.st_size, info.st_blocks * BLOCKS)


def write_file(data: bytes, to: Path, mode: int, mtime: int) -> None:
    """Write a file with its permissions and time (ns); the owner may always write it."""
    to.write_bytes(data)
    to.chmod(stat.S_IMODE(mode) | stat.S_IWUSR)
    os.utime(to, ns=(mtime, mtime))


def copy_file(source: str | Path, to: str | Path, mode: int | None = None) -> os.stat_result:
    """
    Make `to`, which must not be there, a copy of a file, with its time and its permissions or `mode`.

    The owner may always write it. Return what the source was before the first byte was copied; whoever has to know
    that it did not change meanwhile looks again.
    """
    origin = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        info = os.fstat(origin)
        copy = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _fill(origin, copy, info)
            os.fchmod(copy, stat.S_IMODE(info.st_mode if mode is None else mode) | stat.S_IWUSR)
            os.utime(copy, ns=(info.st_mtime_ns, info.st_mtime_ns))
        finally:
            os.close(copy)
    finally:
        os.close(origin)
    return info


def copy_directory(source: Path, into: Path) -> Copied:
    """
    Copy what is below a directory into another, which is there and empty.

    Directories are real ones, symlinks stay symlinks. NoRoomError, before anything is copied, where it does not fit.
    """
    began = time.monotonic()
    folders, links, files = _listed(source)
    origin = str(source)
    large = [FileToCopy(f"{origin}/{path}", info) for path, info in files if info.st_size > SMALL]
    must_fit(into, large, sum(info.st_size for _, info in files if info.st_size <= SMALL))
    for path in folders:
        (into / path).mkdir()
    for path in links:
        (into / path).symlink_to((source / path).readlink())
    total = sum(info.st_size for _, info in files)

    def copy(file: tuple[str, os.stat_result]) -> None:
        copy_file(f"{origin}/{file[0]}", f"{into}/{file[0]}")

    with telling_no_room(into):
        each(copy, files, WORKERS if is_much(len(files), total) else 1)
    return Copied(len(files), total, time.monotonic() - began)


def is_much(files: int, total: int) -> bool:
    """Return whether so many files or bytes are worth threads."""
    return files > FEW or total > LITTLE


def must_fit(place: Path, large: Iterable[FileToCopy], small: int) -> None:
    """
    Raise NoRoomError where the disk of a directory has too little room for files, and for `small` bytes of others.

    A clone takes no room, so one is tried where bytes would not fit.
    """
    files = list(large)
    need = sum(file.room for file in files) + small
    free = shutil.disk_usage(place).free
    if need <= free:
        return
    largest = max(files, key=lambda file: file.room, default=None)
    if largest and small <= free and _clones(largest, place):
        return
    named = f'; the largest file is "{largest.path}", {size(largest.info.st_size)}' if largest else ""
    raise NoRoomError(
        "not enough disk space for the copies that a run works on",
        where=str(place),
        why=f"they need {size(need)}, and {size(free)} are free{named}",
        hint="free some space, list files that are not needed in .foretellignore, or files too large to copy in "
        "`link` of [source]",
    )


@contextmanager
def telling_no_room(place: Path) -> Iterator[None]:
    """Turn the system's word that a disk is full into NoRoomError."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NoRoomError(
            "not enough disk space for the copies that a run works on",
            where=str(place),
            why=(error.strerror or str(error)).lower(),
            hint="free some space, then run it again",
        ) from error


def _clones(file: FileToCopy, place: Path) -> bool:
    """Return whether a file can be cloned into a directory, by doing it."""
    trial = place / f".{os.urandom(8).hex()}"
    try:
        origin = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            copy = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                return _clone(origin, copy, (file.info.st_dev, os.fstat(copy).st_dev))
            finally:
                os.close(copy)
                trial.unlink()
        finally:
            os.close(origin)
    except OSError:
        return False


def _listed(source: Path) -> tuple[list[str], list[str], list[tuple[str, os.stat_result]]]:
    """List what is below a directory: folders, those above others first, symlinks, and files with what they are."""
    folders: list[str] = []
    links: list[str] = []
    files: list[tuple[str, os.stat_result]] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(source / folder) as items:
            for item in items:
                path = f"{folder}/{item.name}" if folder else item.name
                if item.is_symlink():
                    links.append(path)
                elif item.is_dir():
                    folders.append(path)
                    pending.append(path)
                else:
                    files.append((path, item.stat()))
    return folders, links, files


def _fill(origin: int, copy: int, info: os.stat_result) -> None:
    if info.st_size <= SMALL:
        _copy_by_hand(origin, copy, 0, sys.maxsize)
    elif not _clone(origin, copy, (info.st_dev, os.fstat(copy).st_dev)):
        for start, end in _data(origin, info):
            _copy_range(origin, copy, start, end)
        if os.fstat(copy).st_size < info.st_size:
            os.ftruncate(copy, info.st_size)


def _clone(origin: int, copy: int, devices: tuple[int, int]) -> bool:
    if sys.platform != "linux" or devices in _unable:
        return False
    try:
        fcntl.ioctl(copy, CLONE, origin)
    except OSError as error:
        if error.errno in FULL:
            raise
        _unable.add(devices)
        return False
    return True


def _data(origin: int, info: os.stat_result) -> Iterator[tuple[int, int]]:
    """Return the ranges of a file that hold data; the whole of one that has no holes, however it grows meanwhile."""
    if info.st_blocks * BLOCKS >= info.st_size:
        yield 0, sys.maxsize
        return
    end = 0
    while end < info.st_size:
        try:
            start = os.lseek(origin, end, os.SEEK_DATA)
            end = os.lseek(origin, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # there is no data behind this place
                return
            yield end, sys.maxsize  # this file system tells of no holes
            return
        yield start, end


def _copy_range(origin: int, copy: int, start: int, end: int) -> None:
    """Copy bytes, by the kernel as far as it can: some file systems say no, or say nothing at once."""
    while sys.platform == "linux" and start < end:
        try:
            done = os.copy_file_range(origin, copy, min(AT_ONCE, end - start), start, start)
        except OSError as error:
            if error.errno in FULL:
                raise
            break
        if not done:
            break
        start += done
    _copy_by_hand(origin, copy, start, end)


def _copy_by_hand(origin: int, copy: int, start: int, end: int) -> None:
    while start < end and (data := os.pread(origin, min(BLOCK, end - start), start)):
        while data:
            done = os.pwrite(copy, data, start)
            start += done
            data = data[done:]
