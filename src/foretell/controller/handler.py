"""What a talk wishes for, carried out where store, platform and warehouse can be reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from foretell.controller.resolve import now
from foretell.errors import RefusedError, StoreError, StoreRefusedError
from foretell.platforms.base import Platform
from foretell.protocol.effects import Begin, Effect, End, Probe, Revoke, Ship, Sleep
from foretell.protocol.records import Host, Launch, Reason, Request, encode
from foretell.protocol.rules import MachineState
from foretell.service.kinds import PlatformSettings
from foretell.store import Store
from foretell.store.handler import StoreHandler
from foretell.warehouses import settle

REST = 2.0
"""Seconds between two moments at which whoever rests may do something else."""


class Handler(StoreHandler):
    """
    Carries out one talk. `platform` connects to one, `waits` is told of a delivery that waits.

    With a `deadline`, by the monotonic clock, a store that does not answer until then ends the talk. `on_rest` is
    called every few seconds between two looks that are far apart.
    """

    def __init__(
        self,
        store: Store,
        platform: Callable[[PlatformSettings], Platform],
        waits: Callable[[str], None],
        deadline: float | None,
        on_rest: Callable[[], None] | None,
    ) -> None:
        super().__init__(store)
        self._platform = platform
        self._waits = waits
        self._deadline = deadline
        self._on_rest = on_rest

    def perform(self, op: Effect) -> object:
        match op:
            case Sleep(seconds, error):
                self._sleep(seconds, error)
            case Ship() | Revoke():
                return settle.settle(self.store, op, self._waits)
            case Probe(request, launch):
                return self._probe(request, launch)
            case Begin(request, launch):
                self._begin(request, launch)
            case End(request, launch):
                self._platform(request.target.platform).stop(launch)
            case _:
                return super().perform(op)
        return None

    def _probe(self, request: Request, launch: Launch) -> tuple[MachineState, str]:
        """Ask the platform; what it saw die without a word is put on record, for whoever cannot ask it."""
        fate = self._platform(request.target.platform).probe(launch)
        if fate.host:
            self._testify(request, launch, fate.host)
        return fate.life, fate.cause

    def _begin(self, request: Request, launch: Launch) -> None:
        """Have the platform launch; that it never will is put on record, as the word of a host without a start."""
        try:
            self._platform(request.target.platform).launch(request, launch, store=self.store.url)
        except RefusedError as error:
            reason = cast("Reason", error.reason)
            word = Host(boot="", cause=error.summary, reason=reason, final=error.final, at=now())
            self._testify(request, launch, word)
            raise

    def _testify(self, request: Request, launch: Launch, host: Host) -> None:
        with suppress(StoreError):  # who told it goes on without
            self.store.create(request.run.attempt(launch.number).host, encode(host))

    def _sleep(self, seconds: float, error: Exception | None) -> None:
        impatient = self._deadline is not None and time.monotonic() + seconds > self._deadline
        if error and (isinstance(error, StoreRefusedError) or impatient):
            raise error
        end = time.monotonic() + seconds
        while self._on_rest and end - time.monotonic() > REST:
            time.sleep(REST)
            self._on_rest()
        time.sleep(max(0.0, end - time.monotonic()))
