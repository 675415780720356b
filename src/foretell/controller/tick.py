"""
The scheduler for who has no scheduler: what is due at a moment is started, once.

Idempotent: a run's key is its tick, so two calls at once, or a thousand, start it once. Missed ticks are not caught up:
of each action the newest due tick counts. It waits while another run of the action is open, and a schedule begins with
its first tick after it was first seen here.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from foretell.controller.controller import Controller
from foretell.controller.resolve import StartOptions, now
from foretell.controller.survey import THOROUGH, Memory, Standing, Survey, has_ticked, survey
from foretell.errors import CorruptError, ForetellError, NoModelError
from foretell.protocol import effects, keys, models
from foretell.protocol.effects import get
from foretell.protocol.keys import Run
from foretell.protocol.records import FirstSight, Outcome, Request
from foretell.protocol.rules import Phase, State
from foretell.service import schedule
from foretell.service.model import Action
from foretell.service.order import in_order
from foretell.system import times

NEVER = "9999-12-31T00:00:00+00:00"
UNTOLD = timedelta(days=7)
"""How long before `tick` first saw a service a run may have ended whose end it still tells."""


class Due(Struct, frozen=True, kw_only=True):
    """An action's run that should be there. `why` says what makes it due."""

    action: str
    date: datetime
    key: str
    why: str


class Ticked(Struct, frozen=True, kw_only=True):
    """
    What became of a due run: `run` where it was started now or before.

    Else `waits_for` is an open run after whose end it can be started, or `problem` says why it cannot be.
    """

    due: Due
    run: Run | None = None
    new: bool = False
    waits_for: Standing | None = None
    problem: str = ""

    def __str__(self) -> str:
        what = f"{self.due.action} of {times.rfc3339(self.due.date)}"
        if one := self.waits_for:
            return f"{what} waits for {one.run.label} ({one.state.phase})"
        if self.problem or self.run is None:
            return f"{what} cannot be started: {self.problem}"
        return f"{what} is {self.run.label}"


class Tick(Struct, frozen=True, kw_only=True):
    """What a tick found and did. `begins` are the first due ticks of schedules that were seen for the first time."""

    done: tuple[Ticked, ...]
    begins: Mapping[str, datetime]
    found: Survey

    @property
    def started(self) -> list[Run]:
        """Return the runs that this tick has started."""
        return [one.run for one in self.done if one.new and one.run]


def tick(
    controller: Controller,
    at: datetime,
    say: Callable[[Ticked], None] = lambda _: None,
    *,
    dated: bool = False,
    memory: Memory | None = None,
) -> Tick:
    """
    Start what is due at a moment; one action's problem does not keep the others from starting.

    With `dated` the moment was chosen by a person: what was due then is started, whether or not it was before the
    first sight of its schedule.
    """
    wall = datetime.now(UTC) if dated else at
    problems: list[str] = []
    sights = _sights(controller, problems)
    begins = {} if dated else _see(controller, at, sights)
    began = min((datetime.fromisoformat(sight.at) for sight in sights.values()), default=wall)
    # The runs of another version can only be of interest for a while: who changed it did so before the first sight.
    others = (
        controller.execute(models.versions(controller.service.name))
        if sights and wall < began + UNTOLD
        else []
    )
    look = partial(survey, controller, memory or Memory(), horizon=began - UNTOLD, versions=others)
    found = look()
    found.problems += problems
    since = {name: datetime.fromisoformat(sight.since) for name, sight in sights.items() if sight.since}
    done: list[Ticked] = []
    for item in due(controller, at, since={} if dated else since, found=found):
        again = partial(look, action=item.action, enough=THOROUGH)
        ticked = _started(controller, item, found, done, again)
        say(ticked)
        done.append(ticked)
    return Tick(done=tuple(done), begins=begins, found=found)


# --- since when -------------------------------------------------------------------------------------------------------


def _see(controller: Controller, at: datetime, sights: dict[str, FirstSight]) -> dict[str, datetime]:
    """Note the schedules that are seen for the first time; return when those begin that have no past with `tick`."""
    begins: dict[str, datetime] = {}
    service = controller.service
    for action in service.actions.values():
        if action.schedule is None or action.name in sights:
            continue
        controller.identify()
        moment = times.rfc3339(at)
        since = "" if has_ticked(controller, action.name) else moment
        mine = FirstSight(nonce=keys.nonce(), since=since, at=moment)
        key = keys.first_sight(service.name, service.version, action.name)
        if controller.execute(effects.create(key, mine)) and since:
            begins[action.name] = schedule.following(action.schedule, service.timezone, at)
        sights[action.name] = controller.execute(get(key, FirstSight)) or mine
    return begins


def _sights(controller: Controller, problems: list[str]) -> dict[str, FirstSight]:
    """Read since when schedules count, as far as that is on record; of one that cannot be read nothing is started."""
    service = controller.service
    found: dict[str, FirstSight] = {}
    if not controller.exists():
        return found
    for action in service.actions.values():
        key = keys.first_sight(service.name, service.version, action.name)
        try:
            sight = controller.execute(get(key, FirstSight)) if action.schedule else None
        except CorruptError as error:
            problems.append(f"the schedule of {action.name} is not kept: {error.summary}; remove that record")
            sight = FirstSight(nonce="", since=NEVER, at=now())
        if sight:
            found[action.name] = sight
    return found


# --- what is due ------------------------------------------------------------------------------------------------------


def due(
    controller: Controller,
    at: datetime,
    *,
    since: Mapping[str, datetime] = MappingProxyType({}),
    found: Survey | None = None,
) -> list[Due]:
    """List what is due, inputs before those who take them; of a schedule nothing that was due at `since` or before."""
    if found is None:
        found = survey(controller, Memory(), horizon=at)
    order = [action.name for action in in_order(controller.service)]
    actions = controller.service.actions
    listed = [item for name in order for item in _due(controller, actions[name], at, since.get(name), found)]
    scheduled = {item.action for item in listed}
    missing: dict[str, Due] = {}
    consumers = list(listed)
    for consumer in consumers:  # which grows: an input may need one itself
        for item in _first_inputs(controller, consumer, found):
            earlier = missing.get(item.action)
            # Of the earliest date, one model serves all who need it.
            if item.action not in scheduled and (earlier is None or item.date < earlier.date):
                missing[item.action] = item
                consumers.append(item)
    return sorted(missing.values(), key=lambda item: order.index(item.action)) + listed


def _due(
    controller: Controller, action: Action, at: datetime, since: datetime | None, found: Survey
) -> Iterator[Due]:
    if action.schedule:
        date = schedule.previous(action.schedule, controller.service.timezone, at)
        if since is None or date > since:
            why = f"schedule {action.schedule}"
            yield Due(action=action.name, date=date, key=keys.key(action.name, date), why=why)
    if action.after:
        try:
            models = [_current(controller, name, at) for name in action.after]
        except CorruptError as error:
            found.problems.append(f"whether {action.name} is due is not known: {error.summary}")
            return
        if all(models):
            newest = max((model.run for model in models if model), key=lambda run: run.order)
            cause = " and ".join(model.run.label for model in models if model)
            yield Due(
                action=action.name, date=newest.date, key=f"{action.name} after {cause}", why=f"after {cause}"
            )


def _first_inputs(controller: Controller, consumer: Due, found: Survey) -> Iterator[Due]:
    """An input that never succeeded is due at once, whatever its own schedule, unless it is under way."""
    for item in controller.service.actions[consumer.action].inputs:
        try:
            missing = _current(controller, item.action, consumer.date) is None
        except CorruptError:
            continue  # the start of the consumer meets the same, and tells
        if missing and not found.holding(item.action):
            key = keys.key(item.action, consumer.date)
            why = f"{consumer.action} needs its first model"
            yield Due(action=item.action, date=consumer.date, key=key, why=why)


def _current(controller: Controller, action: str, as_of: datetime) -> models.Model | None:
    if not controller.exists():
        return None
    service = controller.service
    return controller.execute(models.current(service.name, service.version, action, as_of)).model


# --- starting it ------------------------------------------------------------------------------------------------------


def _started(
    controller: Controller, item: Due, found: Survey, done: Sequence[Ticked], look: Callable[[], Survey]
) -> Ticked:
    action = controller.service.actions[item.action]
    holds = None if action.overlap else _under_way(item.action, found, done)
    asked = StartOptions(date=item.date, key=item.key, again=False, future=True)
    try:
        if known := _known(controller, item):
            return Ticked(due=item, run=known)
        if holds:
            return Ticked(due=item, waits_for=holds)
        asked = controller.prepare(item.action, asked)
        # That may have taken minutes, in which another tick, or a person, may have started one.
        if not action.overlap and (holds := look().holding(item.action)):
            known = _known(controller, item)
            return Ticked(due=item, run=known) if known else Ticked(due=item, waits_for=holds)
        begun = controller.ask(item.action, asked)
    except NoModelError as error:
        coming = (_under_way(taken.action, found, done) for taken in action.inputs)
        if holds := next(filter(None, coming), None):
            return Ticked(due=item, waits_for=holds)
        return Ticked(due=item, problem=error.summary)
    except ForetellError as error:
        return Ticked(due=item, problem=error.summary)
    return Ticked(due=item, run=begun.run, new=begun.new)


def _known(controller: Controller, item: Due) -> Run | None:
    """Return the run of a due tick's key, if it was started before."""
    service = controller.service
    run = Run(service.name, service.version, item.action, item.date, 1)
    while controller.exists() and (request := controller.execute(get(run.request, Request))):
        if request.key == item.key:
            return run
        run = run._replace(n=run.n + 1)
    return None


def _under_way(action: str, found: Survey, done: Sequence[Ticked]) -> Standing | None:
    """Return an open run of an action: one that was found, or one that was started just now."""
    begun = (ticked.run for ticked in done if ticked.new and ticked.due.action == action and ticked.run)
    starting = (Standing(run=run, state=State(phase=Phase.STARTING), trial=False) for run in begun)
    return found.holding(action) or next(starting, None)


def is_coming(controller: Controller, action: str) -> bool:
    """Whether some input of an action is under way."""
    return any(_is_open(controller, item.action) for item in controller.service.actions[action].inputs)


def _is_open(controller: Controller, action: str) -> bool:
    """Whether the newest run of an action has not ended."""
    if not controller.exists():
        return False
    service = controller.service
    newest = controller.execute(models.newest(service.name, service.version, action, 1))
    return bool(newest) and controller.execute(get(newest[0].outcome, Outcome)) is None


def crontab(service_file: Path, target: str) -> str:
    """Return the line that has cron call `tick` every minute, whatever the directory and environment it starts in."""
    log = str(service_file.parent / ".foretell" / "tick.log")
    argv = [
        sys.executable,
        "-m",
        "foretell",
        "tick",
        "--on",
        target,
        "--file",
        str(service_file),
        "--log",
        log,
    ]
    # What is left for cron to send by mail is what a person must know: errors of other kinds would come every minute.
    home = shlex.quote(str(service_file.parent / ".foretell"))
    command = f"mkdir -p {home} && {shlex.join(argv)} 2>> {shlex.quote(log)}"
    return f"* * * * * {command.replace('%', chr(92) + '%')}"  # which cron takes for the end of the line
