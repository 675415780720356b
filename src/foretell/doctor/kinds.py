"""What the kinds of a target's platform and warehouse bring along to be looked at, and Google's cloud under them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from foretell import platforms, warehouses
from foretell.errors import ForetellError
from foretell.google.inspection import Inspection
from foretell.images import lock
from foretell.platforms.base import Platform
from foretell.service.model import Service, Target
from foretell.system.check import Check, failed, missing, ok
from foretell.warehouses.base import Warehouse


def kinds(service: Service, target: Target) -> Iterator[Check]:
    """Run the checks of warehouse and platform; those that ask Google only where there are credentials."""
    platform = platforms.connect(target.platform)
    look = None
    try:
        warehouse = warehouses.connect(target.warehouse)
    except ForetellError as error:  # what it needs is not installed; `doctor.warehouse` tells it too
        if target.needs_google:
            yield missing("google", error.why or error.what, error.hint)
    else:
        if target.needs_google:
            look = yield from _google(service, target, platform, warehouse)
        yield from warehouse.checks(look)
    yield from platform.checks(service, target, look)
    if look and target.platform.is_remote:
        yield image(service.root, target)


def _google(
    service: Service, target: Target, platform: Platform, warehouse: Warehouse
) -> Generator[Check, None, Inspection | None]:
    try:
        # Loaded here, for it brings Google's libraries, which others need not have.
        from foretell.doctor import google
    except ImportError as error:
        yield missing("google", str(error), "pip install 'foretell[google]'")
        return None
    return (yield from google.inspect(service, target, platform, warehouse))


def image(root: Path, target: Target) -> Check:
    """Whether the image is built and locked that a start would run."""
    try:
        locked = lock.read(root).get(target.name)
    except ForetellError as error:
        return failed("image", error)
    if locked:
        return ok("image", locked.image)
    fix = f"foretell build --push --on {target.name}"
    return missing("image", f"none is locked for target {target.name}", fix)
