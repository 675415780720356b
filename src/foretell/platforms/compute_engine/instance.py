"""A launch → the instance that Compute Engine is asked for. Pure, so that `plan` can show it."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from foretell.google.compute import region
from foretell.google.endpoints import Json
from foretell.google.labels import label
from foretell.platforms.base import NEW, planned
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.protocol.assignment import NO_LOCK, Assignment
from foretell.protocol.records import Launch, Request
from foretell.system import paths

TEXTS = Path(__file__).parent
IMAGE = "projects/cos-cloud/global/images/family/cos-stable"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
WISHES = uuid.UUID("5b0c6c0e-3f0a-5f1c-9c55-0d4a4c1f7e21")
"""The namespace of request ids."""
SHORTEST, LONGEST = 30, 120 * 24 * 3600
"""Seconds between which Compute Engine takes a limit of a machine's run."""
WORDS = {
    "store": "$store",
    "folder": "$run",
    "number": "$attempt",
    "machine": "$machine",
    "home": paths.IMAGE_HOME,
    "deadline": "$deadline",
    "kill_after": "$kill",
    "boot": "$boot",
    "lock": f"{NO_LOCK}",
}
"""What the script knows each part of an assignment by."""
FIXED = ("a2-", "a3-", "a4-", "a4x-", "g2-", "g4-")
"""Machine types with graphics cards of their own, which cannot be moved to another host either."""
NONCE, STORE = "0x0nonce0x0nonce", "0x0store0x0store"
"""Stand, where a name is made of them, for the launch's nonce and the store's id; a plan shows them as <…>."""
GOOGLES = re.compile(r"(?:[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io)")
"""Registries that a machine shows its own token to."""


def body(
    settings: ComputeEngineSettings,
    request: Request,
    launch: Launch,
    *,
    zone: str,
    store: str,
) -> Json:
    """Return the request body of `instances.insert`. `store` is the store's URL."""
    made = {
        "name": launch.machine,
        "description": f"an attempt of {request.run.label} by Foretell",
        "machineType": f"zones/{zone}/machineTypes/{machine_type(settings, launch)}",
        "labels": {},
        "disks": [
            {
                "boot": True,
                "autoDelete": True,
                "initializeParams": {"sourceImage": IMAGE, "diskSizeGb": str(settings.disk_size)},
            }
        ],
        "networkInterfaces": [_interface(settings, zone)],
        "serviceAccounts": [{"email": settings.service_account or "default", "scopes": [SCOPE]}],
        "scheduling": {"onHostMaintenance": "TERMINATE" if _is_fixed(settings, launch) else "MIGRATE"},
        **({"tags": {"items": list(settings.tags)}} if settings.tags else {}),
        **({"guestAccelerators": _accelerators(settings, zone)} if settings.accelerators else {}),
    }
    merged = merge(made, settings.body)
    return _guarded(merged, settings, request, launch, store)


def plan(settings: ComputeEngineSettings, request: Request) -> Json:
    """Return the request for the first zone; the others are asked likewise when it has none."""
    launch, zone = planned(request, NONCE), settings.zones[0]
    made = body(settings, replace(request, store=STORE), launch, zone=zone, store=request.target.store)
    address = f"projects/{settings.project}/zones/{zone}/instances"
    return {
        "POST": f"https://compute.googleapis.com/compute/v1/{address}?requestId=<of attempt and zone>",
        "body": _shown(made),
        "next zones": list(settings.zones[1:]),
    }


def _shown(told: object) -> object:
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


def _guarded(
    made: Json, settings: ComputeEngineSettings, request: Request, launch: Launch, store: str
) -> Json:
    """Set what no setting may change: the machine's name, what it is for, and what ends it."""
    spot = is_spot(settings, launch)
    scheduling = {key: value for key, value in made["scheduling"].items() if key != "terminationTime"}
    guards: Json = {
        "automaticRestart": False,
        "instanceTerminationAction": "DELETE",
        "maxRunDuration": {"seconds": str(lifetime(request))},
        "provisioningModel": "SPOT" if spot else "STANDARD",
        **({"onHostMaintenance": "TERMINATE"} if spot else {}),
    }
    told = {item["key"]: item["value"] for item in made.get("metadata", {}).get("items", [])}
    told |= metadata(settings, request, launch, store)
    return {
        **made,
        "name": launch.machine,
        "labels": {
            **{key: str(value) for key, value in made["labels"].items()},
            **settings.labels,
            **labels(request, launch),
        },
        "metadata": {
            **made.get("metadata", {}),
            "items": [{"key": key, "value": value} for key, value in told.items()],
        },
        "disks": [disk if "source" in disk else {**disk, "autoDelete": True} for disk in made["disks"]],
        "scheduling": {**scheduling, **guards},
    }


def lifetime(request: Request) -> int:
    """Return the seconds after which Google itself deletes the machine, whatever anybody else does."""
    deadline = request.target.times.deadline(request.spec.timeout)
    return min(LONGEST, max(SHORTEST, math.ceil(deadline)))


def machine_type(settings: ComputeEngineSettings, launch: Launch) -> str:
    """Return the type that is due: each growth that was spent takes the next."""
    kinds = settings.machine_types
    return kinds[max(0, len(kinds) - 1 - launch.growths_left)]


def is_spot(settings: ComputeEngineSettings, launch: Launch) -> bool:
    """Whether the machine is one that may be taken away."""
    return settings.spot and launch.spots_left > 0


def wish(launch: Launch, zone: str) -> str:
    """Return the id by which Compute Engine knows the same wish again: of one attempt in one zone."""
    return str(uuid.uuid5(WISHES, f"{launch.nonce}/{launch.machine}/{zone}"))


def labels(request: Request, launch: Launch) -> dict[str, str]:
    """Return what a machine is found again by."""
    run = request.run
    told = {
        "service": run.service,
        "version": run.version,
        "action": run.action,
        "run": run.id,
        "attempt": str(launch.number),
        "store": request.store,
        "nonce": launch.nonce,
    }
    return {f"foretell_{name}": label(value) for name, value in told.items()}


def metadata(settings: ComputeEngineSettings, request: Request, launch: Launch, store: str) -> dict[str, str]:
    """Return what a machine is told, which everybody may read who may look at it: where things are, and no secret."""
    image = request.image or ""
    registry = image.partition("/")[0]
    times = request.target.times
    return {
        "user-data": user_data(),
        "foretell-store": store,
        "foretell-run": request.run.folder,
        "foretell-attempt": str(launch.number),
        "foretell-machine": launch.machine,
        "foretell-image": image,
        "foretell-registry": registry if GOOGLES.fullmatch(registry) else "none",
        "foretell-deadline": f"{times.deadline(request.spec.timeout):g}",
        "foretell-kill": f"{times.kill:g}",
        "foretell-gpu": "yes" if _is_fixed(settings, launch) else "none",
        "cos-update-strategy": "update_disabled",
    }


def user_data() -> str:
    """Return the start-up text: the unit with the script in it."""
    lines = script().splitlines(keepends=True)
    indented = "".join(f"    {line}" if line.strip() else line for line in lines)
    return (TEXTS / "user-data.yaml").read_text().replace("    @SCRIPT@\n", indented)


def script() -> str:
    """Return the script: the agent is told what stands in its variables."""
    assigned = " ".join(f'"{WORDS[field]}"' for field in Assignment._fields)
    return (TEXTS / "attempt.sh").read_text().replace("@ASSIGNMENT@", assigned)


def merge(ours: Mapping[str, object], theirs: Mapping[str, object]) -> Json:
    """Lay one body over another: tables merge, and anything else is replaced."""
    made = dict(ours)
    for key, value in theirs.items():
        there = made.get(key)
        both = isinstance(there, Mapping) and isinstance(value, Mapping)
        made[key] = merge(cast("Json", there), cast("Json", value)) if both else value
    return made


def _interface(settings: ComputeEngineSettings, zone: str) -> Json:
    made: Json = {}
    if settings.network or not settings.subnet:
        made["network"] = _path(settings.network or "default", "global/networks")
    if settings.subnet:
        made["subnetwork"] = _path(settings.subnet, f"regions/{region(zone)}/subnetworks")
    if settings.external_ip:
        made["accessConfigs"] = [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}]
    return made


def _accelerators(settings: ComputeEngineSettings, zone: str) -> list[Json]:
    return [
        {"acceleratorType": f"zones/{zone}/acceleratorTypes/{kind}", "acceleratorCount": count}
        for kind, count in settings.accelerators.items()
    ]


def _is_fixed(settings: ComputeEngineSettings, launch: Launch) -> bool:
    return bool(settings.accelerators) or _has_cards(settings, launch)


def _has_cards(settings: ComputeEngineSettings, launch: Launch) -> bool:
    return machine_type(settings, launch).startswith(FIXED)


def _path(name: str, below: str) -> str:
    """Return a resource by its name alone, or as it is written in full."""
    return name if "/" in name else f"{below}/{name}"
