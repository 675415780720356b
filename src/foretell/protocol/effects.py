"""
What a talk may wish for, how its wishes are carried out, and the reads and writes that are certain.

A *talk* is a generator that yields what it wants done (`Get`, `Create`, `Probe`, ...) and is sent the answer, or
thrown the error. So one text serves the synchronous controller and agent (`execute`), an event loop, and the
simulation that runs it through ten thousand histories with faults.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar, cast

from foretell.errors import ForetellError, PlatformError, RefusedError, StoreError
from foretell.protocol.records import Launch, Outcome, Record, Request, Slot, decode, encode
from foretell.system.backoff import Backoff


class Get(NamedTuple):
    """Answered by the object's bytes, or None when it is certainly absent."""

    key: str


class Folders(NamedTuple):
    """Answered by the names directly below a prefix. Never asked on the path of a run."""

    prefix: str


class Create(NamedTuple):
    """Answered by True when written, False when something was there."""

    key: str
    data: bytes


class Put(NamedTuple):
    """Written over what is there, once, without retry."""

    key: str
    data: bytes


class Sleep(NamedTuple):
    """Answered after so many seconds. `error` is what made a retry necessary, if anything did."""

    seconds: float
    error: ForetellError | None = None


class Probe(NamedTuple):
    """Answered by (life, cause)."""

    request: Request
    launch: Launch


class Begin(NamedTuple):
    """Have the platform launch a recorded launch."""

    request: Request
    launch: Launch


class End(NamedTuple):
    """Have the platform stop a recorded launch."""

    request: Request
    launch: Launch


class Ship(NamedTuple):
    """Have the warehouse deliver; answered by the ledger row."""

    request: Request
    outcome: Outcome


class Revoke(NamedTuple):
    """Have the warehouse take a withdrawn run out of what counts; answered by the ledger row."""

    request: Request
    outcome: Outcome


Effect: TypeAlias = Get | Folders | Create | Put | Sleep | Probe | Begin | End | Ship | Revoke
BACKOFF = Backoff(first=0.5, longest=15)
"""Between two tries of what store or platform do not answer."""
SLOT = cast("type[Slot]", Slot)
T = TypeVar("T")
R = TypeVar("R")
Effects: TypeAlias = Generator[Effect, Any, T]


class EffectHandler(Protocol):
    """What carries out a talk's wishes."""

    def perform(self, op: Effect) -> object:
        """Do it and give the answer; raise the ForetellError that says why not."""
        ...


def execute(talk: Effects[T], world: EffectHandler) -> T:
    """Carry a talk out, step by step, in this thread."""
    answer: object = None
    error: ForetellError | None = None
    while True:
        try:
            op = talk.throw(error) if error else talk.send(answer)
        except StopIteration as end:
            return cast("T", end.value)
        answer, error = None, None
        try:
            answer = world.perform(op)
        except ForetellError as failure:
            error = failure


# --- certain reads and writes -------------------------------------------------------------------------------------


def ask(key: str, kind: type[R]) -> Effects[R | None]:
    """Read a record once; StoreError proves nothing."""
    data = yield Get(key)
    return None if data is None else decode(data, kind, key)


def get(key: str, kind: type[R]) -> Effects[R | None]:
    """Read a record, asking until the answer is known."""
    data = yield from certainly(Get(key))
    return None if data is None else decode(data, kind, key)


def create(key: str, record: Record) -> Effects[bool]:
    """Write a create-only record; True when the object there is ours, by whatever way it got there (P10)."""
    data = encode(record)
    pauses = BACKOFF.pauses()
    while True:
        try:
            if (yield Create(key, data)):
                return True
        except StoreError as error:
            yield Sleep(next(pauses), error)
            continue
        there: bytes | None = yield from certainly(Get(key))
        if there is not None:
            return there == data
        yield Sleep(next(pauses))  # "exists" and then absent: a cache of a network file system; ask again


def certainly(op: Get | Folders) -> Effects[Any]:
    """Ask the store until it answers."""
    pauses = BACKOFF.pauses()
    while True:
        try:
            return (yield op)
        except StoreError as error:
            yield Sleep(next(pauses), error)


def call(op: Begin | End, tries: int = 6) -> Effects[PlatformError | None]:
    """Ask the platform, a few times; a refused launch comes through, any other trouble is given as what it is."""
    pauses = BACKOFF.pauses()
    trouble = None
    for _ in range(tries):
        try:
            yield op
        except RefusedError:
            if isinstance(op, Begin):
                raise
            return None  # what may not be stopped changes no verdict: it ends by itself, or at its deadline
        except PlatformError as error:
            trouble = error
            yield Sleep(next(pauses), error)
        else:
            return None
    return trouble
