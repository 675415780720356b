"""
Google's services for a test: Compute Engine, Cloud Logging, Secret Manager and what `doctor` asks, with credentials.

`python -m tests.standins.google.cloud` starts them for work by hand, prints what a shell must export, and ends with its input.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.standins.google import metadata, standin
from tests.standins.google.compute import Compute
from tests.standins.google.metadata import Metadata, Server
from tests.standins.google.services import Services
from tests.standins.google.standin import StandIn

PROJECT = "example-project"


class Cloud:
    """One project. `stand_in` has the log and the misbehaviours, `compute` and `services` what they keep."""

    def __init__(self, stand_in: StandIn, compute: Compute, services: Services, launcher: Server) -> None:
        self.stand_in = stand_in
        self.compute = compute
        self.services = services
        self.launcher = launcher

    @property
    def environ(self) -> dict[str, str]:
        """What a program of the launcher's needs: where the services are, and who it is."""
        return {**self.stand_in.environ, **self.launcher.environ, "NO_GCE_CHECK": "false"}

    def clear(self) -> None:
        self.compute.clear()
        self.stand_in.clear()
        self.services.__init__()  # type: ignore[misc]


@contextmanager
def started() -> Iterator[Cloud]:
    compute, services = Compute(), Services()
    with standin.running(compute.plays, services.plays) as stand_in:
        who = Metadata(lambda: stand_in.token("launcher"), project=PROJECT)
        with metadata.running(who) as launcher:
            yield Cloud(stand_in, compute, services, launcher)


if __name__ == "__main__":
    with started() as cloud:
        print(*(f"export {name}='{value}'" for name, value in cloud.environ.items()), sep="\n", flush=True)
        sys.stdin.read()
