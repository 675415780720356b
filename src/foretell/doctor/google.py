"""What a target uses of Google's cloud: credentials, services, permissions, the bucket."""

from __future__ import annotations

from collections.abc import Generator

from google.auth.exceptions import GoogleAuthError

from foretell.google.inspection import Inspection
from foretell.google.remedies import LOGIN
from foretell.platforms.base import Platform
from foretell.service.model import Service, Target
from foretell.system.check import Check, missing
from foretell.warehouses.base import Warehouse


def inspect(
    service: Service, target: Target, platform: Platform, warehouse: Warehouse
) -> Generator[Check, None, Inspection | None]:
    """Look at what all that is Google's needs; return who asks for more, None where there are no credentials."""
    look = inspection(target)
    try:
        yield look.credentials()
    except GoogleAuthError as error:
        yield missing("credentials", str(error).partition("\n")[0], LOGIN)
        return None
    in_bucket = target.store.startswith("gs://")
    if look.project:
        used = (*warehouse.google_services(), *platform.google_services(service))
        stores = ["storage.googleapis.com"] * in_bucket
        yield look.services(["serviceusage.googleapis.com", *stores, *used])
    yield from platform.access(look)
    yield from warehouse.access(look)
    if in_bucket:
        yield from look.bucket(target.warehouse.google_location)
    return look


def inspection(target: Target) -> Inspection:
    """Return who asks: by the project, and the service account, of the machines where they name one."""
    machines, rows = target.platform, target.warehouse
    return Inspection(
        project=machines.google_project or rows.google_project,
        impersonate=machines.acts_as,
        store=target.store,
    )
