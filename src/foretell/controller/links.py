"""Where a person looks at what belongs to a run: addresses of Google's console, and paths. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode, urlsplit

from foretell.protocol.records import Launch, Request
from foretell.service.model import BigQuerySettings, ComputeEngineSettings, DuckDBSettings
from foretell.store import local_directory

CONSOLE = "https://console.cloud.google.com"
AROUND = timedelta(hours=1)
"""How much of the log is shown before and after what a run may take; without a time the last hour is."""


def addresses(request: Request, launch: Launch | None = None) -> dict[str, str]:
    """
    Return addresses by what they show: "machine", "log", "bucket", "table"; only of what is Google's.

    With the `launch` of an attempt its machine is shown, and the log is of that attempt alone.
    """
    return dict(_addresses(request, launch))


def _addresses(request: Request, launch: Launch | None) -> Iterator[tuple[str, str]]:
    platform, warehouse = request.target.platform, request.target.warehouse
    project = None
    if isinstance(platform, ComputeEngineSettings):
        project = platform.project
        if launch:
            yield "machine", _machine(platform, launch.machine)
        yield "log", _log(project, request, launch)
    if request.target.store.startswith("gs://"):
        place = urlsplit(request.target.store)
        folder = f"{place.netloc}{place.path}/{request.run.folder}"
        yield "bucket", f"{CONSOLE}/storage/browser/{quote(folder)}{_of(project)}"
    if isinstance(warehouse, BigQuerySettings) and request.spec.delivery:
        owner = warehouse.project or project
        if owner:  # else that of whoever's credentials are used
            yield "table", _table(owner, warehouse.dataset, request.spec.delivery.table)


def _machine(settings: ComputeEngineSettings, name: str) -> str:
    """Return the machine's page, or with several zones the list: which one it came to is not on record."""
    place = f"Detail/zones/{settings.zones[0]}/instances/{name}" if len(settings.zones) == 1 else ""
    return f"{CONSOLE}/compute/instances{place}{_of(settings.project)}"


def _log(project: str, request: Request, launch: Launch | None) -> str:
    run = request.run
    wanted = {"service": run.service, "version": run.version, "action": run.action, "run": run.id}
    if launch:
        wanted["attempt"] = str(launch.number)
    lines = [f'logName="projects/{project}/logs/foretell"']
    lines += [f'labels.{name}="{value}"' for name, value in wanted.items()]
    begin = datetime.fromisoformat(request.asked_at) - AROUND
    end = begin + timedelta(seconds=request.target.times.deadline(request.spec.timeout)) + 2 * AROUND
    span = quote(f"{begin.isoformat()}/{end.isoformat()}", safe="")
    query = quote("\n".join(lines), safe="")
    return f"{CONSOLE}/logs/query;query={query};timeRange={span}{_of(project)}"


def _table(project: str, dataset: str, table: str) -> str:
    *named, name = table.split(".")
    place = {
        "project": project,
        "p": project,
        "d": named[0] if named else dataset,
        "t": name,
        "page": "table",
    }
    return f"{CONSOLE}/bigquery?{urlencode(place)}"


def _of(project: str | None) -> str:
    return f"?project={quote(project)}" if project else ""


def paths(request: Request) -> dict[str, str]:
    """Return paths by what they hold: "folder", "warehouse"."""
    found = {}
    if directory := local_directory(request.target.store):
        found["folder"] = str(directory / request.run.folder)
    if request.spec.delivery and isinstance(request.target.warehouse, DuckDBSettings):
        found["warehouse"] = request.target.warehouse.path
    return found
