"""Start, wait, check, run as functions: Foretell for who writes Python."""

from __future__ import annotations

from foretell.controller.controller import connect
from foretell.controller.resolve import StartOptions
from foretell.controller.survey import acknowledge
from foretell.protocol.keys import Run
from foretell.protocol.rules import State
from foretell.service.model import Service


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
