"""What one look of the doctor found."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

from foretell.errors import ForetellError


class Check(Struct, frozen=True, kw_only=True):
    """One thing looked at. `fix` is the next step, a command where there is one; empty where nothing needs mending."""

    name: str
    state: Literal["ok", "warning", "missing"]
    detail: str
    fix: str = ""


def ok(name: str, detail: str) -> Check:
    """Say that it is as it must be."""
    return Check(name=name, state="ok", detail=detail)


def warning(name: str, detail: str, fix: str) -> Check:
    """Say that runs may go well all the same."""
    return Check(name=name, state="warning", detail=detail, fix=fix)


def missing(name: str, detail: str, fix: str) -> Check:
    """Say that no run goes well before it is mended."""
    return Check(name=name, state="missing", detail=detail, fix=fix)


def failed(name: str, error: ForetellError) -> Check:
    """Say what an error said."""
    return missing(name, error.summary, error.hint or "see above")


def not_writable(directory: Path) -> OSError | None:
    """Try to write into a directory, or into the nearest above it that is there, where it would be made."""
    from tempfile import NamedTemporaryFile

    try:
        with NamedTemporaryFile(dir=nearest(directory), prefix=".doctor-"):
            return None
    except OSError as error:
        return error


def nearest(directory: Path) -> Path:
    """Return the directory, or the nearest above that exists."""
    return next(place for place in (directory, *directory.parents) if place.exists())
