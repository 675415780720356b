"""
The object store in a few verbs, create-once among them; obstore underneath.

The library's own retries are off: they would hide who won a race (P10). Whoever needs certainty loops in `ledger`.
A directory is a store as well, with two additions: what was created is synced to the disk before it counts, and
a directory that lost its `store.json` (unmounted, removed) is unreachable, not empty.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PermissionDeniedError
from obstore.store import LocalStore, ObjectStore, from_url

from foretell.errors import CorruptError, StoreError, StoreFullError, StoreRefusedError, UsageError
from foretell.names import STORE_RECORD

REFUSALS = ("Permission denied", "Read-only file system", "Operation not permitted")
FULL = ("No space left", "Disk quota exceeded")
FEW = 8
PART = 8 * 1024 * 1024


class Store:
    """One object store. Keys are relative to its URL; every method raises StoreError when nothing is known."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.directory = local_directory(url)
        if self.directory is None:
            _ = self._objects  # a URL that cannot be is told at once

    @cached_property
    def _objects(self) -> ObjectStore:
        """Connect; to a directory only where it is there, so that looking at nothing leaves nothing behind."""
        if self.directory is not None and not os.path.isdir(self.directory):  # noqa: PTH112 - false, not an error
            self._must_be_there()
        return _connect(self.url, self.directory)

    def get(self, key: str) -> bytes | None:
        """Give an object's bytes, None when it is certain that there is none."""
        try:
            return bytes(obstore.get(self._objects, key).bytes())
        except (NotFoundError, FileNotFoundError):
            self._must_be_there()
            return None
        except (BaseError, OSError) as error:
            raise self._unknown("read", key, error) from error

    def create(self, key: str, data: bytes | Path, *, durable: bool = True) -> bool:
        """
        Write an object that is not there yet; False when it is there. After an error, it may be.

        Many objects are cheaper with durable=False and one `settle` after them.
        """
        if key != STORE_RECORD:
            self._must_be_there()
        try:
            if key == STORE_RECORD and self.directory is not None:
                self.directory.mkdir(parents=True, exist_ok=True)
            obstore.put(self._objects, key, data, mode="create")
            made = True
        except AlreadyExistsError:
            made = False
        except (BaseError, OSError) as error:
            raise self._unknown("write", key, error) from error
        if durable:  # also what another wrote: whoever loses obeys it
            self.sync(key)
        return made

    def put(self, key: str, data: bytes) -> None:
        """Write an object over what is there. Not synced: only beats are written so, and they prove only life."""
        self._must_be_there()
        try:
            obstore.put(self._objects, key, data)
        except (BaseError, OSError) as error:
            raise self._unknown("write", key, error) from error

    def chunks(self, key: str) -> Iterator[memoryview]:
        """Give an object's bytes in parts; CorruptError where there is none."""
        try:
            if self.directory is not None:
                # obstore reads a file in pieces of 8 KiB, which takes ten times as long
                with (self.directory / key).open("rb", buffering=0) as file:
                    while part := file.read(PART):
                        yield memoryview(part)
                return
            for part in obstore.get(self._objects, key).stream(min_chunk_size=PART):
                yield memoryview(part)
        except (NotFoundError, FileNotFoundError) as error:
            self._must_be_there()
            raise CorruptError(
                f'the object "{key}" is not there',
                where=self.url,
                hint="restore it from a backup, or `foretell withdraw` its run and run the action again",
            ) from error
        except (BaseError, OSError) as error:
            raise self._unknown("read", key, error) from error

    def folders(self, prefix: str) -> list[str]:
        """Give the names directly below a prefix that have objects below them, unordered."""
        try:
            found = obstore.list_with_delimiter(self._objects, prefix)["common_prefixes"]
        except (NotFoundError, FileNotFoundError):
            found = []
        except (BaseError, OSError) as error:
            raise self._unknown("list", prefix, error) from error
        if not found:
            self._must_be_there()
        return [path.rstrip("/").rpartition("/")[2] for path in found]

    def remove(self, key: str) -> None:
        """Remove an object; nothing of a run's records ever is."""
        try:
            obstore.delete(self._objects, key)
        except (NotFoundError, FileNotFoundError):
            return
        except (BaseError, OSError) as error:
            raise self._unknown("remove", key, error) from error

    def sync(self, key: str) -> None:
        """Make sure that an object survives a power cut: in a directory, its bytes and every name that leads to it."""
        if self.directory is None:
            return
        path = self.directory / key
        try:
            _flush(path)
            while path != self.directory:
                path = path.parent
                _flush(path)
        except OSError as error:
            raise self._unknown("sync", key, error) from error

    def settle(self, keys: Sequence[str]) -> None:
        """Make these objects survive a power cut; many of them by one flush of the whole system, which is faster."""
        if self.directory is None:
            return
        if len(keys) > FEW:
            os.sync()
            return
        for key in keys:
            self.sync(key)

    def create_file(self, key: str, path: Path) -> bool:
        """`create` for a file too large to be read at once; its name is not synced yet, see `settle`."""
        if self.directory is None:
            return self.create(key, path, durable=False)
        self._must_be_there()
        target = self.directory / key
        aside = target.with_name(f"{target.name}#{os.getpid()}{threading.get_ident()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, aside)
            _flush(aside)  # while the caller still hashes; `settle` has nothing left to wait for
            os.link(aside, target)
        except FileExistsError:
            return False
        except OSError as error:
            raise self._unknown("write", key, error) from error
        finally:
            aside.unlink(missing_ok=True)
        return True

    def is_there(self) -> bool:
        """Whether anything was ever started here, as far as that can be told at once."""
        if self.directory is None:
            return True
        try:
            (self.directory / STORE_RECORD).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._unknown("read", STORE_RECORD, error) from error
        return True

    def _must_be_there(self) -> None:
        if not self.is_there():
            raise StoreError(
                "the store is not there",
                where=str(self.directory),
                why=f'its "{STORE_RECORD}" cannot be found: was the directory unmounted, moved or removed?',
                hint="bring it back, or run `foretell start` to begin a new one",
            )

    def _unknown(self, verb: str, key: str, error: Exception) -> StoreError:
        text = str(error).partition("\n")[0]
        refused = isinstance(error, PermissionDeniedError | PermissionError) or any(
            r in str(error) for r in REFUSALS
        )
        full = any(r in str(error) for r in FULL)
        kind = StoreRefusedError if refused else StoreFullError if full else StoreError
        hint = "check the permissions of the store" if refused else "check the store, then repeat the command"
        if full:
            hint = "free some space on the disk, then repeat the command"
        return kind(f'cannot {verb} "{key}"', where=self.url, why=text, hint=hint)


def local_directory(url: str) -> Path | None:
    """Give the directory of a file:// URL, None for a store elsewhere."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _connect(url: str, directory: Path | None) -> ObjectStore:
    try:
        if directory is not None:
            return LocalStore(directory)
        return from_url(url, retry_config={"max_retries": 0}, client_options={"timeout": "30s"})
    except (BaseError, OSError, ValueError) as error:
        text = str(error).partition("\n")[0]
        kind = StoreRefusedError if any(r in str(error) for r in REFUSALS) else UsageError
        raise kind(
            f'the store "{url}" cannot be opened',
            why=text,
            hint="see `store` in foretell.toml: file://, gs:// or s3://",
        ) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems cannot sync a directory, and need not
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
