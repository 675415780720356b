"""The life of an agent: claim, inputs, command, output, outcome, delivery; and the pulse that shows it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias, cast

from foretell.errors import StoreError
from foretell.protocol import effects, steps
from foretell.protocol.effects import Effect, Sleep, T
from foretell.protocol.keys import Run, run_of
from foretell.protocol.records import Beat, Claimed, Exit, Outcome, Request


class Left(IntEnum):
    """How an agent left; its exit status. Any other status is a death, of which the host is the witness."""

    DONE = 0
    QUIET = 80
    """There was nothing to do here: decided, superseded before it began, or claimed by another."""
    FENCED = 81
    """Cut off from the store for too long: the command was killed, for a replacement may run (P5)."""
    SUPERSEDED = 82
    """Decided or replaced by others while the command ran."""


class Command(NamedTuple):
    """Prepare, run and check; answered by the Exit."""


class Upload(NamedTuple):
    """Save the output; answered by the Outcome it makes possible."""

    end: Exit


Task: TypeAlias = Command | Upload
Life: TypeAlias = Generator[Effect | Task, Any, T]


class Agent(NamedTuple):
    """One agent of one attempt. `nonce` is this agent's own, `boot` the start of its host's container or process."""

    request: Request
    number: int
    nonce: str
    boot: str
    host: str
    clock: Callable[[], float]
    now: Callable[[], str]

    @property
    def run(self) -> Run:
        return self.request.run


def live(agent: Agent, *, claimed: Callable[[], None]) -> Life[Left]:
    """Live from claim to delivery. `claimed` is called once the attempt is ours, to start the pulse."""
    run, number = agent.run, agent.number
    mine = Claimed(nonce=agent.nonce, boot=agent.boot, host=agent.host, at=agent.now())
    launch = yield from steps.claim(run, number, mine)
    if launch is None:
        return Left.QUIET
    claimed()
    end = (yield from _withdrawn_input(agent)) or cast("Exit", (yield Command()))
    if end.fault:
        yield from steps.fail(run, launch, end)
        return Left.DONE
    yield from effects.create(run.attempt(number).exit, end)
    outcome = cast("Outcome", (yield Upload(end)))
    if (yield from steps.produce(run, outcome)) and agent.request.delivers:
        patience = agent.request.target.times.deliver
        yield from steps.deliver(agent.request, outcome, clock=agent.clock, patience=patience)
    return Left.DONE


def _withdrawn_input(agent: Agent) -> Life[Exit | None]:
    """Refuse to apply a model that was taken back between the start and now."""
    for pin in agent.request.inputs:
        word = yield from steps.withdrawn(run_of(pin.run))
        if word:
            label = run_of(pin.run).label
            cause = f'the input "{label}" was withdrawn{f": {word.reason}" if word.reason else ""}'
            return Exit(nonce=agent.nonce, fault="failed", final=True, cause=cause, at=agent.now())
    return None


def pulse(agent: Agent, *, sign: Callable[[], tuple[str, int]], alive: Callable[[float], None]) -> Life[Left]:
    """
    Beat until somebody else has decided the run or replaced this attempt; then give SUPERSEDED.

    `sign` gives the stage and the number of log chunks. `alive` is told when a beat that arrived was SENT, which is
    what the fence counts from: so network delay never makes a fence late.
    """
    attempt = agent.run.attempt(agent.number)
    seq = 0
    while True:
        sent, seq = agent.clock(), seq + 1
        stage, log = sign()
        try:
            mine = Beat(nonce=agent.nonce, seq=seq, stage=stage, log=log, at=agent.now())
            yield from steps.beat(attempt, mine)
            alive(sent)
            if (yield from steps.decided(agent.run, agent.number, agent.nonce)):
                return Left.SUPERSEDED
        except StoreError as error:
            yield Sleep(0, error)
        yield Sleep(agent.request.target.times.beat)
