"""plan: what would be started, without starting, writing or asking anything."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from foretell import platforms, warehouses
from foretell.cli import opening
from foretell.cli.execution import add_order, order
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb
from foretell.controller.freeze import Frozen, must_have_no_links
from foretell.controller.resolve import Order, must_not_lie_ahead
from foretell.errors import UsageError
from foretell.images import build, chosen, lock
from foretell.platforms.base import NEW
from foretell.protocol import keys
from foretell.protocol.effects import Effects
from foretell.protocol.keys import Run
from foretell.protocol.records import FORMAT, Outcome, Pin, Request
from foretell.sources import tree
from foretell.sources.fingerprint import fingerprint
from foretell.sources.left_out import LeftOut, lines
from foretell.sources.snapshot import remembered
from foretell.warehouses.base import shipment


class Draft(Order):
    """An order that is only looked at: no model is looked up, no source is frozen."""

    def _pin(self, run: Run, action: str, path: str) -> Pin:  # noqa: ARG002 - a plan's is the same for all
        label = self._asked.inputs.get(action)
        known = f"{action}/{label.rpartition('/')[2]}" if label else f"<the current model of {action}>"
        return Pin(action=action, run=known, digest="<of its manifest>", path=path)

    left_out: tuple[LeftOut, ...] = ()

    def _freeze(self) -> Frozen:
        frozen = self._looked_at()
        self.left_out = frozen.left_out
        return frozen

    def _looked_at(self) -> Frozen:
        settings = self._target.platform_of(self._spec.name)
        if settings.directory is None:
            must_have_no_links(self._service, self._target)
            entry = lock.read(self._service.root).get(self._target.name)
            draft = build.ImageBuild(self._service, self._target)
            known = entry.image if entry else f"{draft.tag.rpartition(':')[0]}@<the digest of what is built>"
            reads: int | None = entry.reads if entry else FORMAT
            if self._asked.image:
                known = self._asked.image
                reads = chosen.named(self._service, self._target, known).reads
            return Frozen(
                fingerprint=draft.fingerprint, image=known, left_out=draft.tree.left_out, reads=reads
            )
        found = tree.of(self._service)
        return Frozen(
            fingerprint=fingerprint(found, remembered(settings.directory / "snapshots")),
            snapshot=Path("<the snapshot of these sources>"),
            left_out=found.left_out,
        )


def plan(args: Namespace, out: Terminal) -> int:
    """Print the request and the machine that a start would make."""
    service = opening.service(args)
    target = opening.target(service, opening.target_name(args))
    asked = order(args, service)
    spec = service.actions.get(args.action)
    if spec is None:
        raise UsageError(
            f'unknown action "{args.action}"',
            hint=f"use one of: {', '.join(service.actions)}",
        )
    must_not_lie_ahead(asked)
    platforms.connect(target.platform_of(spec.name))
    date = (asked.date or datetime.now(UTC)).astimezone(UTC)
    run = Run(
        service.name, service.version, spec.name, date.replace(microsecond=date.microsecond // 1000 * 1000), 1
    )
    key = asked.key or (keys.key(spec.name, date) if asked.date else NEW)
    draft = Draft(service, target, spec, asked, inputs={}, store="<the store's id>", execute=_ask)
    request = replace(draft.request(run, key), uid=NEW)
    out.data(
        {
            "object": f"{target.store}/{run.request}",
            "request": request,
            "machine": platforms.connect(request.target.platform).plan(request),
            "left_out": draft.left_out,
            **({"delivery": asked_for} if (asked_for := delivery(request)) else {}),
        }
    )
    number = f"the run would be {run.label}, or end in -2, -3, … if this date already has runs"
    for line in lines(draft.left_out):
        out.tell((f"left out: {line}", "faint"))
    out.tell((f"nothing was written or sent; {number}", "faint"))
    return 0


def delivery(request: Request) -> list[Mapping[str, object]]:
    """Return what the warehouse would be asked for, were nothing there yet, when the first attempt has succeeded."""
    if not request.delivers:
        return []
    target = request.target
    first = f"{target.store}/{request.run.attempt(1).rows(0)}"
    uris = (first, "<and so on>") if target.warehouse.reads_store(target.store) else ()
    outcome = Outcome(kind="produced", attempt=1, by=NEW, at=NEW)
    return list(warehouses.connect(target.warehouse).plan(shipment(request, outcome, uris=uris)))


def _ask(_: Effects[Any]) -> Any:
    raise AssertionError("a plan asks nobody")


VERBS = {
    "plan": Verb(add_order, plan, ("foretell plan application", "foretell plan training --on production"))
}
