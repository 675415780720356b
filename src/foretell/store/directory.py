"""
A store in a directory, with two additions to what a bucket does.

What was created is synced to the disk before it counts, and a directory that lost its `store.json` (unmounted,
removed) is unreachable, not empty.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PermissionDeniedError
from obstore.store import LocalStore

from foretell.errors import StoreError, StoreFullError, StoreRefusedError, UsageError

REFUSALS = ("Permission denied", "Read-only file system", "Operation not permitted")
FULL = ("No space left", "Disk quota exceeded")
FEW = 8
PART = 8 * 1024 * 1024
STORE_RECORD = "store.json"


class Directory:
    """The verbs of `Store`, in a directory."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.directory = directory

    @cached_property
    def _objects(self) -> LocalStore:
        """Connect only where the directory is there, so that looking at nothing leaves nothing behind."""
        if not os.path.isdir(self.directory):  # noqa: PTH112 - false, not an error
            self._must_be_there()
        try:
            return LocalStore(self.directory)
        except (BaseError, OSError) as error:
            refused = any(r in str(error) for r in REFUSALS)
            raise (StoreRefusedError if refused else UsageError)(
                f'the store "{self.url}" cannot be opened',
                why=str(error).partition("\n")[0],
                hint="check `store` in foretell.toml: file://, gs:// or s3://",
            ) from error

    def get(self, key: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._objects, key).bytes())
        except (NotFoundError, FileNotFoundError):
            self._must_be_there()
            return None
        except (BaseError, OSError) as error:
            raise self._unknown("read", key, error) from error

    async def get_async(self, key: str) -> bytes | None:
        try:
            return bytes(await (await obstore.get_async(self._objects, key)).bytes_async())
        except (NotFoundError, FileNotFoundError):
            self._must_be_there()
            return None
        except (BaseError, OSError) as error:
            raise self._unknown("read", key, error) from error

    def create(self, key: str, data: bytes) -> bool:
        if key != STORE_RECORD:
            self._must_be_there()
        try:
            if key == STORE_RECORD:
                self.directory.mkdir(parents=True, exist_ok=True)
            obstore.put(self._objects, key, data, mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise self._unknown("write", key, error) from error
        return True

    def put(self, key: str, data: bytes) -> None:
        self._must_be_there()
        try:
            obstore.put(self._objects, key, data)
        except (BaseError, OSError) as error:
            raise self._unknown("write", key, error) from error

    def chunks(self, key: str) -> Iterator[memoryview]:
        try:
            # obstore reads a file in pieces of 8 KiB, which takes ten times as long
            with (self.directory / key).open("rb", buffering=0) as file:
                while part := file.read(PART):
                    yield memoryview(part)
        except FileNotFoundError:
            self._must_be_there()
            raise
        except (BaseError, OSError) as error:
            raise self._unknown("read", key, error) from error

    def folders(self, prefix: str) -> list[str]:
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
        try:
            obstore.delete(self._objects, key)
        except (NotFoundError, FileNotFoundError):
            return
        except (BaseError, OSError) as error:
            raise self._unknown("remove", key, error) from error

    def sync(self, key: str) -> None:
        """Sync an object's bytes, and every name that leads to it."""
        path = self.directory / key
        try:
            _flush(path)
            while path != self.directory:
                path = path.parent
                _flush(path)
        except OSError as error:
            raise self._unknown("sync", key, error) from error

    def settle(self, keys: Sequence[str]) -> None:
        """Sync many by one flush of the whole system, which is faster."""
        if len(keys) > FEW:
            os.sync()
            return
        for key in keys:
            self.sync(key)

    def create_file(self, key: str, path: Path) -> bool:
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
                "the store does not exist",
                where=str(self.directory),
                why=f'its "{STORE_RECORD}" is missing: was the directory unmounted, moved or removed?',
                hint="restore it, or run `foretell start` to create a new one",
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


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems cannot sync a directory, and need not
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
