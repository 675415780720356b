"""Start, wait, check, stop: where store and platform meet, and the only such place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from foretell import platforms, warehouses
from foretell.controller.freeze import Frozen, freeze
from foretell.controller.handler import Handler
from foretell.controller.patience import GOES_ON, UNTOLD, out_of_patience
from foretell.controller.resolve import (
    StartOptions,
    asker,
    must_agree,
    must_not_lie_ahead,
    no_model,
    now,
    pin,
    place,
    resolve,
)
from foretell.errors import (
    StoreError,
    UnknownRunError,
    UsageError,
    WarehouseError,
)
from foretell.platforms.base import Platform
from foretell.protocol import effects, keys, models, steps, withdrawal
from foretell.protocol.effects import Effects, T
from foretell.protocol.keys import Run
from foretell.protocol.reconciler import Reconciler
from foretell.protocol.records import (
    Outcome,
    Pin,
    Receipt,
    Request,
    StoreId,
    Withdrawn,
    encode,
)
from foretell.protocol.rules import State
from foretell.service.kinds import PlatformSettings
from foretell.service.model import Service, Target
from foretell.store import Store
from foretell.store.directory import STORE_RECORD
from foretell.system import times
from foretell.warehouses import settle

PATIENCE_OF_A_VERB = 60.0
"""Seconds for which a verb keeps asking a store that does not answer; a waiter asks for as long as it waits."""
FAR = (0.25, 2.0)
"""The shortest and longest seconds between two looks into a bucket, whose every read costs time and a little money."""


class Taken(NamedTuple):
    """What became of a withdrawal: the word that stands, and the ledger's row of a run that delivers."""

    word: Withdrawn
    receipt: Receipt | None


class Controller:
    """The verbs of one service on one target."""

    def __init__(self, service: Service, target: Target) -> None:
        self.service = service
        self.target = target
        self.store = Store(target.store)
        self._platforms: list[tuple[PlatformSettings, Platform]] = []
        self.waits: Callable[[str], None] = lambda _: None
        """Is told once of each delivery that waits for a warehouse in use."""

    # --- start ------------------------------------------------------------------------------------------------

    def start(self, action: str, asked: StartOptions | None = None) -> Run:
        """Ask for a run and launch it; return without waiting for it. See `ask`."""
        return self.ask(action, asked or StartOptions()).run

    def ask(self, action: str, asked: StartOptions) -> steps.StartResult:
        """
        Find or make the run that is asked for, launch it if that is due, and say whether it is new.

        A key that is open or has succeeded gives its run. UsageError where the run cannot be: no such action, no
        model for an input, other parameters under a known key.
        """
        spec = self.service.action_named(action)
        wanted = place(self.service, action, asked, new=keys.nonce())
        self.platform(self.target.platform_of(action))
        if spec.delivery and not asked.trial:
            warehouses.connect(self.target.warehouse).ready(spec.delivery, self.target.store)
        store = self.identify()
        inputs = {name: self._chosen(name, label) for name, label in asked.inputs.items()}
        found = self.execute(steps.find(wanted, again=asked.again))
        if isinstance(found, steps.Place):
            request = self._resolve(found, asked, inputs, store)
            result = self.execute(steps.submit(wanted, request, again=asked.again))
        else:
            result = steps.StartResult(found, new=False)
        if not result.new:
            must_agree(result.request, inputs)
        if result.new or not self.execute(effects.get(result.run.outcome, Outcome)):
            self.execute(self.witness(result.request).round())
        return result

    def _resolve(
        self, where: steps.Place, asked: StartOptions, inputs: Mapping[str, models.Model], store: str
    ) -> Request:
        service, target, run = self.service, self.target, where.run

        def pins() -> tuple[Pin, ...]:
            early = f" --date {times.rfc3339(run.date)}" if asked.date else ""
            return tuple(
                pin(inputs.get(item.action) or self._current(run, item.action, early), item.path)
                for item in service.actions[run.action].inputs
            )

        def code() -> Frozen:
            return asked.code or freeze(service, target, run.action, image=asked.image, tell=asked.tell)

        return resolve(where, service, target, asked, store=store, pins=pins, code=code)

    def _current(self, run: Run, action: str, early: str) -> models.Model:
        """Return the model that is current for a run; `early` is the option that makes one for its date."""
        answer = self.execute(models.current(run.service, run.version, action, run.date))
        if answer.model is None:
            raise no_model(run, action, answer, f"--on {self.target.name}{early}")
        return answer.model

    def prepare(
        self, action: str, asked: StartOptions, say: Callable[[str], None] = lambda _: None
    ) -> StartOptions:
        """
        Freeze the code of a run before it is asked for, where that may take minutes: an image is built.

        `say` gets what the builder prints. See `freeze` for what it raises.
        """
        self.service.action_named(action)
        must_not_lie_ahead(asked)
        if not self.target.platform_of(action).runs_images and not asked.image:
            return asked
        frozen = freeze(self.service, self.target, action, image=asked.image, say=say, tell=asked.tell)
        return replace(asked, code=frozen)

    def identify(self) -> str:
        """Return the store's id, making it at the first start."""
        mine = StoreId(id=keys.nonce())
        there = self._store_id() if self.store.directory is None or self.exists() else None
        if there is None:
            self.store.create(STORE_RECORD, encode(mine))
            there = self._store_id()
        if there is None:
            raise StoreError(
                "the store forgets what was written", where=self.store.url, hint="run `foretell doctor`"
            )
        return there.id

    def _store_id(self) -> StoreId | None:
        return self.execute(effects.get(STORE_RECORD, StoreId))

    def exists(self) -> bool:
        """Whether anything was ever started in this store, as far as that can be told at once."""
        return self.store.is_there()

    def _chosen(self, action: str, label: str) -> models.Model:
        run = self.find(label if "/" in label else f"{action}/{label}")
        found = self.execute(models.examine(run))
        if isinstance(found, str):
            raise UsageError(
                f'the run "{run.label}" is no model',
                why=found,
                hint=f"choose one that `foretell runs {action}` shows as succeeded",
            )
        return found

    # --- wait, check, stop ------------------------------------------------------------------------------------

    def wait(
        self,
        run: Run,
        *,
        patience: float | None = None,
        on_look: Callable[[Reconciler], None] = lambda _: None,
        on_rest: Callable[[], None] | None = None,
    ) -> State:
        """
        Wait until a run has ended, doing on the way what the protocol asks of whoever waits; give how it ended.

        `on_look` is called with every look, `on_rest` every few seconds between two that are far apart.
        PatienceError when it is still open after `patience` seconds, or the warehouse does not answer.
        """
        began = time.monotonic()
        witness = self.witness(self.request(run))
        platform = self.platform(witness.request.target.platform)

        def pause(_: Reconciler) -> float:
            if not platform.certain:
                return witness.request.target.times.poll
            shortest, longest = platform.pauses if self.store.directory is not None else FAR
            return min(longest, max(shortest, (time.monotonic() - began) / 40))

        def until(seen: Reconciler) -> bool:
            on_look(seen)
            return patience is not None and time.monotonic() - began >= patience

        ended = self.execute(witness.watch(pause, until), patience=None, on_rest=on_rest)
        on_look(witness)
        if witness.receipt_due or not ended:
            raise out_of_patience(run, witness)
        self.store.sync(
            run.outcome
        )  # its writer may have been killed before it did, and now it is acted upon
        return witness.state

    def check(self, run: Run) -> State:
        """Say where a run stands, without doing anything about it."""
        witness = self.witness(self.request(run))
        self.execute(witness.look())
        return witness.state

    def stop(self, run: Run, cause: str = "") -> Outcome:
        """Cancel a run unless it is decided already, and end its machines; give the decision."""
        cause = cause or f"stopped by {asker()}"
        return self.execute(steps.cancel(self.request(run), by=keys.nonce(), at=now(), cause=cause))

    def withdraw(self, run: Run, reason: str) -> Taken:
        """
        Take a run back: it is not used again, as a model or in a table; what it produced stays on record.

        UsageError, before anything is written, where it has not ended, or where rows that it appended could not be
        removed. WarehouseError where it is withdrawn and the table could not be told: `wait` and `tidy` go on with it.
        """
        request, outcome = self.request(run), self.execute(effects.get(run.outcome, Outcome))
        if outcome is None:
            raise UsageError(
                f'the run "{run.label}" has not ended', hint=f"stop it: `foretell stop {run.label}`"
            )
        in_table = outcome.kind == "produced" and request.delivers
        if in_table and not self.execute(withdrawal.is_settled(run)):
            settle.must_be_removable(request, outcome)
        mine = Withdrawn(nonce=keys.nonce(), by=asker(), reason=reason, at=now(), table=True)
        word = self.execute(withdrawal.withdraw(run, mine)) or mine
        return Taken(word, self._revoke(request, outcome) if in_table else None)

    def _revoke(self, request: Request, outcome: Outcome) -> Receipt:
        talk = withdrawal.revoke(request, outcome, clock=time.monotonic, patience=PATIENCE_OF_A_VERB)
        label = request.run.label
        try:
            receipt = self.execute(talk)
        except (WarehouseError, StoreError) as error:
            raise WarehouseError(
                UNTOLD.format(label), why=str(error).partition("\n")[0], hint=GOES_ON.format(label)
            ) from error
        if receipt is None:
            raise WarehouseError(UNTOLD.format(label), hint=GOES_ON.format(label))
        return receipt

    # --- finding ----------------------------------------------------------------------------------------------

    def find(self, label: str) -> Run:
        """Return the run of ACTION/RUN-ID, or of a bare run id where one action alone has it; UnknownRunError else."""
        action, _, run_id = label.rpartition("/")
        actions = [action] if action else list(self.service.actions)
        try:
            runs = [keys.run_named(self.service.name, self.service.version, name, run_id) for name in actions]
        except ValueError:
            raise _unknown(label, "a run is named ACTION/RUN-ID, as in training/20261121T060000Z-1") from None
        if not self.exists():
            raise _unknown(label, f'nothing has run on "{self.target.name}" yet')
        there = [run for run in runs if self.execute(effects.get(run.request, Request))]
        if len(there) > 1:
            raise UnknownRunError(
                f'"{label}" could be {" or ".join(run.label for run in there)}', hint="name the action too"
            )
        if not there:
            raise _unknown(label, f'there is none of this name on "{self.target.name}"')
        return there[0]

    def request(self, run: Run) -> Request:
        """Return a run's request; UnknownRunError where there is none."""
        request = self.execute(effects.get(run.request, Request)) if self.exists() else None
        if request is None:
            raise _unknown(run.label, f'there is none of this name on "{self.target.name}"')
        return request

    def platform(self, settings: PlatformSettings) -> Platform:
        """Return the platform of these settings, the same one each time."""
        for known, platform in self._platforms:
            if known == settings:
                return platform
        platform = platforms.connect(settings)
        self._platforms.append((settings, platform))
        return platform

    def witness(self, request: Request) -> Reconciler:
        """Return an observer of a run, with this machine's clock and nothing seen yet."""
        return Reconciler(
            request,
            clock=time.monotonic,
            mint=keys.nonce,
            now=now,
            certain=self.platform(request.target.platform).certain,
        )

    # --- carrying out -----------------------------------------------------------------------------------------

    def execute(
        self,
        talk: Effects[T],
        patience: float | None = PATIENCE_OF_A_VERB,
        on_rest: Callable[[], None] | None = None,
    ) -> T:
        """Carry out a talk; with a patience, a store that does not answer for so long ends it."""
        deadline = None if patience is None else time.monotonic() + patience
        return effects.execute(talk, Handler(self.store, self.platform, self.waits, deadline, on_rest))


def _unknown(label: str, why: str) -> UnknownRunError:
    return UnknownRunError(f'unknown run "{label}"', why=why, hint="see `foretell runs`")


def connect(service: Service, on: str) -> Controller:
    """Return the verbs of a service on one of its targets; UsageError where there is no such target."""
    return Controller(service, service.target_named(on))
