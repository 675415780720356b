"""
What a platform is.

A kind inherits from `Platform` and overrides what stands there with a body where it has more to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from foretell.google.inspection import Inspection
from foretell.protocol import steps
from foretell.protocol.assignment import NO_LOCK, Assignment
from foretell.protocol.records import Host, Launch, Request
from foretell.protocol.rules import MachineState, first
from foretell.service.model import Service, Target
from foretell.system.check import Check


class Fate(Struct, frozen=True, kw_only=True):
    """What a probe found. `cause` says why the machine is gone, where the platform knows."""

    life: MachineState
    cause: str = ""
    host: Host | None = None
    """What the platform saw, of a machine that ended without its agent's own word: the second witness."""


class Machine(Struct, frozen=True, kw_only=True):
    """A live machine of ours, as the platform lists it."""

    name: str
    store: str
    """Id of the store its records are in."""
    run: str
    """The run's folder in the store."""
    attempt: int
    age: float
    """Seconds since it was made, by the platform's clock."""


def assignment(
    request: Request, launch: Launch, *, store: str, home: str | Path, boot: str, lock: int = NO_LOCK
) -> Assignment:
    """Return what the agent of a launch is told, on a machine whose directory is `home`."""
    times = request.target.times
    return Assignment(
        store=store,
        folder=request.run.folder,
        number=launch.number,
        machine=launch.machine,
        home=Path(home),
        deadline=times.deadline(request.spec.timeout),
        kill_after=times.kill,
        boot=boot,
        lock=lock,
    )


class Platform(Protocol):
    """
    A place where attempts are executed. Holds settings, never runs.

    `store` is the store's URL. A machine is named by `launch.machine`.
    """

    certain: bool
    """Whether `probe` knows for certain and costs little: then waiters ask it in every round, and look often."""
    pauses: tuple[float, float]
    """The shortest and the longest seconds between two such looks, by what one costs."""

    def launch(self, request: Request, launch: Launch, *, store: str) -> None:
        """
        Ask for the machine of a recorded launch and return without waiting for it.

        Launching again what is there does nothing. Raises RefusedError when it is certain that nothing was started,
        PlatformError when it is not known.
        """
        ...

    def probe(self, launch: Launch) -> Fate:
        """Tell whether the machine is there. Never heard of is GONE, no error; PlatformError when nobody can tell."""
        ...

    def stop(self, launch: Launch) -> None:
        """End the machine and everything that runs on it. Stopping what is gone does nothing."""
        ...

    def alive(self, service: str) -> Sequence[Machine]:
        """List the live machines of a service, of every store."""
        ...

    def tidy(self, keep: Sequence[str], *, service: str = "", store: str = "") -> Sequence[str]:
        """
        Remove what dead machines left behind (directories, containers), those in `keep` excepted; give what went.

        `service` and `store` (its id) say whose machines they are, for a platform that others use too.
        """
        ...

    def plan(self, request: Request) -> Mapping[str, object]:
        """
        Return what would be started or asked for, for the first attempt (`planned`), by the code that launches.

        Nobody is asked and nothing is written. What only a start can know is shown as <…>.
        """
        ...

    def links(self, request: Request, launch: Launch | None) -> Mapping[str, str]:
        """
        Return the pages where a person looks at the machine of a launch, "machine", and at what was printed, "log".

        Nobody is asked. Without a launch, the log is that of the whole run.
        """
        del request, launch
        return {}

    def google_services(self, service: Service) -> Iterator[str]:
        """Return which services of Google's cloud must be enabled for it."""
        del service
        yield from ()

    def access(self, look: Inspection) -> Iterator[Check]:
        """Look whether whoever asks may have machines. Called where services of Google's are used, with credentials."""
        del look
        yield from ()

    def checks(self, service: Service, target: Target, look: Inspection | None) -> Iterator[Check]:
        """
        Look at what a run needs of it, for `foretell doctor`; nothing is started or changed, nothing is raised.

        `look` asks Google's services; None where the target uses none of them, or they cannot be asked.
        """
        del service, target, look
        yield from ()


NEW = "<new>"
"""Stands in a plan for what is made up at the start."""


def planned(request: Request, nonce: str = NEW) -> Launch:
    """Return the first launch of a run as it would be recorded."""
    return steps.launch(request, first(request), nonce=nonce, at=NEW)
