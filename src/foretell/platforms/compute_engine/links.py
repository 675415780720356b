"""Where a person looks at a machine of Compute Engine, and at what it printed."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import quote

from foretell.google.console import page
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.protocol.records import Launch, Request

AROUND = timedelta(hours=1)
"""How much of the log is shown before and after what a run may take; without a time the last hour is."""


def links(settings: ComputeEngineSettings, request: Request, launch: Launch | None) -> dict[str, str]:
    """Return the pages of the machine and of the log."""
    machine = {"machine": _machine(settings, launch.machine)} if launch else {}
    return {**machine, "log": _log(settings.project, request, launch)}


def _machine(settings: ComputeEngineSettings, name: str) -> str:
    """Return the machine's page, or with several zones the list: which one it came to is not on record."""
    place = f"Detail/zones/{settings.zones[0]}/instances/{name}" if len(settings.zones) == 1 else ""
    return page(f"compute/instances{place}", settings.project)


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
    return page(f"logs/query;query={query};timeRange={span}", project)
