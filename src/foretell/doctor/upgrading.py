"""What a newer Foretell changes for a service that an older one has run; docs/upgrading.md tells all of it."""

from __future__ import annotations

from collections.abc import Iterator

from foretell.errors import UsageError
from foretell.images import lock
from foretell.protocol.records import FORMAT, asked_since_2
from foretell.service.model import Service, Target
from foretell.system.check import Check


def upgrading(service: Service, target: Target) -> Iterator[Check]:
    """Look at the image that is locked for a target: by an older Foretell, it may ignore what the file asks for."""
    try:
        entry = lock.read(service.root).get(target.name)
    except UsageError as error:
        yield Check(name="image", state="missing", detail=error.summary, fix=error.hint)
        return
    if entry is None or entry.reads >= FORMAT:
        return
    newer = asked_since_2(service.source, *service.actions.values()) + ["env_file"] * bool(service.env_file)
    fix = f"foretell build --push --on {target.name}"
    if newer:
        detail = f"built by an older Foretell, it would ignore {', '.join(newer)}: no run is started with it"
        yield Check(name="image", state="missing", detail=detail, fix=fix)
    else:
        detail = "built by an older Foretell; it runs, and heeds nothing that is new (docs/upgrading.md)"
        yield Check(name="image", state="warning", detail=detail, fix=fix)
