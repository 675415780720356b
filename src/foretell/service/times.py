"""The durations of the run protocol, and what must hold between them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from foretell.service.declaration import Seconds, says

EXACT = 1e-6
"""Seconds: 6 x 0.2 is more than 1.2 to a computer, and not to us."""


class Times(Struct, frozen=True, kw_only=True):
    """
    Durations of the run protocol; see docs/protocol.md before changing any.

    Each side measures them by its own clock. They hold only together: `faults` names what a set breaks.
    """

    beat: Annotated[Seconds, says("Interval of an agent's heartbeat.")] = 10
    fence: Annotated[
        Seconds, says("How long an agent may be unable to reach the store before it ends its command.")
    ] = 300
    kill: Annotated[Seconds, says("Time between asking a command to end and killing it.")] = 15
    lease: Annotated[Seconds, says("Silence after which an attempt counts as lost.")] = 400
    stale: Annotated[Seconds, says("The same, if the platform does not find the machine.")] = 60
    boot: Annotated[Seconds, says("How long a machine may take until its agent starts.")] = 900
    poll: Annotated[Seconds, says("Interval of polling a quiet run on a remote platform.")] = 12
    deliver: Annotated[Seconds, says("How long a delivery is retried.")] = 900
    grace: Annotated[Seconds, says("Margin in the deadline of a machine.")] = 180

    def deadline(self, timeout: float) -> float:
        """Seconds after which a machine whose command may run for `timeout` is ended, whatever it is doing."""
        return self.boot + timeout + self.kill + self.deliver + self.grace

    def scaled(self, factor: float) -> Times:
        """All durations times one factor."""
        return Times(**{name: getattr(self, name) * factor for name in self.__struct_fields__})

    def faults(self) -> list[str]:
        """Return what is wrong with these durations, one sentence each; an empty list for a sound set."""
        least = {
            "stale must be at least 6 x beat, else a slow write looks like silence": (
                self.stale,
                6 * self.beat,
            ),
            "lease must be at least stale": (self.lease, self.stale),
            "fence must be at least 3 x beat, else one lost beat ends the command": (
                self.fence,
                3 * self.beat,
            ),
            "boot must be at least 3 x poll, else a machine is given up unseen": (self.boot, 3 * self.poll),
            "lease must be larger than 1.02 x (fence + beat / 5 + kill), else a command may outlive its loss": (
                self.lease / 1.02 - self.kill,
                self.fence + self.beat / 5 + EXACT,
            ),
        }
        found = [rule for rule, (given, least) in least.items() if given < least - EXACT / 2]
        if min(getattr(self, name) for name in self.__struct_fields__) <= 0:
            found.insert(0, "every duration must be positive")
        return found
