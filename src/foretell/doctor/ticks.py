"""What a schedule needs to be kept: models that are made when they should be, and a tick that knows what is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from foretell.controller.controller import Controller
from foretell.controller.survey import has_ticked
from foretell.protocol import keys, models
from foretell.protocol.effects import get
from foretell.protocol.records import FirstSight
from foretell.service.model import Service, Target
from foretell.system.check import Check


def ticks(service: Service, target: Target) -> Iterator[Check]:
    """Look at models that are too old for their schedule, and at schedules that an older Foretell has kept."""
    controller = Controller(service, target)
    if not controller.exists():
        return
    now = datetime.now(UTC)
    for maker in sorted({item.action for one in service.actions.values() for item in one.inputs}):
        answer = controller.execute(models.current(service.name, service.version, maker, now))
        if old := models.aging(service, answer, now):
            failed = next((one.run.label for one in answer.passed), None)
            fix = f"foretell {f'show {failed}' if failed else f'run {maker}'} --on {target.name}"
            yield Check(name="model", state="warning", detail=old, fix=fix)
    for action in service.actions.values():
        key = keys.first_sight(service.name, service.version, action.name)
        if action.schedule is None or controller.execute(get(key, FirstSight)):
            continue
        if has_ticked(controller, action.name):
            detail = f"{action.name}: a due run waits now while another is open (docs/upgrading.md)"
            fix = f"overlap = true in [actions.{action.name}] if it must not; `foretell tick --print crontab`"
            yield Check(name="schedule", state="warning", detail=detail, fix=fix)
