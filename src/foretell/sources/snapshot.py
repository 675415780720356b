"""
Frozen copies of a tree: one directory for each state of the sources, and every large file once for all of them.

A home holds `snapshots/FINGERPRINT` and `kept/`: the large files, named by what they hold, to which the snapshots have
hard links; and the digests that were remembered. No working directory ever shares a file with them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from foretell.sources.copying import (
    WORKERS,
    Copied,
    FileToCopy,
    copy_file,
    is_much,
    must_fit,
    telling_no_room,
    write_file,
)
from foretell.sources.digests import REMEMBERED, Digests, Stamp
from foretell.sources.fingerprint import Marked, folded, marked
from foretell.sources.tree import Tree
from foretell.system.parallel import each

RACES = 10
OLD = 7 * 24 * 3600.0
"""Seconds after which a snapshot that nobody asked for again may go."""
KEPT = "kept"
DIGESTS = "digests.json"
LOCK = "lock"
NO_LINK = (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS)
MARK = 32
"""Digits of the fingerprint in a snapshot's name."""


def remembered(snapshots: Path) -> Digests:
    """Return the digests that are remembered beside a directory of snapshots."""
    return Digests(snapshots.parent / KEPT / DIGESTS)


def freeze(tree: Tree, snapshots: Path, *, say: Callable[[str], None] = lambda _: None) -> tuple[str, Path]:
    """
    Return the tree's fingerprint and a directory that holds it as it is now, whatever is edited later.

    The directory is `snapshots`/<first 32 of the fingerprint>, made at once or not at all, shared by all who
    freeze the same. The fingerprint is that of the very bytes copied. NoRoomError, before anything is copied, where
    that copy or a working directory made from it does not fit. `say` gets a sentence where copying took long.
    """
    began = time.monotonic()
    kept = _Kept(snapshots.parent / KEPT)
    with telling_no_room(snapshots.parent), kept.shared():
        kept.must_fit(tree)
        current = marked(tree, kept.read)
        mark = folded(current)
        place = snapshots / mark[:MARK]
        if not _is_still_whole(place, current):
            mark, place = _made(tree.root, current, kept, snapshots)
        kept.digests.write(tree.root)
    copied = Copied(len(kept.copied), sum(kept.copied), time.monotonic() - began)
    if copied.is_long:
        say(f"took a snapshot of the sources: copied {copied}")
    return mark, place


def tidy(snapshots: Path, pinned: Callable[[], Collection[str | None]]) -> list[str]:
    """
    Remove snapshots that nobody asked for in a week, less those `pinned`, and kept files that no snapshot has.

    Return what was removed. Nothing is removed while somebody freezes; `pinned` is asked only where one is old.
    """
    if not snapshots.is_dir():
        return []
    pins = pinned() if _old(snapshots) else set()
    kept = _Kept(snapshots.parent / KEPT)
    with kept.alone() as alone:
        if not alone:
            return []
        # looked at again, for one may have been asked for meanwhile
        gone = [place for place in _old(snapshots) if str(place) not in pins]
        for place in gone:
            shutil.rmtree(place, ignore_errors=True)
        return [f"{snapshots.name}/{place.name}" for place in gone] + kept.tidy()


class _Kept:
    """The large files of a home, each once, and the digests of their originals."""

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.digests = Digests(place / DIGESTS)
        self.copied: list[int] = []
        """The bytes of each file that was copied."""
        self._place = place
        self._names: dict[Path, Path] = {}

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Keep others from removing anything."""
        with (self._place / LOCK).open("a") as file:
            with contextlib.suppress(OSError):  # some file systems know no locks
                fcntl.flock(file.fileno(), fcntl.LOCK_SH)
            yield

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Return whether nobody else is at work here; if so, they wait."""
        with (self._place / LOCK).open("a") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True

    def must_fit(self, tree: Tree) -> None:
        """Raise NoRoomError where a snapshot of a tree, and a working directory made from it, do not fit."""
        large, small = [], 0
        for entry in tree.entries:
            if entry.kind != "copy" or entry.size < REMEMBERED:
                small += 2 * entry.size if entry.kind == "copy" else 0
                continue
            path = tree.root / entry.path
            with contextlib.suppress(FileNotFoundError):
                file = FileToCopy(str(path), path.stat())
                large += [file] if self._found(path, file.info) else [file, file]
        must_fit(self._place, large, small)

    def read(self, path: Path) -> tuple[str, int]:
        """Return a large file's SHA-256 (hex) and length; it is kept now, if it was not."""
        info = path.stat()
        digest = self._found(path, info)
        return (digest, info.st_size) if digest else self._keep(path)

    def link(self, path: Path, to: Path) -> None:
        """Make `to` a hard link to what was read of a file, or a copy where the file system has no more links."""
        try:
            os.link(self._names[path], to)
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            copy_file(self._names[path], to)

    def tidy(self) -> list[str]:
        """Remove what has no other name, and so is in no snapshot."""
        own = {DIGESTS, LOCK}
        gone = [path for path in self._place.iterdir() if path.name not in own and path.stat().st_nlink == 1]
        for path in gone:
            path.unlink()
        return [f"{KEPT}/{path.name}" for path in gone]

    def _found(self, path: Path, info: os.stat_result) -> str | None:
        """Return the digest of a file that is as it was when it was kept, and is kept still."""
        digest = self.digests.get(str(path), info)
        if digest is None or not _has_length(name := self._name(digest, info), info.st_size):
            return None
        self._names[path] = name
        return digest

    def _keep(self, path: Path) -> tuple[str, int]:
        """Copy a file and hash the copy, so that its name is right whatever is done to the original meanwhile."""
        draft = _draft(self._place)
        began = time.time_ns()
        try:
            info = copy_file(path, draft)
            with draft.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = os.fstat(file.fileno()).st_size
            if Stamp.of(path.stat()) == Stamp.of(info):
                self.digests.put(str(path), info, digest, began)
            self._names[path] = name = self._name(digest, info)
            if not _has_length(name, size):
                draft.replace(name)
            self.copied.append(size)
        finally:
            draft.unlink(missing_ok=True)
        return digest, size

    def _name(self, digest: str, info: os.stat_result) -> Path:
        return self._place / f"{digest}-{stat.S_IMODE(info.st_mode):o}"


def _made(root: Path, current: list[Marked], kept: _Kept, snapshots: Path) -> tuple[str, Path]:
    """Make a snapshot of what was read a moment ago; small files are read again, and may have changed."""
    snapshots.mkdir(parents=True, exist_ok=True)
    draft = _draft(snapshots)
    try:
        copied = _filled(draft, root, current, kept)
        mark = folded(copied)
        return mark, _published(draft, snapshots / mark[:MARK], copied)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _filled(draft: Path, root: Path, current: list[Marked], kept: _Kept) -> list[Marked]:
    draft.mkdir()
    folders = {(draft / entry.path).parent for entry, _ in current}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)

    def copy(one: Marked) -> Marked | None:
        entry, _ = one
        path, to = root / entry.path, draft / entry.path
        match entry.kind:
            case "copy" if entry.size >= REMEMBERED:
                kept.link(path, to)
            case "copy":
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    return None
                write_file(data, to, entry.mode, entry.mtime)
                kept.copied.append(len(data))
                return replace(entry, size=len(data)), hashlib.sha256(data).hexdigest()
            case "directory":
                to.mkdir()
            case "link" | "symlink":
                to.symlink_to(entry.target)
        return one

    much = is_much(len(current), sum(entry.size for entry, _ in current if entry.size < REMEMBERED))
    return [one for one in each(copy, current, WORKERS if much else 1) if one]


def _is_still_whole(place: Path, entries: list[Marked]) -> bool:
    """Tell whether a snapshot is whole; if so, it counts as new again."""
    if not _is_whole(place, entries):
        return False
    os.utime(place)
    return True


def _is_whole(place: Path, entries: Iterable[Marked]) -> bool:
    """Tell whether a snapshot holds every file in its full length: after a power cut it may not."""
    try:
        for entry, _ in entries:
            info = os.lstat(f"{place}/{entry.path}")
            if entry.kind == "copy" and info.st_size != entry.size:
                return False
    except OSError:
        return False
    return place.is_dir()


def _published(draft: Path, place: Path, entries: list[Marked]) -> Path:
    """Publish the draft under its name; where another was faster take that, and put a damaged one aside."""
    for _ in range(RACES):
        try:
            draft.rename(place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return place
        if _is_whole(place, entries):
            shutil.rmtree(draft, ignore_errors=True)
            return place
        aside = _draft(place.parent)
        with contextlib.suppress(FileNotFoundError):
            place.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    return draft


def _old(snapshots: Path) -> list[Path]:
    now = time.time()
    return [path for path in snapshots.iterdir() if path.is_dir() and now - path.stat().st_mtime > OLD]


def _has_length(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _draft(place: Path) -> Path:
    return place / f".{os.urandom(8).hex()}"
