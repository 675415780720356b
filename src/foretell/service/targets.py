"""The targets of a service: store, platform, warehouse, durations, and what follows from each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from foretell.errors import MissingKindError
from foretell.service import reader
from foretell.service.actions import NAME
from foretell.service.context import ResolveContext
from foretell.service.kinds import (
    PLATFORMS,
    WAREHOUSES,
    WORK,
    Defaults,
    Kinds,
    PlatformSettings,
    WarehouseSettings,
)
from foretell.service.layers import Table, merged
from foretell.service.model import Target
from foretell.service.positions import KeyPath
from foretell.service.problems import Faults, suggestion
from foretell.service.reader import Given
from foretell.service.times import Times

S = TypeVar("S", bound=PlatformSettings | WarehouseSettings)

BUILT_IN: Table = {
    "targets": {"local": {"platform": {"kind": "process"}}, "docker": {"platform": {"kind": "docker"}}}
}
"""What every service file extends in the end."""

SCHEMES = ("gs", "s3", "az", "abfs", "abfss", "file")
BEAT_OF_A_BUCKET = 1.0
"""Seconds; one object takes one write a second."""


def targets(site: ResolveContext) -> dict[str, Target]:
    """Resolve every target; what is wrong becomes faults, and such a target is left out."""
    usual, tables = site.service.target, site.given.get("targets", {})
    if usual is not None and usual not in tables:
        site.faults.add(("target",), f'unknown target "{usual}"{suggestion(usual, tables)}')
    resolved = {name: _target(name, given, site) for name, given in tables.items()}
    return {name: target for name, target in resolved.items() if target}


def _target(name: str, given: Given, site: ResolveContext) -> Target | None:
    path: KeyPath = ("targets", name)
    if not NAME.fullmatch(name):
        fault = f'bad target name "{name}"; use a-z, then a-z, 0-9, _ and -, at most 63 characters'
        site.faults.add(path, fault)
    asked = given.get("platform", {})
    kind = _kind(PLATFORMS, asked, "process", (*path, "platform"), site)
    times = _times(given.get("times", {}), (*path, "times"), site.faults)
    if kind is None:
        return None
    told = _told(PLATFORMS, kind, asked, (*path, "platform"), site)
    platform = _settings(kind, told, (*path, "platform"), site)
    overrides = _overrides(given.get("actions", {}), kind, told, path, site)
    store = _store(given.get("store"), kind.is_remote, (*path, "store"), site)
    _tell_quick_beats(store, times, (*path, "times"), site.faults)
    project = platform.google_project if platform else None
    warehouse = _warehouse(given.get("warehouse", {}), kind, project, (*path, "warehouse"), site)
    if platform is None or warehouse is None:
        return None
    return Target(
        name=name, store=store, platform=platform, warehouse=warehouse, actions=overrides, times=times
    )


def _kind(kinds: Kinds[S], told: Table, usual: str, path: KeyPath, site: ResolveContext) -> type[S] | None:
    name = told.get("kind", usual)
    try:
        if isinstance(name, str) and (kind := kinds.find(name)):
            return kind
    except MissingKindError as error:
        site.faults.add((*path, "kind"), f"{error.summary}; {error.hint}")
        return None
    mend = suggestion(str(name), kinds.names())
    site.faults.add((*path, "kind"), f'unknown kind of {path[-1]} "{name}"{mend}')
    return None


def _told(kinds: Kinds[S], kind: type[S], told: Table, path: KeyPath, site: ResolveContext) -> dict[str, Any]:
    """Read the settings of one kind; a key of another kind is told as such."""

    def elsewhere(key: str) -> str:
        others = [name for name, other in kinds.all().items() if key in reader.keys(other)]
        return f'; it belongs to kind = "{others[-1]}"' if others else ""

    rest = {key: value for key, value in told.items() if key != "kind"}
    return reader.fields(kind, rest, path, site.faults, also=elsewhere)


def _settings(
    kind: type[S],
    told: Mapping[str, object],
    path: KeyPath,
    site: ResolveContext,
    *,
    google_project: str | None = None,
) -> S | None:
    """Return the settings of one kind with what follows from the service and the platform filled in."""
    defaults = Defaults(service=site.service.name, google_project=google_project, path=site.path)
    values = kind.completed(told, defaults)
    lacking = [key for key in reader.required(kind) if key not in values]
    for key in lacking:
        site.faults.missing((*path, key), f'missing key "{key}"')
    if lacking:
        return None
    settings = kind(**values)
    for key, fault in settings.faults():
        if key in told:  # else it follows from something that has a fault of its own
            site.faults.add((*path, key), fault)
    return settings


def _overrides(
    actions: dict[str, Table],
    kind: type[PlatformSettings],
    values: dict[str, Any],
    path: KeyPath,
    site: ResolveContext,
) -> dict[str, PlatformSettings]:
    """Return the platform of the actions that have keys of their own, complete."""
    result = {}
    for action, told in actions.items():
        key = (*path, "actions", action)
        if action not in site.actions:
            site.faults.add(key, f'unknown action "{action}"{suggestion(action, site.actions)}')
        own = reader.fields(kind, told, key, site.faults)
        platform = _settings(kind, merged([own, values]), (*path, "platform"), site)
        if platform:
            result[action] = platform
    return result


def _store(told: str | None, remote: bool, key: KeyPath, site: ResolveContext) -> str:
    """Return the store's URL; a path becomes one of a directory."""
    if told is None and remote:
        site.faults.missing(
            key, 'missing key "store": a remote machine needs a bucket: gs://…, s3://…, az://…'
        )
    scheme, mark, rest = (told or "").partition("://")
    if told is not None and not (rest if mark else scheme).strip("/. \0"):
        site.faults.add(key, f'"store" is not a path or URL: "{told}"')
    elif mark and scheme not in SCHEMES:
        site.faults.add(key, f'unknown store "{scheme}://"{suggestion(scheme, SCHEMES)}')
    elif scheme == "file" and mark and not rest.startswith("/"):
        site.faults.add(key, f'"store" needs three slashes to name a directory: "file:///{rest}"')
    elif told is not None and remote and (not mark or scheme == "file"):
        site.faults.add(
            key, f'"store" is the directory "{told}", which a remote machine cannot see; use a bucket'
        )
    if mark:
        return told.rstrip("/") if told else ""
    return Path(site.path(told or f"{WORK}/store")).as_uri()


def _warehouse(
    told: Table,
    platform: type[PlatformSettings],
    project: str | None,
    path: KeyPath,
    site: ResolveContext,
) -> WarehouseSettings | None:
    kind = _kind(WAREHOUSES, told, platform.usual_warehouse, path, site)
    if kind is None:
        return None
    values = _told(WAREHOUSES, kind, told, path, site)
    settings = _settings(kind, values, path, site, google_project=project)
    if settings and settings.file and platform.is_remote:
        fault = f'a remote machine cannot see a {settings.kind} file; write kind = "bigquery"'
        site.faults.add((*path, "kind"), fault)
    return settings


def _times(given: Given, path: KeyPath, faults: Faults) -> Times:
    times = Times(**given)
    for fault in [] if faults.within(path) else times.faults():
        faults.add((*path, ""), fault)
    return times


def _tell_quick_beats(store: str, times: Times, path: KeyPath, faults: Faults) -> None:
    if not store.startswith("file:") and times.beat < BEAT_OF_A_BUCKET:
        faults.add(
            (*path, "beat"), "beat must be at least 1s: a bucket takes one write a second to one object"
        )
