"""The service's directory as a value: its files, their fingerprint, a frozen copy, its revision."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Literal, TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import replace

from foretell.errors import UsageError
from foretell.names import LOCK_FILE

LARGE = 10 * 1024 * 1024
"""Bytes from which on a file, or a directory of data, is linked and not copied."""
MANY = 1000
"""Files from which on a directory of data is linked and not copied."""
RACES = 10
IGNORE_FILE = ".foretellignore"
NEVER = frozenset({".git", ".foretell"})
# fmt: off
CACHES = frozenset({
    "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints", ".tox", ".nox",
    "node_modules", ".DS_Store",
})
CODE = frozenset({
    "py", "pyx", "ipynb", "r", "rmd", "jl", "sql", "sh", "toml", "js", "ts", "java", "scala", "kt", "go",
    "rs", "c", "h", "cpp", "hpp", "f90", "pl", "rb",
})
# fmt: on
"""Suffixes by which a directory is known to hold more than data."""

Kind: TypeAlias = Literal["copy", "link", "symlink", "directory"]
Rule: TypeAlias = Callable[[str], bool | None]


class Entry(Struct, frozen=True, kw_only=True):
    """
    One path of a tree, relative to its root, with "/".

    copy: a file, copied. link: a large file or directory, represented by a symlink to the original. symlink:
    one of the user's own, to `target`. directory: an empty one. `size` is bytes, `mtime` nanoseconds;
    for a linked directory they are the sum and a digest of all below.
    """

    path: str
    kind: Kind
    size: int = 0
    mtime: int = 0
    mode: int = 0
    target: str = ""


class Tree(Struct, frozen=True, kw_only=True):
    """What belongs to a service's directory. `root` is absolute; `entries` are sorted by path."""

    root: Path
    entries: tuple[Entry, ...]


def scan(root: Path, outputs: Collection[str], *, inputs: Collection[str] = ()) -> Tree:
    """
    Find what belongs to the working directory of a command.

    Left out are .git, .foretell, virtual environments and `outputs` (the actions' output directories),
    always; caches; and what .foretellignore names, whose "!" brings back a cache. Large files are linked,
    and large directories without code, but none that `outputs` or `inputs` (where models are put) lie in.
    UsageError for what cannot be read.
    """
    root = Path(os.path.realpath(root))
    try:
        found = _Scan(
            root, frozenset(map(os.path.normpath, outputs)), frozenset(map(os.path.normpath, inputs))
        )
        entries = found.below("").entries
    except OSError as error:
        raise _unreadable(root, error) from error
    return Tree(root=root, entries=tuple(sorted(entries, key=lambda entry: entry.path)))


def fingerprint(tree: Tree) -> str:
    """Give the SHA-256 (hex) of paths, contents and executable bits; of what is linked, of size and time."""
    return _digest((entry, _content_digest(data)) for entry, data in _contents(tree))


def freeze(tree: Tree, snapshots: Path) -> tuple[str, Path]:
    """
    Give the tree's fingerprint and a directory that holds it as it is now, whatever is edited later.

    The directory is `snapshots`/<first 32 of the fingerprint>, made at once or not at all, shared by all who
    freeze the same. The fingerprint is that of the very bytes copied.
    """
    current = [(entry, _content_digest(data)) for entry, data in _contents(tree)]
    mark = _digest(current)
    place = snapshots / mark[:32]
    if _is_whole(place, [entry for entry, _ in current]):
        return mark, place
    snapshots.mkdir(parents=True, exist_ok=True)
    draft = _draft(snapshots)
    copied = list(_copied(tree, draft))
    mark = _digest(copied)
    return mark, _published(draft, snapshots / mark[:32], [entry for entry, _ in copied])


def copy_file(data: bytes, to: Path, mode: int, mtime: int) -> None:
    """Write a file with its permissions and time; the owner may always write it."""
    to.write_bytes(data)
    to.chmod(stat.S_IMODE(mode) | stat.S_IWUSR)
    os.utime(to, ns=(mtime, mtime))


class _Below(Struct):
    """What was found below a directory: `size` and `count` of the files that would be copied."""

    entries: list[Entry]
    size: int = 0
    count: int = 0
    code: bool = False


class _Scan:
    """One walk over a directory."""

    def __init__(self, root: Path, outputs: frozenset[str], inputs: frozenset[str]) -> None:
        self.root = root
        self.outputs = outputs
        self.open = {parent for path in outputs | inputs for parent in _parents(path)} | inputs
        self.rule = _rule(root)

    def below(self, folder: str) -> _Below:
        found = _Below([])
        with os.scandir(self.root / folder) as items:
            for item in items:
                path = f"{folder}/{item.name}" if folder else item.name
                if not self._is_left_out(path, item):
                    self._add(found, path, item)
        if folder and not found.entries:
            found.entries.append(Entry(path=folder, kind="directory"))
        return found

    def _is_left_out(self, path: str, item: os.DirEntry[str]) -> bool:
        if item.name in NEVER or path in self.outputs:
            return True
        directory = item.is_dir(follow_symlinks=False)
        if directory and Path(item.path, "pyvenv.cfg").exists():
            return True
        named = self.rule(path + "/" if directory else path)
        return item.name in CACHES if named is None else named

    def _add(self, found: _Below, path: str, item: os.DirEntry[str]) -> None:
        if item.is_symlink():
            found.entries.append(self._symlink(path))
        elif item.is_dir():
            self._add_directory(found, path, item)
        elif item.is_file():
            self._add_file(found, path, item)

    def _add_file(self, found: _Below, path: str, item: os.DirEntry[str]) -> None:
        info = item.stat(follow_symlinks=False)
        large = info.st_size > LARGE
        target = item.path if large else ""
        kind: Kind = "link" if large else "copy"
        stamps = {"size": info.st_size, "mtime": info.st_mtime_ns, "mode": info.st_mode}
        found.entries.append(Entry(path=path, kind=kind, target=target, **stamps))
        found.size += 0 if large else info.st_size
        found.count += 1
        found.code = found.code or item.name.rpartition(".")[2].lower() in CODE

    def _add_directory(self, found: _Below, path: str, item: os.DirEntry[str]) -> None:
        below = self.below(path)
        bulky = below.size > LARGE or below.count > MANY
        if bulky and not below.code and path not in self.open:
            found.entries.append(_linked(path, item.path, below.entries))
            # it still weighs, so that the directory it lies in is linked as one with it
        else:
            found.entries += below.entries
        found.size += below.size
        found.count += below.count
        found.code = found.code or below.code

    def _symlink(self, path: str) -> Entry:
        """Keep what points inside the tree; let what points outside point there from anywhere."""
        here = self.root / path
        text, goal = str(here.readlink()), os.path.realpath(here)
        if goal == str(self.root) or goal.startswith(f"{self.root}/"):
            inside = os.path.relpath(goal, here.parent) if text.startswith("/") else text
            return Entry(path=path, kind="symlink", target=inside)
        try:
            info = Path(goal).stat()
        except OSError:
            return Entry(path=path, kind="symlink", target=goal)
        size, mtime = (info.st_size, info.st_mtime_ns) if stat.S_ISREG(info.st_mode) else (0, 0)
        return Entry(path=path, kind="symlink", target=goal, size=size, mtime=mtime)


def _rule(root: Path) -> Rule:
    try:
        text = (root / IGNORE_FILE).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return lambda _path: None
    # pathspec takes 30 ms to load, which only those pay who have patterns
    rule: Rule = importlib.import_module("foretell.ignore").rules(text)
    return rule


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _linked(path: str, original: str, entries: list[Entry]) -> Entry:
    lines = [f"{below.path}\0{below.size}\0{below.mtime}\0{below.target}" for below in entries]
    digest = sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).digest()
    size = sum(entry.size for entry in entries)
    return Entry(path=path, kind="link", size=size, mtime=int.from_bytes(digest[:7]), target=original)


def _contents(tree: Tree) -> Iterator[tuple[Entry, bytes]]:
    """Give every entry with its bytes as they are now; a file that has vanished meanwhile is left out."""
    for entry in tree.entries:
        if entry.kind != "copy":
            yield entry, b""
            continue
        try:
            data = (tree.root / entry.path).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(tree.root, error) from error
        yield (entry if len(data) == entry.size else replace(entry, size=len(data))), data


def _content_digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _digest(entries: Iterable[tuple[Entry, str]]) -> str:
    """Fold entries into one digest, less what only this machine has, such as a copied file's time."""
    whole = sha256()
    for entry, content in entries:
        executable = "x" if entry.mode & stat.S_IXUSR else "-"
        match entry.kind:
            case "copy":
                line = f"copy\0{executable}\0{content}"
            case "link":
                line = f"link\0{entry.size}\0{entry.mtime}"
            case "symlink":
                line = f"symlink\0{entry.target}\0{entry.size}\0{entry.mtime}"
            case "directory":
                line = "directory"
            case _:
                assert_never(entry.kind)
        whole.update(f"{entry.path}\0{line}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


def _copied(tree: Tree, into: Path) -> Iterator[tuple[Entry, str]]:
    into.mkdir()
    made: set[Path] = set()
    for entry, data in _contents(tree):
        to = into / entry.path
        if to.parent not in made:
            to.parent.mkdir(parents=True, exist_ok=True)
            made.add(to.parent)
        match entry.kind:
            case "copy":
                copy_file(data, to, entry.mode, entry.mtime)
            case "directory":
                to.mkdir()
            case "link" | "symlink":
                to.symlink_to(entry.target)
        yield entry, _content_digest(data)


def _is_whole(place: Path, entries: Iterable[Entry]) -> bool:
    """Tell whether a snapshot holds every file in its full length: after a power cut it may not."""
    try:
        for entry in entries:
            info = os.lstat(f"{place}/{entry.path}")
            if entry.kind == "copy" and info.st_size != entry.size:
                return False
    except OSError:
        return False
    return place.is_dir()


def _published(draft: Path, place: Path, entries: list[Entry]) -> Path:
    """Give the draft its name; where another was faster take that, and where one is damaged put it aside."""
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


def _draft(snapshots: Path) -> Path:
    return snapshots / f".{os.urandom(8).hex()}"


def _unreadable(root: Path, error: OSError) -> UsageError:
    return UsageError(
        f'"{error.filename or root}" cannot be read',
        where=str(root),
        why=(error.strerror or str(error)).lower(),
        hint=f"make it readable, or name it in {IGNORE_FILE}",
    )


def ask_revision(root: Path, outputs: Collection[str] = ()) -> Popen[bytes] | None:
    """Begin to ask Git, which goes on while others work; None where there is no Git to ask."""
    left_out = [f":(exclude){path}" for path in (".foretell", LOCK_FILE, *outputs)]
    status = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--", ".", *left_out]
    status.append(":(exclude,glob)**/__pycache__/**")
    try:
        return Popen(status, cwd=root, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    except OSError:
        return None


def read_revision(asked: Popen[bytes] | None, *, patience: float = 5.0) -> str:
    """Give HEAD (40 hex), with "+" where the work tree differs from it, or "" without Git or commit."""
    if asked is None:
        return ""
    with asked:
        try:
            answer, _ = asked.communicate(timeout=patience)
        except TimeoutExpired:
            asked.kill()
            return ""
    lines = answer.decode(errors="replace").splitlines()
    head = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    if asked.returncode or not head.isalnum():
        return ""
    return head + ("+" if any(not line.startswith("#") for line in lines) else "")


def revision(root: Path, outputs: Collection[str] = ()) -> str:
    """Ask and read at once."""
    return read_revision(ask_revision(root, outputs))
