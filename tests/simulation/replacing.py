"""Functions of the product replaced for a while: by a mutant's, or by ones that remember their answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from foretell.protocol import effects, records
from foretell.protocol.keys import Run


@contextmanager
def replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """Replace an attribute of a module or class."""
    original = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


@lru_cache(maxsize=50_000)
def decode(data: bytes, kind: Any, _: str) -> Any:
    """Decode a record, and remember it."""
    return records.decode(data, kind, "in the simulation")


def read(store: dict[str, bytes], key: str, kind: Any) -> Any:
    """Give a record as it stands in the store, None where it is absent."""
    data = store.get(key)
    return None if data is None else decode(data, kind, "")


@contextmanager
def remembering() -> Iterator[None]:
    """Decode each record and spell each run's folder once: that is half of the time of a world."""
    folder = Run.__dict__["folder"].fget
    with replaced(effects, "decode", decode), replaced(Run, "folder", property(cache(folder))):
        yield
