"""
What stands in the store of a service: the runs that are open, and the ends that nobody was told of.

It goes through the newest months of every action, newest run first, and stops where enough runs in a row are settled:
ended, and told or too old to be. So it costs the same however long the history is. With a memory of what was settled
the next survey reads on from there, until every run of these months is known.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec
from msgspec import Struct, field

from foretell.controller.controller import Controller
from foretell.controller.resolve import asker, now
from foretell.errors import CorruptError
from foretell.protocol import keys, models, steps
from foretell.protocol.effects import get
from foretell.protocol.keys import Run
from foretell.protocol.records import Outcome, Receipt, Request, Told
from foretell.protocol.rules import State
from foretell.service import schedule

MONTHS = 3
ENOUGH = 10
"""Settled runs in a row, newly found, after which no older ones of a month are read."""
LOOKED_AT = 100
"""Requests that are read to find out whether `tick` has ever started a run of an action."""
THOROUGH = 100
"""The same where it matters more, and happens less often."""


class Memory(Struct, kw_only=True):
    """What is known to be settled, which it then is for ever: run ids by version, action and month."""

    settled: dict[str, list[str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """What the last tick said of things that last, so that the next one need not repeat it."""
    old: list[str] = field(default_factory=list)
    """Models of which it was said that they are old."""


def recall(path: Path) -> Memory:
    """Read a memory; an empty one where there is none, for it only saves reads."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Memory)
    except (OSError, msgspec.DecodeError):
        return Memory()


def remember(memory: Memory, path: Path) -> None:
    """Write a memory down, as a whole or not at all."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(msgspec.json.encode(memory))
        aside.replace(path)


class Standing(Struct, frozen=True, kw_only=True):
    """A run, and where it stands."""

    run: Run
    state: State
    trial: bool


class Survey(Struct, kw_only=True):
    """What was found. `ended` are the runs whose end nobody was told of; `problems` say what cannot be read."""

    open: list[Standing] = field(default_factory=list)
    ended: list[Standing] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def holding(self, action: str) -> Standing | None:
        """Return an open run of an action; none of its trials, which deliver nothing and are never a model."""
        return next((one for one in self.open if one.run.action == action and not one.trial), None)


def survey(
    controller: Controller,
    memory: Memory,
    *,
    horizon: datetime,
    versions: Collection[str] = (),
    action: str | None = None,
    enough: int = ENOUGH,
) -> Survey:
    """
    Look at the newest runs of one action or of all, in the service's version and in others.

    What ended before `horizon` need not be told; `enough` settled runs in a row, newly found, end the look at a month.
    """
    found = Survey()
    if not controller.exists():
        return found
    looked: dict[str, list[str]] = {}
    for folder, runs in _newest(controller, versions, action):
        known = set(memory.settled.get(folder, ()))
        known |= set(_settled(controller, runs, known, horizon, enough, found))
        looked[folder] = [run.id for run in runs if run.id in known]
    memory.settled = looked if action is None else memory.settled | looked
    return found


def _newest(
    controller: Controller, versions: Collection[str], action: str | None
) -> Iterator[tuple[str, list[Run]]]:
    """List the runs of the newest months of every action, by VERSION/ACTION/MONTH."""
    service = controller.service
    always = datetime.max.replace(tzinfo=UTC)
    for version in dict.fromkeys((service.version, *versions)):
        actions = [action] if action else controller.execute(models.actions_of(service.name, version))
        for name in actions:
            months = controller.execute(models.months(service.name, version, name, always))
            for month in months[:MONTHS]:
                runs = controller.execute(models.runs_of(service.name, version, name, month))
                yield f"{version}/{name}/{month}", runs


def _settled(
    controller: Controller,
    runs: list[Run],
    known: Collection[str],
    horizon: datetime,
    enough: int,
    found: Survey,
) -> Iterator[str]:
    """Read the runs of a month, newest first, that are not known; yield which are settled, note the others."""
    in_a_row = 0
    for run in runs:
        if run.id in known:
            continue
        try:
            settled = _note(controller, run, horizon, found)
        except CorruptError as error:
            found.problems.append(f"{run.label} cannot be read: {error.summary}")
            continue
        in_a_row = in_a_row + 1 if settled else 0
        if settled:
            yield run.id
        if in_a_row == enough:
            return


def _note(controller: Controller, run: Run, horizon: datetime, found: Survey) -> bool:
    """Note a run that is open, or whose end is to be told; True where it is neither."""
    if _was_told(controller, run):
        return True
    outcome = controller.execute(get(run.outcome, Outcome))
    request = controller.execute(get(run.request, Request))
    if request is None:
        return False  # a person put something there, or a start is about to
    over = outcome is not None and not _undelivered(controller, request, outcome)
    if over and outcome and outcome.at and datetime.fromisoformat(outcome.at) < horizon:
        return True
    standing = Standing(run=run, state=controller.check(run), trial=request.trial)
    (found.ended if standing.state.phase.ended else found.open).append(standing)
    return False


def _was_told(controller: Controller, run: Run) -> bool:
    try:
        return controller.execute(get(run.told, Told)) is not None
    except CorruptError:
        return True  # whoever began to write it had told


def _undelivered(controller: Controller, request: Request, outcome: Outcome) -> bool:
    if outcome.kind != "produced" or not request.delivers:
        return False
    return controller.execute(get(request.run.delivery, Receipt)) is None


def acknowledge(controller: Controller, run: Run, verb: str) -> None:
    """Record that a verb showed somebody how a run ended, so that `tick` does not tell it again."""
    told = Told(nonce=keys.nonce(), by=f"{verb}, {asker()}", at=now())
    controller.execute(steps.acknowledge(run, told))


def ended_since(controller: Controller, found: Survey) -> list[Standing]:
    """Look again at the runs that were open; return those that have ended."""
    now = [Standing(run=one.run, state=controller.check(one.run), trial=one.trial) for one in found.open]
    return [one for one in now if one.state.phase.ended]


def has_ticked(controller: Controller, action: str) -> bool:
    """Whether `tick` has started a run of an action before, in any version."""
    service = controller.service.name
    for version in controller.execute(models.versions(service)):
        runs = controller.execute(models.newest(service, version, action, None))
        # Who starts by hand seldom gives a date, and then it has seconds: the names alone leave few to be read.
        ticks = (run for run in runs if not run.date.second and not run.date.microsecond)
        if any(_is_of_tick(controller, run) for run in islice(ticks, LOOKED_AT)):
            return True
    return False


def _is_of_tick(controller: Controller, run: Run) -> bool:
    try:
        request = controller.execute(get(run.request, Request))
    except CorruptError:
        return False
    if request is None:
        return False
    key, line = keys.original(request.key), request.spec.schedule
    if key.startswith(f"{run.action} after "):
        return True
    on_time = line is not None and schedule.previous(line, request.timezone, run.date) == run.date
    return on_time and key == keys.key(run.action, run.date)
