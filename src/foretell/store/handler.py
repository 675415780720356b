"""The effects that need the store alone, carried out."""

from __future__ import annotations

import time

from foretell.protocol.effects import Create, Effect, Folders, Get, Put, Sleep
from foretell.store import Store


class StoreHandler:
    """Carries out reads, writes and waiting; whoever can do more overrides `perform` for the rest."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def perform(self, op: Effect) -> object:
        match op:
            case Get(key):
                return self.store.get(key)
            case Folders(prefix):
                return self.store.folders(prefix)
            case Create(key, data):
                return self.store.create(key, data)
            case Put(key, data):
                self.store.put(key, data)
            case Sleep(seconds):
                time.sleep(seconds)
            case _:
                raise AssertionError(op)
        return None
