"""What an output directory holds: the files that can be saved, links as what they lead to, and what is left out."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from foretell.system.text import printable

THROUGH_LINKS = 100_000
"""Entries that are followed through links to directories, which can multiply without end."""


class Placed(NamedTuple):
    """What identifies a file as untouched since Foretell put it there: the kernel changes `changed`, no program can."""

    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Placed:
        stat = path.lstat()
        return cls(stat.st_ino, stat.st_size, stat.st_ctime_ns)


class Contents(Struct, frozen=True, kw_only=True):
    """
    What of a directory can be saved, and what cannot.

    `files` are names, relative and with "/", each with the regular file below the directory whose bytes it has: another
    than the name says where a link leads there. `hollow` names empty directories. `left_out` are names, each with why.
    """

    directory: Path
    files: tuple[tuple[str, Path], ...] = ()
    hollow: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    def without(self, untouched: Mapping[Path, Placed]) -> Contents:
        """Leave out the files that stand as Foretell placed them; a link to one is a file of its own."""
        kept = {path for path, placed in untouched.items() if _is_untouched(path, placed)}
        files = [(name, path) for name, path in self.files if self.directory / name not in kept]
        return replace(self, files=tuple(files))

    def why_not(self, name: str) -> str:
        """Say why a name cannot be saved; nothing of one that can."""
        for left, why in self.left_out:
            if name == left or name.startswith(f"{left}/"):
                return why
        return ""


def _is_untouched(path: Path, placed: Placed) -> bool:
    try:
        return Placed.of(path) == placed
    except OSError:
        return False


def survey(directory: Path) -> Contents:
    """
    List what a directory holds; never an error, for what cannot be read is what is left out.

    A link whose goal lies in the directory counts as that goal, a file or a directory. Left out are links to nothing,
    to what lies outside, and to a directory that they lie in; what is neither file nor directory; names that are not
    UTF-8.
    """
    return _Walk(directory).contents()


class _Folder(NamedTuple):
    """A directory to be listed: its name, where it is, and the directories whose links led to it."""

    name: str
    path: str
    trail: tuple[str, ...] = ()


class _Walk:
    """One walk: first what is there, so that nothing real is missed; then what links lead to, the nearest first."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._root = os.path.realpath(directory)
        self._files: list[tuple[str, Path]] = []
        self._hollow: list[str] = []
        self._left_out: list[tuple[str, str]] = []
        self._folders: list[_Folder] = []
        self._links: deque[tuple[str, str, _Folder]] = deque()
        self._through_links = 0

    def contents(self) -> Contents:
        if os.path.isfile(self._root):  # noqa: PTH113 - the command made a file of it, and that is what it wrote
            self._files.append((self._directory.name, Path(self._root)))
        elif os.path.isdir(self._root):  # noqa: PTH112
            self._folders.append(_Folder("", self._root))
        elif self._directory.is_symlink():
            self._leave("", "it is a dangling link")
        while self._folders or self._links:
            if not self._folders:
                self._follow(*self._links.popleft())
                continue
            folder = self._folders.pop()
            if folder.trail and self._through_links >= THROUGH_LINKS:
                self._leave(folder.name, f"its links lead to more than {THROUGH_LINKS:,} files")
            else:
                self._list(folder)
        return Contents(
            directory=self._directory,
            files=tuple(sorted(self._files)),
            hollow=tuple(sorted(self._hollow)),
            left_out=tuple(sorted(self._left_out)),
        )

    def _list(self, folder: _Folder) -> None:
        try:
            _open(folder.path, stat.S_IRUSR | stat.S_IXUSR)
            with os.scandir(folder.path) as found:
                entries = list(found)
        except OSError as error:
            self._leave(folder.name, f"it cannot be read: {_said(error)}")
            return
        if not entries and folder.name:
            self._hollow.append(folder.name)
        if folder.trail:
            self._through_links += len(entries)
        for entry in entries:
            name = f"{folder.name}/{entry.name}" if folder.name else entry.name
            try:
                self._look(name, entry, folder)
            except OSError as error:
                self._leave(name, f"it cannot be read: {_said(error)}")

    def _look(self, name: str, entry: os.DirEntry[str], folder: _Folder) -> None:
        if not _is_text(entry.name):
            self._leave(name, "its name is not UTF-8")
        elif entry.is_symlink():
            self._links.append((name, entry.path, folder))
        elif entry.is_dir(follow_symlinks=False):
            self._folders.append(_Folder(name, entry.path, folder.trail))
        elif entry.is_file(follow_symlinks=False):
            self._take(name, entry.path)
        else:
            self._leave(name, "it is neither a file nor a directory")

    def _take(self, name: str, path: str) -> None:
        try:
            _open(path, stat.S_IRUSR)
        except OSError as error:
            self._leave(name, f"it cannot be read: {_said(error)}")
        else:
            self._files.append((name, self._directory / path[len(self._root) + 1 :]))

    def _follow(self, name: str, link: str, folder: _Folder) -> None:
        """Take a link for what it leads to, where that lies inside."""
        goal = os.path.realpath(link)
        try:
            mode = os.stat(link).st_mode  # noqa: PTH116 - a Path takes longer
        except OSError as error:
            self._leave(
                name,
                f'it is a dangling link: "{printable(str(Path(link).readlink()))}", {_said(error)}',
            )
            return
        if not _is_within(goal, self._root):
            self._leave(
                name,
                f'it is a link to "{printable(goal)}", outside of the output; to keep it, copy it (`cp -L`)',
            )
        elif stat.S_ISREG(mode):
            self._take(name, goal)
        elif not stat.S_ISDIR(mode):
            self._leave(name, "it is a link to something that is neither a file nor a directory")
        elif any(_is_within(place, goal) for place in (folder.path, *folder.trail)):
            self._leave(name, "it is a link to one of its parent directories")
        else:
            self._folders.append(_Folder(name, goal, (*folder.trail, folder.path)))

    def _leave(self, name: str, why: str) -> None:
        self._left_out.append((name or ".", why))


def _open(path: str, rights: int) -> None:
    """See that a file or directory can be read; whoever owns it may make it so."""
    access = os.R_OK | (os.X_OK if rights & stat.S_IXUSR else 0)
    if not os.access(path, access):
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | rights)  # noqa: PTH101, PTH116 - as above


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")


def told(left_out: tuple[tuple[str, str], ...], most: int = 20) -> Iterator[str]:
    """Say in a sentence each what was left out, up to so many, and how many more there are."""
    for name, why in left_out[:most]:
        yield f'"{printable(name)}" of the output is left out: {why}'
    if len(left_out) > most:
        yield f"{len(left_out) - most:,} more of the output are left out"
