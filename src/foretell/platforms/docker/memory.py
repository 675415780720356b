"""
Which images without a registry the engines of this machine have run.

Such an image was never pushed: where it was run before and is not there any more, it is gone; anywhere else its
absence says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from foretell.system import paths
from foretell.system.container_engine import Engine

MOST = 200
"""Images that are remembered of an engine."""


def is_unpushed(image: str) -> bool:
    """Whether an image is named by what its engine alone knows it by."""
    return image.startswith("sha256:")


def remember(image: str, engine: Engine, environ: Mapping[str, str]) -> None:
    """Note that an engine has run an unpushed image; where nothing can be noted, later nothing is concluded."""
    note = _note(image, engine, environ)
    if not is_unpushed(image) or note.exists():
        return
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
        for old in sorted(note.parent.iterdir(), key=lambda one: one.stat().st_mtime)[:-MOST]:
            old.unlink(missing_ok=True)


def has_run(image: str, engine: Engine, environ: Mapping[str, str]) -> bool:
    """Whether an engine of this machine is known to have run an image."""
    return _note(image, engine, environ).exists()


def _note(image: str, engine: Engine, environ: Mapping[str, str]) -> Path:
    """Name the machine as well: a user's cache may be shared by several."""
    engines = paths.cache(environ) / "engines" / os.uname().nodename / Path(engine.program).name
    return engines / image.replace(":", "-").replace("/", "-")
