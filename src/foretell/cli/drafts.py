"""What a plan shows of machine and delivery: what would be started or asked for, without doing it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from foretell import warehouses
from foretell.platforms.base import assignment
from foretell.platforms.compute_engine import instance
from foretell.platforms.docker import platform
from foretell.protocol import steps
from foretell.protocol.records import Launch, Outcome, Request
from foretell.protocol.rules import first
from foretell.service.model import ComputeEngineSettings, DockerSettings, ProcessSettings
from foretell.warehouses.base import shipment

NEW = "<new>"
"""Stands for what is made up at the start."""
LOCK = 3
"""A descriptor, whichever it will be."""
NONCE, STORE = "0x0nonce0x0nonce", "0x0store0x0store"
"""Stand, where a name is made of them, for the launch's nonce and the store's id; the plan shows them as <…>."""


def machine(request: Request) -> dict[str, object]:
    """Return what the platform would start for the first attempt."""
    match request.target.platform:
        case DockerSettings() as settings:
            return _container(settings, request)
        case ComputeEngineSettings() as settings:
            return _instance(settings, request)
        case ProcessSettings() as settings:
            return _process(settings, request)


def delivery(request: Request) -> list[Mapping[str, object]]:
    """Return what the warehouse would be asked for, were nothing there yet, when the first attempt has succeeded."""
    if not request.delivers:
        return []
    target = request.target
    first = f"{target.store}/{request.run.attempt(1).rows(0)}"
    uris = (first, "<and so on>") if warehouses.reads(target.warehouse, target.store) else ()
    outcome = Outcome(kind="produced", attempt=1, by=NEW, at=NEW)
    return list(warehouses.connect(target.warehouse).plan(shipment(request, outcome, uris=uris)))


def _process(settings: ProcessSettings, request: Request) -> dict[str, object]:
    launch = _launch(request, NEW)
    home = Path(settings.home, "machines", launch.machine)
    assigned = assignment(request, launch, store=request.target.store, home=home, boot=NEW, lock=LOCK)
    command = [sys.executable, "-I", "-m", "foretell.agent.guard", *assigned.arguments()]
    return {"directory": home, "command": command}


def _container(settings: DockerSettings, request: Request) -> dict[str, object]:
    told = platform.command(
        settings, request, _launch(request, NEW), store=request.target.store, boot=NEW, environ=os.environ
    )
    return {"command": ["docker", *told]}


def _instance(settings: ComputeEngineSettings, request: Request) -> dict[str, object]:
    """Return the request for the first zone; the others are asked likewise when it has none."""
    launch = _launch(request, NONCE)
    zone = settings.zones[0]
    body = instance.body(
        settings, replace(request, store=STORE), launch, zone=zone, store=request.target.store
    )
    address = f"projects/{settings.project}/zones/{zone}/instances"
    return {
        "POST": f"https://compute.googleapis.com/compute/v1/{address}?requestId=<of attempt and zone>",
        "body": _shown(body),
        "next zones": list(settings.zones[1:]),
    }


def _launch(request: Request, nonce: str) -> Launch:
    """Return the launch of the first attempt."""
    return steps.launch(request, first(request), nonce=nonce, at=NEW)


def _shown(told: Any) -> Any:
    """Put <…> in the place of what only a start can know."""
    match told:
        case str():
            return told.replace(NONCE, NEW).replace(STORE, "<the store's id>")
        case dict():
            return {key: _shown(value) for key, value in told.items()}
        case list():
            return [_shown(item) for item in told]
        case _:
            return told
