"""plan: what would be started, without starting, writing or asking anything."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from foretell import platforms, warehouses
from foretell.cli import opening
from foretell.cli.execution import add_order, order
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb
from foretell.controller.freeze import Frozen, must_suit_images
from foretell.controller.resolve import StartOptions, place, resolve
from foretell.images import build, chosen, lock
from foretell.platforms.base import NEW
from foretell.protocol.records import FORMAT, Outcome, Pin, Request
from foretell.service.kinds import PlatformSettings
from foretell.service.model import Action, Service, Target
from foretell.sources import tree
from foretell.sources.fingerprint import fingerprint
from foretell.sources.left_out import lines
from foretell.sources.snapshot import remembered
from foretell.warehouses.base import shipment


def _pins(asked: StartOptions, spec: Action) -> tuple[Pin, ...]:
    """Return the inputs by what they are asked for as: no model is looked up."""
    pins = []
    for item in spec.inputs:
        label = asked.inputs.get(item.action)
        known = (
            f"{item.action}/{label.rpartition('/')[2]}" if label else f"<the current model of {item.action}>"
        )
        pins.append(Pin(action=item.action, run=known, digest="<of its manifest>", path=item.path))
    return tuple(pins)


def _looked_at(service: Service, target: Target, asked: StartOptions, settings: PlatformSettings) -> Frozen:
    """Return the code as it would be frozen, without freezing it."""
    if settings.directory is None:
        must_suit_images(service, target)
        entry = lock.read(service.root).get(target.name)
        draft = build.ImageBuild(service, target)
        known = entry.image if entry else f"{draft.tag.rpartition(':')[0]}@<the digest of what is built>"
        reads: int | None = entry.reads if entry else FORMAT
        if asked.image:
            known = asked.image
            reads = chosen.named(service, target, known).reads
        return Frozen(fingerprint=draft.fingerprint, image=known, left_out=draft.tree.left_out, reads=reads)
    found = tree.of(service)
    return Frozen(
        fingerprint=fingerprint(found, remembered(settings.directory / "snapshots")),
        snapshot=Path("<the snapshot of these sources>"),
        left_out=found.left_out,
    )


def plan(args: Namespace, out: Terminal) -> int:
    """Print the request and the machine that a start would make."""
    service = opening.service(args)
    target = service.target_named(opening.target_name(args))
    asked = order(args, service)
    spec = service.action_named(args.action)
    where = place(service, spec.name, asked, new=NEW)
    run, settings = where.run, target.platform_of(spec.name)
    platforms.connect(settings)
    frozen = _looked_at(service, target, asked, settings)
    request = resolve(
        where,
        service,
        target,
        asked,
        store="<the store's id>",
        pins=lambda: _pins(asked, spec),
        code=lambda: frozen,
    )
    request = replace(request, uid=NEW)
    out.data(
        {
            "object": f"{target.store}/{run.request}",
            "request": request,
            "machine": platforms.connect(request.target.platform).plan(request),
            "left_out": frozen.left_out,
            **({"delivery": asked_for} if (asked_for := delivery(request)) else {}),
        }
    )
    number = f"the run would be {run.label}, or end in -2, -3, … if this date already has runs"
    for line in lines(frozen.left_out):
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


VERBS = {
    "plan": Verb(add_order, plan, ("foretell plan application", "foretell plan training --on production"))
}
