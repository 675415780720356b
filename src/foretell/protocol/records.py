"""
What is written into a run's folder: one record an object, JSON, UTF-8.

Records are read leniently (a field that is not known is ignored) and `format` grows when an old reader would
misunderstand: see `SINCE_2`. Times are RFC 3339 in UTC and only for people: nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct, field

from foretell.errors import CorruptError
from foretell.protocol.keys import Run
from foretell.service.declaration import defaults
from foretell.service.delivery import Delivery
from foretell.service.kinds import decoded
from foretell.service.model import Action, Source, Target

FORMAT = 2
"""The newest format that this Foretell reads, and that an agent in an image made by it does."""


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every record carries."""

    format: int = 1


class StoreId(Record, frozen=True, kw_only=True):
    """`store.json`: the store's identity, by whatever address it is reached."""

    id: str


class Interval(Struct, frozen=True, kw_only=True):
    """The data a scheduled run is about: from the previous tick to its own."""

    start: str
    end: str


class Pin(Struct, frozen=True, kw_only=True):
    """An input as resolved at the start: the run's folder, the SHA-256 of its manifest, and where the files go."""

    action: str
    run: str
    digest: str
    path: str


class Request(Record, frozen=True, kw_only=True):
    """`request.json`: what was asked, with everything resolved. Whoever goes on with the run needs nothing else."""

    key: str
    uid: str
    service: str
    version: str
    action: str
    date: str
    n: int
    store: str
    """The store's id."""
    interval: Interval | None = None
    inputs: tuple[Pin, ...] = ()
    spec: Action
    target: Target
    """With the platform as resolved for this action."""
    source: Source
    env: dict[str, str] = field(default_factory=dict)
    """Everything declared in the service file, the action's over the service's."""
    env_file: str | None = None
    """A file of more variables on the host, whose values are read there and written nowhere."""
    timezone: str = "UTC"
    partition: str | None = None
    """The value of the partition column, in mode "partition"."""
    fingerprint: str
    revision: str = ""
    """The Git revision, with "+" where the work tree differs from it."""
    snapshot: str | None = None
    """The directory of the frozen sources on the host (platforms without images)."""
    image: str | None = None
    left_out: tuple[str, ...] = ()
    """Paths that look like secrets, which are in neither the snapshot nor the image."""
    trial: bool = False
    is_model: bool = False
    """Whether other actions of the service take this one's output as their input."""
    asked_at: str
    asked_by: str = ""

    @property
    def run(self) -> Run:
        """The run that was asked for: its place in the store."""
        return Run(self.service, self.version, self.action, datetime.fromisoformat(self.date), self.n)

    @property
    def delivers(self) -> bool:
        """Whether rows must reach a warehouse before this run is a success."""
        return self.spec.delivery is not None and not self.trial


CommandFault: TypeAlias = Literal["failed", "timeout", "rejected"]
Fault: TypeAlias = Literal[CommandFault, "lost"]
OutcomeKind: TypeAlias = Literal["produced", "failed", "timeout", "rejected", "cancelled", "lost"]
METRICS = "metrics.json"
"""The file of an output that is its metrics, if it is a JSON object."""


class Outcome(Record, frozen=True, kw_only=True):
    """`outcome.json`: the decision, created once (P1). `by` is the writer's nonce."""

    kind: OutcomeKind
    attempt: int | None = None
    by: str
    cause: str = ""
    manifest: str | None = None
    """SHA-256 of `manifest.json`, of a produced run."""
    files: int = 0
    size: int = 0
    rows: int | None = None
    metrics: dict[str, object] | None = None
    at: str = ""


class Launch(Record, frozen=True, kw_only=True, tag="launch", tag_field="form"):
    """`attempts/N/launch.json`: attempt N was launched, with what is left of its budgets after the verdict on N-1."""

    nonce: str
    machine: str
    after: Fault | None = None
    cause: str = ""
    failures_left: int
    losses_left: int
    growths_left: int = 0
    """How often a larger machine can still be taken: it says which one this attempt has."""
    spots_left: int = 0
    """How many machines may still be taken away before one is asked for that is not: at 0 this one is not."""
    at: str = ""

    @property
    def number(self) -> int:
        """Which attempt this is: its machine is named for it."""
        return int(self.machine.rsplit("-", 2)[1])


class Closed(Record, frozen=True, kw_only=True, tag="closed", tag_field="form"):
    """`attempts/N/launch.json`: there will be no attempt N; the run's outcome is this one."""

    outcome: Outcome


Slot: TypeAlias = Launch | Closed


class Claimed(Record, frozen=True, kw_only=True, tag="claim", tag_field="form"):
    """`attempts/N/claim.json`: one agent began. `boot` identifies this start of the container or process."""

    nonce: str
    boot: str
    host: str = ""
    at: str = ""


class Void(Record, frozen=True, kw_only=True, tag="void", tag_field="form"):
    """`attempts/N/claim.json`: the attempt was given up before any agent began, and none may any more."""

    nonce: str
    cause: str = ""
    at: str = ""


Claim: TypeAlias = Claimed | Void


class Beat(Record, frozen=True, kw_only=True):
    """`attempts/N/beat.json`: the agent lives. The only record that is overwritten; life is a larger `seq`."""

    nonce: str
    seq: int
    stage: str = ""
    log: int = 0
    """Number of log chunks written."""
    at: str = ""


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one of several commands of an attempt ended: exit code or signal, and seconds."""

    code: int | None = None
    signal: int | None = None
    seconds: float


class Exit(Record, frozen=True, kw_only=True):
    """`attempts/N/exit.json`: how the command ended, written once it and every child of it are dead."""

    nonce: str
    fault: CommandFault | None = None
    final: bool = False
    """A fault that no retry can mend: a withdrawn input, say."""
    cause: str = ""
    code: int | None = None
    signal: int | None = None
    oom: bool = False
    wall: float = 0.0
    """Seconds, like every time here."""
    cpu: float = 0.0
    memory: int = 0
    """Peak resident memory of the largest process, bytes."""
    steps: tuple[Step, ...] = ()
    """Of an action with several commands: those that were begun, in turn."""
    stages: dict[str, float] = field(default_factory=dict)
    log: int = 0
    """Number of log chunks, final."""
    notes: tuple[str, ...] = ()
    """What a person should know of the attempt, though it is no fault: a sentence each."""
    at: str = ""

    @property
    def reason(self) -> Reason:
        """What a larger machine may mend."""
        return "out of memory" if self.oom and self.fault == "failed" else ""


Reason: TypeAlias = Literal[
    "", "out of memory", "preempted", "image", "capacity", "quota", "permission", "settings", "timeout"
]
"""What a host or a platform knows of the end of a machine, in one word; "" where it is none of these."""


class Host(Record, frozen=True, kw_only=True):
    """`attempts/N/host.json`: the second witness. The agent of this `boot` ended without a word of its own."""

    boot: str
    cause: str = ""
    reason: Reason = ""
    final: bool = False
    """A fault that no further machine can mend: a missing permission, an image that is not there."""
    at: str = ""


class File(Struct, frozen=True, kw_only=True):
    """One file of a manifest: its path in the output directory, its object, SHA-256 in hex, bytes."""

    path: str
    key: str
    sha256: str
    size: int


class Manifest(Record, frozen=True, kw_only=True):
    """`attempts/N/manifest.json`: exactly what the attempt produced. `delivery` are the checked rows, as Parquet."""

    files: tuple[File, ...]
    delivery: tuple[File, ...] = ()
    directories: tuple[str, ...] = ()
    """Empty directories, which object stores cannot hold."""

    def addresses(self, store: str) -> tuple[str, ...]:
        """Where the checked rows are, for who reads them from the store at this URL."""
        return tuple(f"{store}/{file.key}" for file in self.delivery)


Verdict: TypeAlias = Literal["delivered", "superseded", "rejected", "withdrawn"]


class Receipt(Record, frozen=True, kw_only=True):
    """
    `delivery.json`: a copy of the run's row in the warehouse's ledger. `withdrawal.json`: the same, once the ledger
    knows that the run is withdrawn.

    `cause` explains "superseded" (by which run), "rejected" (why, and what to do) and "withdrawn" (what became of the
    rows). `at` is the warehouse's time.
    """

    uid: str
    state: Verdict
    table: str
    scope: str
    owner: str
    run: str
    attempt: int
    rows: int
    cause: str = ""
    at: str = ""


class Withdrawn(Record, frozen=True, kw_only=True):
    """`withdrawn.json`: a person's word that this run must not be used again, as a model or in a table."""

    nonce: str
    by: str = ""
    reason: str = ""
    at: str = ""
    table: bool = False
    """Whether its table follows of itself. The word of a Foretell 0.1.0 was about the model: its rows stay."""


class FirstSight(Record, frozen=True, kw_only=True):
    """
    `seen.json`, in an action's folder: when `tick` first saw its schedule.

    What was due until `since` is not started; "" where `tick` had started runs of the action before it wrote this.
    """

    nonce: str
    since: str = ""
    at: str


class Told(Record, frozen=True, kw_only=True):
    """`told/tick.json`: somebody has seen how the run ended, so that `tick` need not tell it. `by` says who."""

    nonce: str
    by: str = ""
    at: str = ""


R = TypeVar("R")

SINCE_2: Mapping[type[Struct], frozenset[str]] = {
    Action: frozenset({"commands"}),
    Delivery: frozenset({"null", "extra"}),
    Request: frozenset({"env_file"}),
    Source: frozenset({"groups", "environment"}),
}
"""
What a request may ask for since format 2, and what an older agent would ignore: fields by their struct.

A field at its default is left out, so that a request which asks for none of them stays what it was, byte for byte.
"""
ONLY_HERE: Mapping[type[Struct], frozenset[str]] = {
    Action: frozenset({"overlap"}),
    Request: frozenset({"left_out"}),
    Source: frozenset({"link"}),
}
"""Newer fields that an older agent does no harm to ignore: left out at their default, and of any format."""


def encode(record: Record) -> bytes:
    """Return the bytes of a record; the same record always has the same bytes."""
    fields = {"format": 0} | msgspec.to_builtins(record)
    fields["format"] = FORMAT if _leave_defaults_out(record, fields) else record.format
    return msgspec.json.format(msgspec.json.encode(fields), indent=1) + b"\n"


def plain(value: Struct) -> dict[str, object]:
    """Return the fields of a struct as a record has them: newer ones only where something is asked by them."""
    fields: dict[str, object] = msgspec.to_builtins(value)
    _leave_defaults_out(value, fields)
    return fields


def asked_since_2(*asked: Struct) -> list[str]:
    """Return the names of fields, sorted, by which these ask for what an agent of format 1 would ignore."""
    return sorted({name for one in asked for name in _leave_defaults_out(one, msgspec.to_builtins(one))})


def _leave_defaults_out(value: Struct, fields: dict[str, object]) -> set[str]:
    """Remove newer fields that are at their default; return the names of those of format 2 that are not."""
    found: set[str] = set()
    since_2, only_here = (table.get(type(value), frozenset[str]()) for table in (SINCE_2, ONLY_HERE))
    for name in since_2 | only_here:
        if getattr(value, name) == defaults(type(value))[name]:
            fields.pop(name, None)
        elif name in since_2:
            found.add(name)
    for name in value.__struct_fields__:
        inner, below = getattr(value, name), fields.get(name)
        if isinstance(inner, Struct) and isinstance(below, dict):
            found |= _leave_defaults_out(inner, below)
    return found


def decode(data: bytes, kind: type[R], key: str) -> R:
    """Read a record; CorruptError where it is cut, empty or written by a newer Foretell, never "absent"."""
    try:
        record = msgspec.json.decode(data, type=kind, dec_hook=decoded)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptError(
            f'the record "{key}" cannot be read',
            why=str(error) if data else "it is empty, as after a power cut",
            hint="restore the object from a backup, or remove the run's folder if the run is not needed",
        ) from error
    if isinstance(record, Record) and record.format > FORMAT:
        raise CorruptError(
            f'the record "{key}" was written by a newer Foretell',
            why=f"its format is {record.format}, this Foretell reads up to {FORMAT}",
            hint="upgrade Foretell here",
        )
    return record
