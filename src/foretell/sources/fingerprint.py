"""The fingerprint of a tree: a digest of its paths, contents and executable bits."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias, assert_never

from msgspec.structs import replace

from foretell.sources.copying import FULL, WORKERS, is_much
from foretell.sources.digests import REMEMBERED, Digests
from foretell.sources.tree import Entry, Tree, unreadable
from foretell.system.parallel import each

Marked: TypeAlias = tuple[Entry, str]
"""An entry, and the SHA-256 (hex) of what it holds; "" for what is no file."""
Reader: TypeAlias = Callable[[Path], tuple[str, int]]
"""Return a file's SHA-256 (hex) and its length; OSError."""


def fingerprint(tree: Tree, digests: Digests | None = None) -> str:
    """Return the SHA-256 (hex) of a tree as it is now; of what is linked, of size and time."""
    known = digests or Digests()

    def read(path: Path) -> tuple[str, int]:
        digest, info = known.digest(str(path))
        return digest, info.st_size

    return folded(marked(tree, read))


def marked(tree: Tree, read_large: Reader) -> list[Marked]:
    """
    Return every entry with its digest as it is now; a file that has vanished meanwhile is left out.

    `read_large` is asked for the files whose digests are remembered. UsageError for what cannot be read.
    """

    def look(entry: Entry) -> Marked | None:
        if entry.kind != "copy":
            return entry, ""
        path = tree.root / entry.path
        try:
            digest, size = read_large(path) if entry.size >= REMEMBERED else _read_small(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in FULL:
                raise
            raise unreadable(tree.root, error, path) from error
        return (entry if size == entry.size else replace(entry, size=size)), digest

    much = is_much(len(tree.entries), sum(entry.size for entry in tree.entries))
    found = each(look, tree.entries, WORKERS if much else 1)
    return [one for one in found if one]


def folded(entries: Iterable[Marked]) -> str:
    """Fold entries into one digest, less what only this machine has, such as a copied file's time."""
    whole = hashlib.sha256()
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


def _read_small(path: Path) -> tuple[str, int]:
    data = path.read_bytes()
    return hashlib.sha256(data).hexdigest(), len(data)
