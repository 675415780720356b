"""What Compute Engine asks of a request beyond its description, by its documentation, written out by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.standins.google.discovery import Json
from tests.standins.google.standin import Asked, Refusal

NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
ZONE = re.compile(r"[a-z]+-[a-z]+[0-9]-[a-z]")
LABEL, LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")
KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")
TYPE = re.compile(r"(?:.*/)?zones/(?P<zone>[^/]+)/machineTypes/(?P<type>[a-z0-9-]+)")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DAY = 24 * 3600
VALUE, ALL_VALUES = 256 * 1024, 512 * 1024
SIZE_OF_IMAGE = 10
MEMORY = {"n1": 3.75, "n2": 4.0, "e2": 4.0}
"""GB a processor of the families that are known."""


def zone(asked: Asked) -> str:
    found = asked.arguments["zone"]
    if not ZONE.fullmatch(found):
        raise Refusal(400, f"Invalid value for field 'zone': '{found}'. Unknown zone.", "invalid")
    return found


def request_id(asked: Asked) -> str | None:
    told = asked.query.get("requestId")
    if told is not None and (not UUID.fullmatch(told) or not told.strip("0-")):
        raise Refusal(400, f"Invalid value for field 'requestId': '{told}'.", "invalid")
    return told


def check_insert(asked: Asked) -> None:
    """Refuse what is incomplete, or no machine could be."""
    if faults := list(_faults(asked.body, zone(asked))):
        raise Refusal(400, "; ".join(faults), "invalid")


def _faults(body: Json, zone: str) -> Iterator[str]:
    if not NAME.fullmatch(body.get("name", "")):
        yield f"Invalid value for field 'resource.name': '{body.get('name')}'"
    kind = TYPE.fullmatch(body.get("machineType", ""))
    if not kind or kind["zone"] != zone:
        yield f"Invalid value for field 'resource.machineType': '{body.get('machineType')}'"
    if not body.get("networkInterfaces"):
        yield "Invalid value for field 'resource.networkInterfaces': ''. At least one network interface is required."
    yield from _of_disks(body.get("disks", []))
    yield from _of_labels(body.get("labels", {}))
    yield from _of_metadata(body.get("metadata", {}).get("items", []))
    yield from _of_scheduling(body.get("scheduling", {}), accelerated=bool(body.get("guestAccelerators")))
    if len(body.get("serviceAccounts", [])) > 1:
        yield "Only one service account per VM is supported."
    for account in body.get("serviceAccounts", []):
        if not account.get("email") or not account.get("scopes"):
            yield "Invalid value for field 'resource.serviceAccounts': email and scopes are required"
    for tag in body.get("tags", {}).get("items", []):
        if not NAME.fullmatch(tag):
            yield f"Invalid value for field 'resource.tags.items': '{tag}'"


def _of_disks(disks: list[Json]) -> Iterator[str]:
    if sum(bool(disk.get("boot")) for disk in disks) != 1:
        yield "Invalid value for field 'resource.disks': exactly one boot disk is required."
    for disk in disks:
        told = disk.get("initializeParams", {})
        if not disk.get("source") and not told.get("sourceImage") and disk.get("boot"):
            yield "Invalid value for field 'resource.disks[0]': no image."
        if int(told.get("diskSizeGb", SIZE_OF_IMAGE)) < SIZE_OF_IMAGE:
            yield "Requested disk size cannot be smaller than the image size (10 GB)"


def _of_labels(labels: Json) -> Iterator[str]:
    if len(labels) > 64:
        yield "Labels: at most 64"
    for name, value in labels.items():
        if not LABEL.fullmatch(name) or not LABEL_VALUE.fullmatch(value):
            yield f"Invalid value for field 'resource.labels': '{name}={value}'"


def _of_metadata(items: list[Json]) -> Iterator[str]:
    names = [item.get("key", "") for item in items]
    if len(set(names)) != len(names):
        yield "Metadata has duplicate keys"
    if "gce-container-declaration" in names:
        yield "The container startup agent is gone: metadata gce-container-declaration is not allowed"
    for item in items:
        if not KEY.fullmatch(item.get("key", "")) or len(str(item.get("value", "")).encode()) > VALUE:
            yield f"Invalid value for field 'resource.metadata.items': '{item.get('key')}'"
    if sum(len(str(item.get("value", "")).encode()) for item in items) > ALL_VALUES:
        yield "Metadata is larger than 512 KB"


def _of_scheduling(told: Json, *, accelerated: bool) -> Iterator[str]:
    seconds = told.get("maxRunDuration", {}).get("seconds")
    if seconds is not None and not 30 <= int(seconds) <= 120 * DAY:
        yield f"Invalid value for field 'resource.scheduling.maxRunDuration': '{seconds}' (30 s to 120 days)"
    spot = told.get("provisioningModel") == "SPOT"
    if (
        told.get("instanceTerminationAction")
        and not spot
        and seconds is None
        and "terminationTime" not in told
    ):
        yield "instanceTerminationAction needs a Spot machine or a limited run time"
    if spot and (told.get("automaticRestart") is not False or told.get("onHostMaintenance") == "MIGRATE"):
        yield "Spot machines cannot be restarted or migrated: automaticRestart=false, onHostMaintenance=TERMINATE"
    if accelerated and told.get("onHostMaintenance") != "TERMINATE":
        yield "Instances with guest accelerators do not support live migration."


def machine_type(asked: Asked) -> Json:
    """Tell processors and memory of a predefined type."""
    name = asked.arguments["machineType"]
    found = re.fullmatch(r"([a-z]\d+)-(standard|highmem|highcpu|small|medium)-?(\d*)", name)
    if not found:
        raise Refusal(404, f"The resource 'machineTypes/{name}' was not found", "notFound")
    processors = int(found[3] or 2)
    memory = MEMORY.get(found[1], 4.0) * {"highmem": 2.0, "highcpu": 0.25}.get(found[2], 1.0)
    return {"name": name, "guestCpus": processors, "memoryMb": int(processors * memory * 1024)}


def page(asked: Asked, items: list[Json]) -> Json:
    """Give one page of a list, as many as were asked for."""
    size = int(asked.query.get("maxResults", "500"))
    start = int(asked.query.get("pageToken", "0"))
    told: Json = {"items": items[start : start + size]}
    if start + size < len(items):
        told["nextPageToken"] = str(start + size)
    return told
