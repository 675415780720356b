"""Every derived name of a run: its id, its objects' keys, its machine. Nowhere else is one put together."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import NamedTuple

from foretell.system.times import rfc3339, stamp, unstamp

RUN_ID = re.compile(r"(\d{8}T\d{6}(?:\.\d{3})?Z)-([1-9]\d*)\Z")


def nonce() -> str:
    """Return a name that nobody else has: 128 random bits, in hex."""
    return os.urandom(16).hex()


class Run(NamedTuple):
    """
    A run's place in the store, and from it every object of it.

    Runs of one action order as (date, n).
    """

    service: str
    version: str
    action: str
    date: datetime
    n: int

    @property
    def id(self) -> str:
        return f"{stamp(self.date)}-{self.n}"

    @property
    def label(self) -> str:
        """What `start` prints and every verb takes."""
        return f"{self.action}/{self.id}"

    @property
    def order(self) -> tuple[datetime, int]:
        return (self.date, self.n)

    @property
    def folder(self) -> str:
        month = f"{self.date.astimezone(UTC):%Y-%m}"
        return f"{actions_folder(self.service, self.version)}/{self.action}/{month}/{self.id}"

    @property
    def request(self) -> str:
        return f"{self.folder}/request.json"

    @property
    def outcome(self) -> str:
        return f"{self.folder}/outcome.json"

    @property
    def delivery(self) -> str:
        return f"{self.folder}/delivery.json"

    @property
    def withdrawn(self) -> str:
        return f"{self.folder}/withdrawn.json"

    @property
    def told(self) -> str:
        """Says that somebody was told how the run ended."""
        return f"{self.folder}/told/tick.json"

    @property
    def withdrawal(self) -> str:
        return f"{self.folder}/withdrawal.json"

    def attempt(self, number: int) -> Attempt:
        return Attempt(f"{self.folder}/attempts/{number}", number)


class Attempt(NamedTuple):
    """The objects of one attempt."""

    folder: str
    number: int

    @property
    def launch(self) -> str:
        return f"{self.folder}/launch.json"

    @property
    def claim(self) -> str:
        return f"{self.folder}/claim.json"

    @property
    def beat(self) -> str:
        return f"{self.folder}/beat.json"

    @property
    def host(self) -> str:
        return f"{self.folder}/host.json"

    @property
    def exit(self) -> str:
        return f"{self.folder}/exit.json"

    @property
    def manifest(self) -> str:
        return f"{self.folder}/manifest.json"

    def log(self, chunk: int) -> str:
        return f"{self.folder}/log/{chunk:06d}"

    def output(self, path: str) -> str:
        return f"{self.folder}/output/{object_name(path)}"

    def rows(self, part: int) -> str:
        """The checked rows, as Parquet."""
        return f"{self.folder}/delivery/{part:06d}.parquet"


def object_name(path: str) -> str:
    r"""
    Return a file's path as object stores take it: as it is, save for control characters, "#", "%" and "\".

    Those are percent-encoded (obstore reads "#1" at the end of a name as a temporary file of its own).
    """
    return re.sub(r"[\x00-\x1f\x7f#%\\]", lambda found: f"%{ord(found[0]):02X}", path)


def actions_folder(service: str, version: str) -> str:
    """Return the folder of one generation of models."""
    return f"{service}/{version}"


def first_sight(service: str, version: str, action: str) -> str:
    """Return the object that says since when an action's schedule counts."""
    return f"{actions_folder(service, version)}/{action}/seen.json"


def run_of(folder: str) -> Run:
    """Read a run's place from its folder in the store; ValueError for anything else."""
    service, version, action, _, run_id = folder.split("/")
    return run_named(service, version, action, run_id)


def run_named(service: str, version: str, action: str, run_id: str) -> Run:
    """Read a run id; ValueError for anything else."""
    found = RUN_ID.match(run_id)
    if not found:
        raise ValueError(run_id)
    return Run(service, version, action, unstamp(found[1]), int(found[2]))


def machine(service: str, action: str, attempt: int, nonce: str) -> str:
    """
    Name a machine from its launch's nonce: at most 63 of [a-z0-9-], starts with a letter, collision-free.

    `Launch.number` reads the attempt from it.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", f"{service}-{action}".lower())[:40].strip("-")
    return f"{readable}-{attempt}-{nonce[:16]}"


def key(action: str, date: datetime) -> str:
    """The idempotency key of a run asked for by its date: by hand, by `tick`, alike."""
    return f"{action}@{rfc3339(date)}"


def retried(key: str, failures: int) -> str:
    """The key of the next run after `failures` unsuccessful ones of this key."""
    return key if not failures else f"{key}#{failures + 1}"


def original(key: str) -> str:
    """The key a retried key was derived from."""
    return re.sub(r"#\d+\Z", "", key)
