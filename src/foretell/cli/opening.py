"""From arguments to the service and the target that a verb is about."""

from __future__ import annotations

import os
import shlex
from argparse import Namespace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from foretell.controller.controller import Controller, connect
from foretell.errors import UsageError
from foretell.service import load
from foretell.service.model import Service

USUAL_TARGET = "local"


def service_file(args: Namespace) -> Path:
    """Return the service file: the one that is named, else the nearest here or above."""
    return Path(args.file) if args.file else load.find(here())


def service(args: Namespace) -> Service:
    """Read the service at hand."""
    return load.load(service_file(args), environ=os.environ)


def target_name(args: Namespace, usual: str | None = None) -> str:
    """Return the target's name: as told, else FORETELL_TARGET, else the usual one."""
    told: str | None = args.on
    return told or os.environ.get("FORETELL_TARGET") or usual or USUAL_TARGET


def controller(args: Namespace, *, scheduled: bool = False) -> Controller:
    """Open the target that a verb is about; what is `scheduled` takes the service's own by default."""
    found = service(args)
    return connect(found, target_name(args, found.target if scheduled else None))


def here() -> Path:
    """Return the current directory; UsageError where it has been removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(
            "the current directory no longer exists", hint="change to another directory"
        ) from error


def aware(date: datetime, service: Service) -> datetime:
    """Return a date its offset: the one it has, else that of the service's time zone."""
    return date if date.tzinfo else date.replace(tzinfo=ZoneInfo(service.timezone))


def again(args: Namespace, command: str) -> str:
    """Return a command for the same service and target as this one's."""
    on = f" --on {shlex.quote(args.on)}" if args.on else ""
    file = f" --file {shlex.quote(args.file)}" if args.file else ""
    return f"foretell {command}{on}{file}"
