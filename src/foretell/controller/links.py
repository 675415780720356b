"""Where a person looks at what belongs to a run: pages of a console, and paths. Asks nobody."""

from __future__ import annotations

from foretell import platforms
from foretell.google import console
from foretell.protocol.records import Launch, Request
from foretell.store import local_directory


def addresses(request: Request, launch: Launch | None = None) -> dict[str, str]:
    """
    Return addresses by what they show: "machine", "log", "bucket", "table"; only of what has a page.

    With the `launch` of an attempt its machine is shown, and the log is of that attempt alone.
    """
    target = request.target
    project = target.platform.google_project
    found = dict(platforms.connect(target.platform).links(request, launch))
    found["bucket"] = console.bucket(target.store, request.run.folder, project)
    if request.spec.delivery:
        found["table"] = target.warehouse.link(request.spec.delivery.table, project)
    return {name: address for name, address in found.items() if address}


def paths(request: Request) -> dict[str, str]:
    """Return paths by what they hold: "folder", "warehouse"."""
    found = {}
    if directory := local_directory(request.target.store):
        found["folder"] = str(directory / request.run.folder)
    if request.spec.delivery and request.target.warehouse.file:
        found["warehouse"] = str(request.target.warehouse.file)
    return found
