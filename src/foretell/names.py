"""Every derived name: run ids, object keys, owners, scopes, machines. Nowhere else is a name put together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

STAMP = re.compile(r"\d{8}T\d{6}(?:\.\d{3})?Z")
RUN_ID = re.compile(r"(\d{8}T\d{6}(?:\.\d{3})?Z)-([1-9]\d*)\Z")
STORE_RECORD = "store.json"
SERVICE_FILE = "foretell.toml"
LOCK_FILE = "foretell.lock"


def nonce() -> str:
    """Give a name that nobody else has: 128 random bits, in hex."""
    return os.urandom(16).hex()


def stamp(date: datetime) -> str:
    """Give a date as it stands in a run id: UTC, basic ISO format, milliseconds only where there are any."""
    date = date.astimezone(UTC)
    fraction = f".{date.microsecond // 1000:03d}" if date.microsecond else ""
    return f"{date:%Y%m%dT%H%M%S}{fraction}Z"


def unstamp(text: str) -> datetime:
    """Read what `stamp` wrote; ValueError for anything else."""
    # not by strptime, whose first call loads calendars and locales for longer than everything else here takes
    if not STAMP.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def rfc3339(date: datetime) -> str:
    """Give a date as the environment and the records show it: UTC, to the second or millisecond."""
    date = date.astimezone(UTC)
    return date.isoformat(timespec="milliseconds" if date.microsecond else "seconds")


def sortable(date: datetime) -> str:
    """Give a date as text that sorts as the dates do: UTC, always with milliseconds."""
    return date.astimezone(UTC).isoformat(timespec="milliseconds")


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
    Give a file's path as object stores take it: as it is, save for control characters, "#", "%" and "\".

    Those are percent-encoded (obstore reads "#1" at the end of a name as a temporary file of its own).
    """
    return re.sub(r"[\x00-\x1f\x7f#%\\]", lambda found: f"%{ord(found[0]):02X}", path)


def actions_folder(service: str, version: str) -> str:
    """Give the folder of one generation of models."""
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


def owner(store: str, service: str, action: str) -> str:
    """Who delivers: one action of one service from one store, whatever its version."""
    return f"{store}/{service}/{action}"


def scope(table: str, partition: str | None) -> str:
    """What one delivery replaces: the table, or one partition of it."""
    return table if partition is None else f"{table}${partition}"


def partition(granularity: str, date: datetime, timezone: str) -> str:
    """Give the value of the partition column for a run's date: an ISO date, or for hours a time with its offset."""
    local = date.astimezone(ZoneInfo(timezone))
    match granularity:
        case "hour":
            return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC).isoformat()
        case "month":
            return local.date().replace(day=1).isoformat()
        case _:
            return local.date().isoformat()


def cache(environ: Mapping[str, str]) -> Path:
    """Give this user's directory for what can be made again: FORETELL_CACHE, else by the XDG convention."""
    if named := environ.get("FORETELL_CACHE"):
        return Path(named).absolute()
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home(), ".cache")
    return Path(base) / "foretell"


def machine(service: str, action: str, attempt: int, nonce: str) -> str:
    """Name a machine from its launch's nonce: at most 63 of [a-z0-9-], starts with a letter, collision-free."""
    readable = re.sub(r"[^a-z0-9]+", "-", f"{service}-{action}".lower())[:40].strip("-")
    return f"{readable}-{attempt}-{nonce[:16]}"


def number_of(machine: str) -> int:
    """Give the attempt that a machine is named for."""
    return int(machine.rsplit("-", 2)[1])


def key(action: str, date: datetime) -> str:
    """The idempotency key of a run asked for by its date: by hand, by `tick`, alike."""
    return f"{action}@{rfc3339(date)}"


def retried(key: str, failures: int) -> str:
    """The key of the next run after `failures` unsuccessful ones of this key."""
    return key if not failures else f"{key}#{failures + 1}"


def original(key: str) -> str:
    """The key a retried key was derived from."""
    return re.sub(r"#\d+\Z", "", key)


# --- images -----------------------------------------------------------------------------------------------------------

IMAGE_AGENT = "/opt/foretell/agent"
IMAGE_ENVIRONMENT = "/opt/foretell/environment"
IMAGE_SERVICE = "/opt/foretell/service"
IMAGE_ENV_FILE = "/tmp/foretell.env"  # noqa: S108
IMAGE_HOME = "/tmp/foretell"  # noqa: S108 - of a container, whose user may be anybody
"""Where things are in a container: Foretell's Python, the model's, source and configs, env file, the agent's work."""


def image(registry: str | None, service: str, version: str, mark: str) -> str:
    """Name an image by what is in it; the same name never means anything else."""
    place = f"{registry.rstrip('/')}/" if registry else "foretell/"
    return f"{place}{service.strip('-')}:{version}-{mark}"
