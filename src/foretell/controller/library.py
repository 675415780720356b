"""Load, start, wait, check, run as functions: Foretell for who writes Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from foretell.controller.controller import connect
from foretell.controller.resolve import StartOptions
from foretell.controller.survey import acknowledge
from foretell.protocol.keys import Run
from foretell.protocol.rules import State
from foretell.service import load as service_file
from foretell.service.model import Service


def load(path: str | Path = service_file.FILE, *, environ: Mapping[str, str] = os.environ) -> Service:
    """Read a service file, or that of a directory; ServiceFileError lists everything that is wrong with it."""
    return service_file.load(path, environ=environ)


def start(service: Service, action: str, *, on: str = "local", asked: StartOptions | None = None) -> Run:
    """Ask for a run on a target and return at once; see `Controller.start`."""
    return connect(service, on).start(action, asked)


def wait(service: Service, run: Run, *, on: str = "local", patience: float | None = None) -> State:
    """Wait until a run has ended and return how; see `Controller.wait`. Then `tick` does not tell it any more."""
    controller = connect(service, on)
    state = controller.wait(run, patience=patience)
    acknowledge(controller, run, "wait")
    return state


def check(service: Service, run: Run, *, on: str = "local") -> State:
    """Return where a run stands."""
    return connect(service, on).check(run)


def run(service: Service, action: str, *, on: str = "local", asked: StartOptions | None = None) -> State:
    """Start, wait, and return how it ended."""
    return wait(service, start(service, action, on=on, asked=asked), on=on)
