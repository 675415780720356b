"""What a start asks for, and the request that it becomes: everything resolved, so that nobody needs more to go on."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from foretell.controller.freeze import Frozen, freeze
from foretell.errors import NoModelError, UsageError
from foretell.protocol import keys, models, scope
from foretell.protocol.effects import Effects
from foretell.protocol.keys import Run, run_of
from foretell.protocol.records import Interval, Pin, Request
from foretell.service import env_file, schedule
from foretell.service.model import Action, Service, Target
from foretell.sources.left_out import secrets
from foretell.sources.revision import ask_revision, read_revision
from foretell.system import times

AHEAD = timedelta(minutes=5)
"""By how much a date may be later than this machine's clock, which may be wrong."""


class StartOptions(Struct, frozen=True, kw_only=True):
    """
    What a start asks for.

    `date` is the end of the data the run may see, aware; now by default. `key` is new by default, and ACTION@DATE
    with a date.
    """

    date: datetime | None = None
    key: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Explicit inputs, action to run, instead of the current models."""
    trial: bool = False
    image: str | None = None
    """The image to run, by digest, instead of the one that is locked or built."""
    code: Frozen | None = None
    """The code, where it was frozen before."""
    again: bool = True
    """Whether a run of the key that ended without success is followed by a new one."""
    future: bool = False
    """Whether the date may lie ahead: a scheduler's may, and a person's who says so."""
    interval: Interval | None = None
    """The data the run is about, where whoever asks knows it better than the action's schedule."""
    tell: Callable[[str], None] = lambda _: None
    """Gets what a person should know while the code is frozen."""


class Order:
    """One start's way to a request. `execute` carries out talks, `store` is the store's id."""

    def __init__(
        self,
        service: Service,
        target: Target,
        spec: Action,
        asked: StartOptions,
        *,
        inputs: Mapping[str, models.Model],
        store: str,
        execute: Callable[[Effects[Any]], Any],
    ) -> None:
        self._service = service
        self._target = target
        self._spec = spec
        self._asked = asked
        self._inputs = inputs
        self._store = store
        self._execute = execute

    def request(self, run: Run, key: str) -> Request:
        """Resolve everything for a place and key; UsageError where an input has no model."""
        service, spec = self._service, self._spec
        if service.env_file:
            env_file.read(
                Path(service.env_file), os.environ
            )  # what the attempt would fail of is told before it
        with ask_revision(service.root, service.not_code) or nullcontext() as git:
            pins = tuple(self._pin(run, item.action, item.path) for item in spec.inputs)
            code = self._asked.code or self._freeze()
            revision = read_revision(git)
        request = Request(
            key=key,
            uid=keys.nonce(),
            service=run.service,
            version=run.version,
            action=run.action,
            date=times.rfc3339(run.date),
            n=run.n,
            store=self._store,
            interval=self._interval(run.date),
            inputs=pins,
            spec=spec,
            target=self._resolved_target(),
            source=service.source,
            env={**service.env, **spec.env},
            env_file=service.env_file,
            timezone=service.timezone,
            partition=self._partition(run.date),
            fingerprint=code.fingerprint,
            revision=revision if code.revision is None else code.revision,
            snapshot=str(code.snapshot) if code.snapshot else None,
            image=code.image,
            left_out=secrets(code.left_out),
            trial=self._asked.trial,
            is_model=any(
                spec.name == item.action for other in service.actions.values() for item in other.inputs
            ),
            asked_at=now(),
            asked_by=asker(),
        )
        code.must_heed(request)
        return request

    def _pin(self, run: Run, action: str, path: str) -> Pin:
        model = self._inputs.get(action) or self._current(run, action)
        if model.outcome.manifest is None:
            raise AssertionError(model)
        return Pin(action=action, run=model.run.folder, digest=model.outcome.manifest, path=path)

    def _current(self, run: Run, action: str) -> models.Model:
        answer: models.Answer = self._execute(models.current(run.service, run.version, action, run.date))
        if answer.model:
            return answer.model
        newest = answer.passed[0] if answer.passed else None
        early = f" --date {times.rfc3339(run.date)}" if self._asked.date else ""
        raise NoModelError(
            f'"{run.action}" needs a model of "{action}", and there is none as of {times.rfc3339(run.date)}',
            why=f'the newest run, "{newest.run.label}", is none: {newest.reason}'
            if newest
            else f'"{action}" has never run for a date so early, in version {run.version}',
            hint=f"run `foretell run {action} --on {self._target.name}{early}` first",
        )

    def _freeze(self) -> Frozen:
        return freeze(
            self._service, self._target, self._spec.name, image=self._asked.image, tell=self._asked.tell
        )

    def _interval(self, date: datetime) -> Interval | None:
        if self._asked.interval:
            return self._asked.interval
        if self._spec.schedule is None:
            return None
        start, end = schedule.interval(self._spec.schedule, self._service.timezone, date)
        return Interval(start=times.rfc3339(start), end=times.rfc3339(end))

    def _partition(self, date: datetime) -> str | None:
        delivery = self._spec.delivery
        if delivery is None or delivery.mode != "partition":
            return None
        return scope.partition(delivery.granularity, date, self._service.timezone)

    def _resolved_target(self) -> Target:
        return Target(
            name=self._target.name,
            store=self._target.store,
            platform=self._target.platform_of(self._spec.name),
            warehouse=self._target.warehouse,
            times=self._target.times,
        )


def now() -> str:
    """The wall time, for people."""
    return times.rfc3339(datetime.now(UTC))


def asker() -> str:
    """Who is asking, for people: user@host, as far as the system knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{os.uname().nodename}"


def must_not_lie_ahead(asked: StartOptions) -> None:
    """Refuse a date that lies ahead: until that day, no other run would be newer in a table or as a model."""
    if asked.future or asked.date is None:
        return
    ahead = asked.date - datetime.now(UTC)
    if ahead > AHEAD:
        far = f"{ahead.days} days" if ahead.days > 1 else f"{ahead.total_seconds() / 3600:.1f} hours"
        raise UsageError(
            f"the date {times.rfc3339(asked.date)} lies {far} ahead",
            why="a run of it would count as newer than every other one until then: in its table, and as a model",
            hint="see whether the date is meant; `--future` allows it (in Python: future=True)",
        )


def must_agree(request: Request, inputs: Mapping[str, models.Model]) -> None:
    """Refuse to give a run that was asked for otherwise under the same key."""
    pinned: dict[str, Pin] = {pin.action: pin for pin in request.inputs}
    for action, model in inputs.items():
        pin = pinned.get(action)
        if pin is None or pin.run != model.run.folder:
            had = run_of(pin.run).label if pin else "no such input"
            raise UsageError(
                f'the run "{request.run.label}" of this key was asked for with another input',
                why=f'it has "{had}" where "{model.run.label}" is asked for now',
                hint="give this one a key of its own: --key NAME",
            )
