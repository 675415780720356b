"""
A store in a bucket, by obstore, and one loop of our own around every request.

The library's own retries are off: they would hide who won a race (P10). The loop asks again, for a while, where a
request failed in a way that may pass: no answer, 408, 429, 5xx. Who needs more patience has a loop around this one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import obstore
from msgspec.structs import replace
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore

from foretell.store import errors
from foretell.store.connect import connect
from foretell.store.directory import PART
from foretell.system.backoff import Backoff

READ = Backoff(first=0.2, longest=15, jitter=0.5, patience=15)
WRITE = replace(READ, first=1.0)
"""
For how long a verb asks again after its first failure; short, for a pulse may wait behind it.

One name takes one write a second, and a lost answer may be that of a write.
"""
RECORD_TIMEOUT, BULK_TIMEOUT = 30.0, 600.0
"""Seconds that one request may take: for a record, for a file or a part of one."""
LARGE = 4 * PART
"""Bytes; a file from here on goes up in parts, for in one request it would be held in memory as a whole."""
NOTHING_LEFT = 416
MOST_PARTS = 9000
PARTS_AT_ONCE = 4
RETRIES_OF_A_PART = 8
T = TypeVar("T")


class Bucket:
    """The verbs of `Store`, in a bucket. What was answered is durable."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._objects = connect(url, timeout=RECORD_TIMEOUT)
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    @cached_property
    def _files(self) -> ObjectStore:
        """What carries files: requests that may take long."""
        return connect(self.url, timeout=BULK_TIMEOUT)

    @cached_property
    def _parts(self) -> ObjectStore:
        """What carries parts of files, with retries: a part that is sent twice is the same part."""
        return connect(self.url, timeout=BULK_TIMEOUT, retries=RETRIES_OF_A_PART)

    def get(self, key: str) -> bytes | None:
        try:
            return self._insist("read", key, lambda: bytes(obstore.get(self._objects, key).bytes()))
        except FileNotFoundError:
            return None

    async def get_async(self, key: str) -> bytes | None:
        try:
            return bytes(await (await obstore.get_async(self._objects, key)).bytes_async())
        except (BaseError, OSError) as error:
            if isinstance(error, FileNotFoundError) and errors.is_certain(error):
                return None
            raise errors.told("read", key, self.url, error) from error

    def create(self, key: str, data: bytes) -> bool:
        objects = self._objects if len(data) < PART else self._files
        sent = 0

        def write() -> None:
            nonlocal sent
            sent += 1
            obstore.put(objects, key, data, mode="create", use_multipart=False)

        try:
            self._insist("write", key, write)
        except AlreadyExistsError:
            return sent > 1 and self.get(key) == data  # by an answer that was lost, it may be ours (P10)
        return True

    def create_file(self, key: str, path: Path) -> bool:
        """
        Write a large file in parts, which cannot be told to create only.

        Nobody else writes this key, so it is enough to look first: what is there is not written over.
        """
        size = path.stat().st_size
        if size < LARGE:
            return self.create(key, path.read_bytes())
        if self._size(key) is not None:
            return False
        self._insist("write", key, lambda: self._upload(key, path, size))
        return True

    def _upload(self, key: str, path: Path, size: int) -> None:
        try:
            obstore.put(
                self._parts,
                key,
                path,
                use_multipart=True,
                chunk_size=max(2 * PART, size // MOST_PARTS),
                max_concurrency=PARTS_AT_ONCE,
            )
        except (BaseError, OSError) as error:
            # of a lost last answer the library tells only that its clean-up found no upload any more
            if not errors.passes(error) or self._size(key) != size:
                raise

    def _size(self, key: str) -> int | None:
        try:
            return self._insist("read", key, lambda: obstore.head(self._objects, key)["size"])
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        self._wait_for_the_name(key)
        try:
            obstore.put(self._objects, key, data, use_multipart=False)
        except (BaseError, OSError) as error:
            raise errors.told("write", key, self.url, error) from error

    def _wait_for_the_name(self, key: str) -> None:
        """Have a second pass between two writes to one name, which is all that it takes."""
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next.get(key, now))
            self._next[key] = at + WRITE.first
        time.sleep(at - now)

    def chunks(self, key: str) -> Iterator[memoryview]:
        """Stream an object; a stream that is cut goes on from where it was, with new patience."""
        done = 0
        while True:
            before, pauses = done, READ.pauses()
            while done == before:
                try:
                    for part in self._stream(key, done):
                        done += len(part)
                        yield part
                except (BaseError, OSError) as error:
                    if errors.is_certain(error):
                        raise
                    if done and errors.status(error) == NOTHING_LEFT:
                        return
                    if done == before and not (errors.passes(error) and _rest(pauses)):
                        raise errors.told("read", key, self.url, error) from error
                else:
                    return

    def _stream(self, key: str, offset: int) -> Iterator[memoryview]:
        # without a range from the beginning, for nothing at all has none
        found = (
            obstore.get(self._files, key, options={"range": {"offset": offset}})
            if offset
            else obstore.get(self._files, key)
        )
        for part in found.stream(min_chunk_size=PART):
            yield memoryview(part)

    def folders(self, prefix: str) -> list[str]:
        def ask() -> Sequence[str]:
            return obstore.list_with_delimiter(self._files, prefix)["common_prefixes"]

        return [path.rstrip("/").rpartition("/")[2] for path in self._insist("list", prefix, ask)]

    def remove(self, key: str) -> None:
        try:
            self._insist("remove", key, lambda: obstore.delete(self._objects, key))
        except FileNotFoundError:
            return

    def sync(self, key: str) -> None:
        """Nothing is left to do."""

    def settle(self, keys: Sequence[str]) -> None:
        """Nothing is left to do."""

    def is_there(self) -> bool:
        """Whether it is, costs a request: so it is told by the next one."""
        return True

    def _insist(self, verb: str, key: str, work: Callable[[], T]) -> T:
        """
        Do the work, again while that may help.

        FileNotFoundError is certain: the bucket is there, and the object is not. AlreadyExistsError is as well.
        """
        pauses = (WRITE if verb == "write" else READ).pauses()
        while True:
            try:
                return work()
            except (BaseError, OSError) as error:
                if errors.is_certain(error) and not (
                    verb == "write" and isinstance(error, FileNotFoundError)
                ):
                    raise
                if not (errors.passes(error) and _rest(pauses)):
                    raise errors.told(verb, key, self.url, error) from error


def _rest(pauses: Iterator[float]) -> bool:
    """Wait before another try; False, at once, when there is to be none."""
    pause = next(pauses, None)
    if pause is not None:
        time.sleep(pause)
    return pause is not None
