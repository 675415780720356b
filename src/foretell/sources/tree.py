"""Which files belong to a service."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from foretell.errors import UsageError
from foretell.protocol.keys import RUN_ID
from foretell.service.model import Service
from foretell.sources import secrets
from foretell.sources.ignore import IGNORE_FILE, named
from foretell.sources.left_out import LeftOut, summed

GIT = ".git"
NEVER = frozenset({GIT, ".foretell"})
# fmt: off
CACHES = frozenset({
    "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".tox", ".nox",
    "node_modules", ".DS_Store",
})
# fmt: on
ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")
"""What makes a directory a virtual environment, of Python's or of conda's kind."""
FILE_URL = "file://"

Kind: TypeAlias = Literal["copy", "link", "symlink", "directory"]


class Entry(Struct, frozen=True, kw_only=True):
    """
    One path of a tree, relative to its root, with "/".

    copy: a file. link: a file or directory that is named by `link` of [source], a symlink to the original. symlink:
    one of the user's own, to `target`. directory: an empty one. `size` is bytes, `mtime` nanoseconds; for a link to a
    directory they are the sum and a digest of all below.
    """

    path: str
    kind: Kind
    size: int = 0
    mtime: int = 0
    mode: int = 0
    target: str = ""


class Tree(Struct, frozen=True, kw_only=True):
    """
    What belongs to a service's directory. `root` is absolute; `entries` are sorted by path.

    `left_out` would belong to it and looks like a secret. `repositories` are the directories with a .git of their own.
    """

    root: Path
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...] = ()
    repositories: tuple[str, ...] = ()


def of(service: Service) -> Tree:
    """Find what belongs to the working directory of a service's commands; see `scan`."""
    return scan(service.root, [*service.not_code, *_own_places(service)], links=service.source.link)


def scan(root: Path, outputs: Collection[str], *, links: Collection[str] = ()) -> Tree:
    """
    Find what belongs to the working directory of a command.

    Left out are .git, .foretell, virtual environments and `outputs` (the actions' output directories), always;
    caches, directories named by a run id, which `foretell get` makes, and what looks like a secret; and what
    .foretellignore names, whose "!" brings back one of these. `links` are not copied but linked.
    UsageError for what cannot be read.
    """
    root = Path(os.path.realpath(root))
    try:
        looking = _Scan(root, _normal(outputs), _normal(links))
        entries = list(looking.entries())
    except OSError as error:
        raise unreadable(root, error) from error
    return Tree(
        root=root,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        left_out=summed(looking.left_out),
        repositories=tuple(looking.repositories),
    )


def unreadable(root: Path, error: OSError, path: Path | None = None) -> UsageError:
    """Return what to say of a file of the tree that cannot be read."""
    return UsageError(
        f'"{path or error.filename or root}" cannot be read',
        where=str(root),
        why=(error.strerror or str(error)).lower(),
        hint=f"make it readable, or list it in {IGNORE_FILE}",
    )


class _Scan:
    """One walk over a directory."""

    def __init__(self, root: Path, outputs: frozenset[str], links: frozenset[str]) -> None:
        self.root = root
        self.outputs = outputs
        self.links = links
        self.rule = named(root)
        self.left_out: list[LeftOut] = []
        self.repositories: list[str] = []
        self._pending = [("", "")]
        """Directories to look into, each with the one above it, or itself, that looks like a secret."""

    def entries(self) -> Iterator[Entry]:
        while self._pending:
            folder, secret = self._pending.pop()
            try:
                found = list(self._within(folder, secret))
            except FileNotFoundError:
                if folder:  # it was there a moment ago
                    continue
                raise
            yield from (entry for entry in found if entry)
            if folder and not found and not secret:
                yield Entry(path=folder, kind="directory")

    def _within(self, folder: str, secret: str) -> Iterator[Entry | None]:
        """Return what lies directly in a directory; None for another directory, which is looked at later."""
        with os.scandir(self.root / folder) as items:
            for item in items:
                if item.name == GIT:
                    self.repositories.append(folder)
                with suppress(FileNotFoundError):  # it was there a moment ago
                    yield from self._one(f"{folder}/{item.name}" if folder else item.name, item, secret)

    def _one(self, path: str, item: os.DirEntry[str], secret: str) -> Iterator[Entry | None]:
        if path in self.links:
            yield _linked(path, os.path.realpath(item.path))
            return
        directory = item.is_dir(follow_symlinks=False)
        said = self.rule(path + "/" if directory else path)
        if self._is_left_out(path, item, said):
            return
        if directory:
            begins = said is not False and not secret and secrets.is_named(item.name, directory=True)
            self._pending.append((path, f"{path}/" if begins else secret))
            yield None
        elif said is not False and (secret or self._is_secret(item)):
            size = item.stat(follow_symlinks=False).st_size
            self.left_out.append(LeftOut(path=secret or path, reason="secret", size=size))
        elif item.is_symlink():
            yield self._symlink(path)
        elif item.is_file():
            info = item.stat(follow_symlinks=False)
            yield Entry(path=path, kind="copy", size=info.st_size, mtime=info.st_mtime_ns, mode=info.st_mode)

    def _is_left_out(self, path: str, item: os.DirEntry[str], said: bool | None) -> bool:
        if item.name in NEVER or path in self.outputs:
            return True
        directory = item.is_dir(follow_symlinks=False)
        if directory and any(os.path.lexists(f"{item.path}/{name}") for name in ENVIRONMENTS):
            return True
        if said is not None:
            return said
        # what `foretell get` brought here is what a run made, and none of what the next is made of
        return item.name in CACHES or (directory and RUN_ID.match(item.name) is not None)

    def _is_secret(self, item: os.DirEntry[str]) -> bool:
        if secrets.is_named(item.name, directory=item.is_symlink()):
            return True
        if not item.is_symlink():
            return secrets.is_held(item.path, item.stat(follow_symlinks=False).st_size)
        goal = os.path.realpath(item.path)
        inside = goal.removeprefix(f"{self.root}/")
        # what is brought back itself may have other names
        return self.rule(inside) is not False and secrets.leads_to(goal, inside)

    def _symlink(self, path: str) -> Entry:
        """Keep what points inside the tree; let what points outside point there from anywhere."""
        here = self.root / path
        text, goal = str(here.readlink()), os.path.realpath(here)
        if goal == str(self.root) or goal.startswith(f"{self.root}/"):
            leaves = os.path.normpath(Path(path).parent / text).startswith("..")
            inside = os.path.relpath(goal, here.parent) if text.startswith("/") or leaves else text
            return Entry(path=path, kind="symlink", target=inside)
        try:
            info = Path(goal).stat()
        except OSError:
            return Entry(path=path, kind="symlink", target=goal)
        size, mtime = (info.st_size, info.st_mtime_ns) if stat.S_ISREG(info.st_mode) else (0, 0)
        return Entry(path=path, kind="symlink", target=goal, size=size, mtime=mtime)


def _normal(paths: Collection[str]) -> frozenset[str]:
    return frozenset(map(os.path.normpath, paths))


def _own_places(service: Service) -> Iterator[str]:
    """Return where Foretell itself writes, as far as it lies in the service's directory."""
    root = os.path.realpath(service.root)
    for target in service.targets.values():
        if target.store.startswith(FILE_URL):
            yield os.path.relpath(os.path.realpath(target.store.removeprefix(FILE_URL)), root)
        for settings in target.platforms:
            if settings.directory:
                yield os.path.relpath(os.path.realpath(settings.directory), root)


def _linked(path: str, original: str) -> Entry:
    """Return a link, with the size and time of the file, or of all that lies below the directory."""
    info = Path(original).stat()
    if not stat.S_ISDIR(info.st_mode):
        return Entry(path=path, kind="link", size=info.st_size, mtime=info.st_mtime_ns, target=original)
    lines: list[str] = []
    size = 0
    for folder, _, names in os.walk(original):
        for name in names:
            below = os.lstat(f"{folder}/{name}")
            size += below.st_size
            lines.append(f"{os.path.relpath(folder, original)}/{name}\0{below.st_size}\0{below.st_mtime_ns}")
    digest = sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).digest()
    return Entry(path=path, kind="link", size=size, mtime=int.from_bytes(digest[:7]), target=original)
