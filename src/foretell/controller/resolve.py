"""What a start asks for, and the request that it becomes: everything resolved, so that nobody needs more to go on."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct, field

from foretell.controller.freeze import Frozen
from foretell.errors import NoModelError, UsageError
from foretell.protocol import keys, models, scope
from foretell.protocol.keys import Run, run_of
from foretell.protocol.records import Interval, Pin, Request
from foretell.protocol.steps import Place
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


def place(service: Service, action: str, asked: StartOptions, *, new: str) -> Place:
    """Return where the run that is asked for is to stand; `new` is the key of one without a key or date."""
    must_not_lie_ahead(asked)
    if asked.key and not asked.date:
        raise UsageError(
            "a key needs a date",
            why="it says which run of a date is meant, and without one the date is now, another each time",
            hint="give both: --key NAME --date DATE",
        )
    date = times.exact(asked.date or datetime.now(UTC))
    key = asked.key or (keys.key(action, date) if asked.date else new)
    return Place(
        Run(service.name, service.version, action, date, 1), f"{key} (trial)" if asked.trial else key
    )


def resolve(
    where: Place,
    service: Service,
    target: Target,
    asked: StartOptions,
    *,
    store: str,
    pins: Callable[[], tuple[Pin, ...]],
    code: Callable[[], Frozen],
) -> Request:
    """
    Return the request of a run, with everything resolved; it may take a while.

    `store` is the store's id. While Git is asked for the revision, `pins` looks up the inputs and `code` freezes.
    """
    run, spec = where.run, service.actions[where.run.action]
    if service.env_file:
        env_file.read(Path(service.env_file), os.environ)  # what the attempt would fail of is told before it
    with ask_revision(service.root, service.not_code) or nullcontext() as git:
        inputs = pins()
        frozen = code()
        revision = read_revision(git)
    request = Request(
        key=where.key,
        uid=keys.nonce(),
        service=run.service,
        version=run.version,
        action=run.action,
        date=times.rfc3339(run.date),
        n=run.n,
        store=store,
        interval=asked.interval or _interval(service, spec, run.date),
        inputs=inputs,
        spec=spec,
        target=Target(
            name=target.name,
            store=target.store,
            platform=target.platform_of(spec.name),
            warehouse=target.warehouse,
            times=target.times,
        ),
        source=service.source,
        env={**service.env, **spec.env},
        env_file=service.env_file,
        timezone=service.timezone,
        partition=_partition(service, spec, run.date),
        fingerprint=frozen.fingerprint,
        revision=revision if frozen.revision is None else frozen.revision,
        snapshot=str(frozen.snapshot) if frozen.snapshot else None,
        image=frozen.image,
        left_out=secrets(frozen.left_out),
        trial=asked.trial,
        is_model=any(spec.name == item.action for other in service.actions.values() for item in other.inputs),
        asked_at=now(),
        asked_by=asker(),
    )
    frozen.must_heed(request)
    return request


def pin(model: models.Model, path: str) -> Pin:
    """Return a model as the input of a run."""
    if model.outcome.manifest is None:
        raise AssertionError(model)
    return Pin(action=model.run.action, run=model.run.folder, digest=model.outcome.manifest, path=path)


def no_model(run: Run, action: str, answer: models.Answer, again: str) -> NoModelError:
    """Return the error that says why a run lacks an input; `again` are options of the command that makes one."""
    newest = answer.passed[0] if answer.passed else None
    return NoModelError(
        f'"{run.action}" needs a model of "{action}", and there is none as of {times.rfc3339(run.date)}',
        why=f'the newest run, "{newest.run.label}", is none: {newest.reason}'
        if newest
        else f'"{action}" has never run for a date so early, in version {run.version}',
        hint=f"run `foretell run {action} {again}` first",
    )


def _interval(service: Service, spec: Action, date: datetime) -> Interval | None:
    if spec.schedule is None:
        return None
    start, end = schedule.interval(spec.schedule, service.timezone, date)
    return Interval(start=times.rfc3339(start), end=times.rfc3339(end))


def _partition(service: Service, spec: Action, date: datetime) -> str | None:
    delivery = spec.delivery
    if delivery is None or delivery.mode != "partition":
        return None
    return scope.partition(delivery.granularity, date, service.timezone)


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
