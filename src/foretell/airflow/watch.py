"""One run watched in an event loop: the reads of `Reconciler.look` without blocking, and the log as it grows."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import msgspec

from foretell import platforms, warehouses  # noqa: F401 - they know the kinds that a request names
from foretell.airflow.compat import Report
from foretell.airflow.tail import Tail
from foretell.controller.resolve import now
from foretell.errors import CorruptError, ForetellError, RefusedError, StoreError, UsageError
from foretell.platforms.base import Platform
from foretell.protocol import effects, keys, steps
from foretell.protocol.effects import Effect, Effects, End, Get, Probe, Sleep
from foretell.protocol.keys import Run
from foretell.protocol.reconciler import Reconciler
from foretell.protocol.records import Launch, Outcome, Request
from foretell.protocol.rules import MachineState, Step, Wait
from foretell.store import Store
from foretell.store.handler import StoreHandler

T = TypeVar("T")

FRESH = 1.0
"""Seconds between two looks at a run on this machine that has just begun; the pause grows with its age."""
JITTER = 0.2
"""Part of a pause by which it varies, so that a thousand watches do not look at the same moment."""


class Watch:
    """A witness of one run. `say` gets lines for the task's log; `poll` is the longest pause, in seconds."""

    def __init__(self, store: Store, run: Run, poll: float, say: Callable[[str], None]) -> None:
        self._store = store
        self._run = run
        self._poll = poll
        self._say = say
        self._tail = Tail(store, run, say)
        self._platform: Platform | None = None
        self._troubled = False

    async def until_due(self) -> Report:
        """Look until something is to be done; give what, as values of JSON."""
        began = time.monotonic()
        witness = await self._witness()
        while True:
            await asyncio.sleep(self._pause(time.monotonic() - began))
            step = await self._look(witness)
            if step is not None and not isinstance(step, Wait):
                await self._tail.drain(witness.records)
                return {
                    "run": self._run.folder,
                    "attempt": witness.records.attempt,
                    "ended": witness.state.phase.ended,
                    "step": msgspec.to_builtins(step),
                }

    async def cancel(self, cause: str) -> Outcome:
        """Decide that the run is cancelled unless it is decided, and end its machines."""
        request = (await self._witness()).request
        return await execute(steps.cancel(request, keys.nonce(), now(), cause), self._perform)

    async def _witness(self) -> Reconciler:
        request = await execute(effects.get(self._run.request, Request), self._perform)
        if request is None:
            raise CorruptError(f'the run "{self._run.label}" is not there any more', where=self._store.url)
        try:
            self._platform = await asyncio.to_thread(platforms.connect, request.target.platform)
        except ForetellError:
            self._platform = None  # nobody can tell from here; the agent's own signs of life are left
        return Reconciler(
            request,
            clock=time.monotonic,
            mint=keys.nonce,
            now=now,
            certain=self._platform is not None and self._platform.certain,
        )

    async def _look(self, witness: Reconciler) -> Step | None:
        """Look once; None when the store did not answer, which proves nothing."""
        try:
            step = await execute(witness.look(), self._perform)
            await self._tail.follow(witness.records)
        except StoreError as error:
            if not self._troubled:
                self._say(f"the store does not answer, so this waits: {error.why}")
            self._troubled = True
            return None
        if self._troubled:
            self._say("the store answers again")
        self._troubled = False
        return step

    def _pause(self, age: float) -> float:
        certain = self._platform is not None and self._platform.certain
        pause = min(self._poll, max(FRESH, age / 20)) if certain else self._poll
        if age < FRESH:
            pause = FRESH / 2
        return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret

    async def _perform(self, op: Effect) -> object:
        """Carry out one wish; whatever blocks does so in a thread."""
        match op:
            case Get(key):
                return await self._store.get_async(key)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Probe(_, launch):
                return await asyncio.to_thread(self._probe, launch)
            case End(_, launch):
                await asyncio.to_thread(self._stop, launch)
            case _:
                return await asyncio.to_thread(StoreHandler(self._store).perform, op)
        return None

    def _probe(self, launch: Launch) -> tuple[MachineState, str]:
        fate = self._asked(lambda platform: platform.probe(launch))
        return fate.life, fate.cause

    def _stop(self, launch: Launch) -> None:
        self._asked(lambda platform: platform.stop(launch))

    def _asked(self, ask: Callable[[Platform], T]) -> T:
        """Ask the platform; where its libraries are not installed, nobody can, and that proves nothing (P7)."""
        if self._platform is None:
            raise RefusedError("the platform cannot be asked from here")
        try:
            return ask(self._platform)
        except UsageError as error:
            raise RefusedError(error.what, why=error.why, hint=error.hint) from error


async def execute(talk: Effects[T], perform: Callable[[Effect], Awaitable[object]]) -> T:
    """Carry a talk out in an event loop: `effects.execute` with waiting instead of blocking."""
    answer: object = None
    error: ForetellError | None = None
    while True:
        try:
            op = talk.throw(error) if error else talk.send(answer)
        except StopIteration as end:
            return cast("T", end.value)
        answer, error = None, None
        try:
            answer = await perform(op)
        except ForetellError as failure:
            error = failure
