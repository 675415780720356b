"""How often an attempt may still be replaced."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from foretell.protocol.records import Fault, Launch, Reason

NO_REASON: Reason = ""


class Budgets(Struct, frozen=True, kw_only=True):
    """What is left of each budget, by the names that a launch's record has: see there."""

    failures_left: int
    losses_left: int
    growths_left: int = 0
    spots_left: int = 0

    @classmethod
    def of(cls, launch: Launch) -> Budgets:
        """Return what was left for the replacement of a launch."""
        return msgspec.convert(launch, cls, from_attributes=True)

    def spent(self, fault: Fault, reason: Reason = NO_REASON) -> Budgets | None:
        """
        Return what a fault leaves; None where there was nothing left for it.

        Each has a budget of its own: out of memory the larger machines, preemption the Spot ones, then losses and
        failures.
        """
        for name, pays in (
            ("growths_left", reason == "out of memory"),
            ("spots_left", reason == "preempted"),
            ("losses_left", fault == "lost"),
            ("failures_left", fault != "lost"),
        ):
            if pays and (left := getattr(self, name)):
                return replace(self, **{name: left - 1})
        return None
