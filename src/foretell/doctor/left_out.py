"""What of a service's directory a run does not have."""

from __future__ import annotations

from collections.abc import Iterator

from foretell.errors import ForetellError
from foretell.images import context
from foretell.service.model import Service, Target
from foretell.sources import tree
from foretell.sources.left_out import lines
from foretell.system.check import Check, failed, ok

NAME = "left out"


def left_out(service: Service, target: Target) -> Iterator[Check]:
    """List what is in no snapshot, or on a target that runs images in none of them, and why."""
    try:
        found = context.scan(service) if target.platform.runs_images else tree.of(service)
    except ForetellError as error:
        yield failed(NAME, error)
        return
    yield from (ok(NAME, line) for line in lines(found.left_out))
