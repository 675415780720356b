"""foretell.toml -> Service: layers merged, built once, every fault at once, with its line and its mend."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from msgspec.structs import replace

from foretell.errors import ServiceFileError
from foretell.service import reader
from foretell.service.actions import actions
from foretell.service.context import ResolveContext
from foretell.service.deliveries import one_table_each
from foretell.service.discovery import apart, inside, source
from foretell.service.form import schema
from foretell.service.layers import Layer, Table, layers, merged
from foretell.service.model import Action, Image, Service, Target
from foretell.service.problems import Faults, suggestion
from foretell.service.targets import BUILT_IN, targets

__all__ = ["FILE", "find", "load", "schema"]

FILE = "foretell.toml"
TABLES = frozenset({"source", "actions", "image", "targets"})
"""What of a service is resolved by itself."""
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
VERSION = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
PLACELESS = frozenset({"localtime", "posixrules", "Factory"})
"""Files among the time zones that name no place: each machine has its own there, or none."""
COPIES = ("posix/", "right/")
"""Folders in which some machines have all time zones again, without and with leap seconds."""


def find(start: Path) -> Path:
    """Return the service file of a directory, or of the nearest above it; ServiceFileError if there is none."""
    start = start.absolute()
    for directory in (start, *start.parents):
        if (directory / FILE).is_file():
            return directory / FILE
    raise ServiceFileError(
        f'no "{FILE}" here or in a parent directory',
        where=str(start),
        hint='change to the directory of a service, or create one with "foretell init"',
    )


def load(path: str | Path = FILE, *, environ: Mapping[str, str] = os.environ) -> Service:
    """
    Return the service that a file describes; `path` is the file or its directory.

    Raises ServiceFileError, and nothing else whatever the file holds, with every fault that was found.
    `environ` tells what "~" stands for (HOME).
    """
    found = layers(_file(Path(path)))
    try:
        return _service(found, home=environ.get("HOME"))
    except RecursionError:
        fault = f"{found[0].shown}:1: nested too deeply to be read"
        raise ServiceFileError("the service file cannot be read", faults=(fault,), where=str(path)) from None


def _file(path: Path) -> Path:
    # The directory is resolved, not the file: what stands beside the target of a link is not the service.
    path = path / FILE if path.name != FILE and path.is_dir() else path
    return Path(os.path.realpath(path.parent), path.name)


def _service(found: tuple[Layer, ...], *, home: str | None) -> Service:
    root = found[0].path.parent
    table = merged([*(layer.table for layer in found), BUILT_IN])
    faults = Faults(found, table)
    given = reader.fields(Service, table, (), faults, also=_misplaced(table))
    head = {key: value for key, value in given.items() if key not in TABLES}
    site = ResolveContext(given, Service(**{"name": "", **head}, root=root), home, faults)
    _tell_bad_words(site)
    code = source(site)
    places = targets(site)
    service = replace(
        site.service,
        source=code,
        env_file=_env_file(site, places),
        actions=actions(site, code),
        image=_image(given, faults),
        targets=places,
    )
    apart(code, service.actions.values(), faults)
    one_table_each(service.actions, service.targets, faults)
    faults.unless()
    return service


def _misplaced(table: Table) -> Callable[[str], str]:
    """Say of a key where it belongs, if it is an action by its keys but stands at the top."""

    def say(key: str) -> str:
        value = table[key]
        is_action = isinstance(value, dict) and not value.keys().isdisjoint(reader.keys(Action))
        return f"; did you mean [actions.{key}]?" if is_action else ""

    return say


def _tell_bad_words(site: ResolveContext) -> None:
    faults, name = site.faults, site.service.name
    version, timezone = site.service.version, site.service.timezone
    if "name" not in site.given:
        faults.missing(("name",), 'missing key "name": write name = "example-prediction"')
    elif not NAME.fullmatch(name):
        faults.add(("name",), f'bad name "{name}"; use a-z, then a-z, 0-9 and -, at most 63 characters')
    if not VERSION.fullmatch(version):
        fault = f'bad version "{version}"; use a-z and 0-9, then a-z, 0-9, . and -, at most 63 characters'
        faults.add(("version",), fault)
    if timezone in PLACELESS or timezone.startswith(COPIES):
        fault = (
            f'the time zone "{timezone}" is not the same on every machine; write for example Europe/Stockholm'
        )
        faults.add(("timezone",), fault)
        return
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        # Which of the three depends on what the name looks like as a path.
        known = [name for name in available_timezones() if "/" in name]
        likely = suggestion(timezone, known).partition("; known")[0]
        faults.add(
            ("timezone",), f'unknown time zone "{timezone}"{likely or "; write for example Europe/Stockholm"}'
        )


def _env_file(site: ResolveContext, targets: Mapping[str, Target]) -> str | None:
    """Resolve the path of the env file; a fault where an attempt may be on a machine that does not see it."""
    told, key = site.service.env_file, ("env_file",)
    if told is None:
        return None
    if not told.strip() or "\0" in told:
        site.faults.add(key, '"env_file" names no file; write for example env_file = ".env"')
    for target in targets.values():
        if target.platform.is_remote:
            fault = (
                f'"env_file" is read on this machine, but the machines of target "{target.name}" are remote'
            )
            site.faults.add(key, f"{fault}; use [actions.X.secrets] instead")
    return site.path(told)


def _image(given: reader.Given, faults: Faults) -> Image:
    image = Image(**given.get("image", {}))
    if image.dockerfile is not None:
        inside(image.dockerfile, ("image", "dockerfile"), faults)
    return image
