"""Where an action finds its inputs: whether that has changed since it last ran, and what it could take for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from foretell.agent.elsewhere import MOST, namesakes
from foretell.controller.controller import Controller
from foretell.errors import ForetellError
from foretell.protocol import models
from foretell.protocol.effects import get
from foretell.protocol.records import Request
from foretell.service.model import Action, Input, Service, Target
from foretell.sources import tree
from foretell.store import artifacts
from foretell.system.check import Check, failed, ok, warning

NAME = "input"


def inputs(service: Service, target: Target) -> Iterator[Check]:
    """Look at the inputs of every action; nothing of a service without any."""
    takers = [action for action in service.actions.values() if action.inputs]
    if not takers:
        return
    controller = Controller(service, target)
    try:
        for action in takers:
            yield from places(controller, action)
        yield from doubles(controller, takers)
    except ForetellError as error:
        yield failed(NAME, error)


def places(controller: Controller, action: Action) -> Iterator[Check]:
    """
    Say where an input is put, once: until a run of the action has had it there.

    A warning where its last run had it elsewhere, as before the default became the output of the action that made it.
    """
    last = _last_places(controller, action)
    for item in action.inputs:
        said = f'"{action.name}" finds its input of "{item.action}" in "{item.path}/"'
        before = last.get(item.action)
        if before is None and item.path != action.output:
            yield ok(NAME, f"{said}, not in its own output")
        elif before not in (None, item.path):
            as_before = f'inputs = {{{item.action} = "{before}"}} in [actions.{action.name}]'
            yield warning(
                NAME,
                f'{said} from its next run on; its last one had it in "{before}/"',
                f'if its command reads "{before}/", set {as_before}',
            )


def _last_places(controller: Controller, action: Action) -> dict[str, str]:
    service = controller.service
    if not controller.exists():
        return {}
    newest = controller.execute(models.newest(service.name, service.version, action.name, 1))
    request = controller.execute(get(newest[0].request, Request)) if newest else None
    return {pin.action: pin.path for pin in request.inputs} if request else {}


def doubles(controller: Controller, takers: Iterable[Action]) -> Iterator[Check]:
    """Warn of files of the service's directory that have the name of a file of a current model, in another place."""
    if not controller.exists():
        return
    service = controller.service
    there = [entry.path for entry in tree.of(service).entries if entry.kind != "directory"]
    for item in dict.fromkeys(item for action in takers for item in action.inputs):
        model = _current(controller, item)
        if model is None or model.outcome.attempt is None or model.outcome.manifest is None:
            continue
        attempt = model.run.attempt(model.outcome.attempt)
        manifest = artifacts.manifest(controller.store, attempt, model.outcome.manifest)
        found = namesakes(there, item.path, [file.path for file in manifest.files])
        for one in found[:MOST]:
            yield warning(NAME, one.told(model.run.label), one.mend(model.run.label))


def _current(controller: Controller, item: Input) -> models.Model | None:
    service = controller.service
    return controller.execute(
        models.current(service.name, service.version, item.action, datetime.now(UTC))
    ).model
