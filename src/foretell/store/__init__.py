"""The object store in a few verbs, create-once among them: in a directory, or in a bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from foretell.errors import CorruptError
from foretell.store.directory import PART, Directory

__all__ = ["PART", "Store", "local_directory"]


class Store:
    """
    One object store. Keys are relative to its URL.

    Every method raises StoreError when nothing is known, StoreRefusedError when repeating alone will not help.
    Whoever needs certainty loops in `ledger`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.directory = local_directory(url)
        if self.directory is None:
            from foretell.store.bucket import Bucket

            self._place: Bucket | Directory = Bucket(url)
        else:
            self._place = Directory(url, self.directory)

    def get(self, key: str) -> bytes | None:
        """Return an object's bytes, None when it is certain that there is none."""
        return self._place.get(key)

    async def get_async(self, key: str) -> bytes | None:
        """`get` for an event loop, which it does not hold up, in one try: whoever watches looks again."""
        return await self._place.get_async(key)

    def create(self, key: str, data: bytes, *, durable: bool = True) -> bool:
        """
        Write an object that is not there yet; False when it is there. After an error, it may be.

        Many objects are cheaper with durable=False and one `settle` after them.
        """
        made = self._place.create(key, data)
        if durable:  # also what another wrote: whoever loses obeys it
            self._place.sync(key)
        return made

    def create_file(self, key: str, path: Path) -> bool:
        """`create` for a file too large to be read at once, by the only writer of this key; not durable yet."""
        return self._place.create_file(key, path)

    def put(self, key: str, data: bytes) -> None:
        """Write an object over what is there, in one try. Only beats are written so, and they prove only life."""
        self._place.put(key, data)

    def chunks(self, key: str) -> Iterator[memoryview]:
        """Return an object's bytes in parts; CorruptError where there is none."""
        try:
            yield from self._place.chunks(key)
        except FileNotFoundError as error:
            raise CorruptError(
                f'the object "{key}" does not exist',
                where=self.url,
                hint="restore it from a backup, or withdraw its run (`foretell withdraw`) and run the action again",
            ) from error

    def folders(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix that have objects below them, unordered."""
        return self._place.folders(prefix)

    def remove(self, key: str) -> None:
        """Remove an object; nothing of a run's records ever is."""
        self._place.remove(key)

    def sync(self, key: str) -> None:
        """Make sure that an object survives a power cut."""
        self._place.sync(key)

    def settle(self, keys: Sequence[str]) -> None:
        """Make these objects survive a power cut."""
        self._place.settle(keys)

    def is_there(self) -> bool:
        """Whether anything was ever started here, as far as that can be told at once."""
        return self._place.is_there()


def local_directory(url: str) -> Path | None:
    """Return the directory of a file:// URL, None for a store elsewhere."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
