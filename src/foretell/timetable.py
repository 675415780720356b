"""
The scheduler for who has no scheduler: what is due at a moment is started, once, and nothing is remembered.

Stateless and idempotent: a run's key is its tick, so two calls at once, or a thousand, start it once. Missed ticks
are not caught up: of each action the newest due tick counts.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from foretell import catalog, names, schedule
from foretell.controller import Controller
from foretell.errors import ForetellError, NoModelError
from foretell.ledger import get
from foretell.names import Run
from foretell.order import Asked
from foretell.records import Outcome
from foretell.service import Action


class Due(Struct, frozen=True, kw_only=True):
    """An action's run that should be there. `why` says what makes it due."""

    action: str
    date: datetime
    key: str
    why: str


class Ticked(Struct, frozen=True, kw_only=True):
    """
    What became of a due run: `run` where it was started now or before, `problem` where it could not be.

    `waiting` says that the problem will pass by itself: an input's first run is under way.
    """

    due: Due
    run: Run | None
    new: bool
    problem: str = ""
    waiting: bool = False


def tick(
    controller: Controller, at: datetime, say: Callable[[Ticked], None] = lambda _: None
) -> list[Ticked]:
    """Start what is due at a moment; one action's problem does not keep the others from starting."""
    done = []
    for item in due(controller, at):
        ticked = _started(controller, item)
        say(ticked)
        done.append(ticked)
    return done


def due(controller: Controller, at: datetime) -> list[Due]:
    """List what is due, inputs before those who take them."""
    order = [action.name for action in in_order(controller)]
    found = [item for name in order for item in _due(controller, controller.service.actions[name], at)]
    scheduled = {item.action for item in found}
    missing: dict[str, Due] = {}
    consumers = list(found)
    for consumer in consumers:  # which grows: an input may need one itself
        for item in _first_inputs(controller, consumer):
            earlier = missing.get(item.action)
            # Of the earliest date, one model serves all who need it.
            if item.action not in scheduled and (earlier is None or item.date < earlier.date):
                missing[item.action] = item
                consumers.append(item)
    return sorted(missing.values(), key=lambda item: order.index(item.action)) + found


def in_order(controller: Controller) -> list[Action]:
    """Give the actions, each after its inputs and after those it follows."""
    actions = controller.service.actions
    placed: dict[str, Action] = {}

    def place(name: str) -> None:
        if name not in placed:
            for earlier in (*(item.action for item in actions[name].inputs), *actions[name].after):
                place(earlier)
            placed[name] = actions[name]

    for name in actions:
        place(name)
    return list(placed.values())


def _due(controller: Controller, action: Action, at: datetime) -> Iterator[Due]:
    if action.schedule:
        date = schedule.previous(action.schedule, controller.service.timezone, at)
        yield Due(
            action=action.name, date=date, key=names.key(action.name, date), why=f"schedule {action.schedule}"
        )
    if action.after:
        models = [_current(controller, name, at) for name in action.after]
        if all(models):
            newest = max((model.run for model in models if model), key=lambda run: run.order)
            cause = " and ".join(model.run.label for model in models if model)
            yield Due(
                action=action.name, date=newest.date, key=f"{action.name} after {cause}", why=f"after {cause}"
            )


def _first_inputs(controller: Controller, consumer: Due) -> Iterator[Due]:
    """An input that never succeeded is due at once, whatever its own schedule, unless it is under way."""
    for item in controller.service.actions[consumer.action].inputs:
        if _current(controller, item.action, consumer.date) is None and not _is_open(controller, item.action):
            key = names.key(item.action, consumer.date)
            why = f"{consumer.action} needs its first model"
            yield Due(action=item.action, date=consumer.date, key=key, why=why)


def _current(controller: Controller, action: str, as_of: datetime) -> catalog.Model | None:
    if not controller.exists():
        return None
    service = controller.service
    return controller.drive(catalog.current(service.name, service.version, action, as_of)).model


def _started(controller: Controller, item: Due) -> Ticked:
    asked = Asked(date=item.date, key=item.key, again=False)
    try:
        found = controller.ask(item.action, asked)
    except NoModelError as error:
        return Ticked(
            due=item, run=None, new=False, problem=error.what, waiting=is_coming(controller, item.action)
        )
    except ForetellError as error:
        problem = f"{error.what}{f': {error.why}' if error.why else ''}"
        return Ticked(due=item, run=None, new=False, problem=problem)
    return Ticked(due=item, run=found.run, new=found.new)


def is_coming(controller: Controller, action: str) -> bool:
    """Whether some input of an action is under way."""
    return any(_is_open(controller, item.action) for item in controller.service.actions[action].inputs)


def _is_open(controller: Controller, action: str) -> bool:
    """Whether the newest run of an action has not ended."""
    if not controller.exists():
        return False
    service = controller.service
    newest = controller.drive(catalog.newest(service.name, service.version, action, 1))
    return bool(newest) and controller.drive(get(newest[0].outcome, Outcome)) is None


def crontab(service_file: Path, target: str) -> str:
    """Give the line that has cron call `tick` every minute, whatever the directory and environment it starts in."""
    program = shlex.join(
        [sys.executable, "-m", "foretell", "tick", "--on", target, "--file", str(service_file)]
    )
    home = shlex.quote(str(service_file.parent / ".foretell"))
    command = f"mkdir -p {home} && {program} >> {home}/tick.log 2>&1"
    return f"* * * * * {command.replace('%', chr(92) + '%')}"  # which cron takes for the end of the line
