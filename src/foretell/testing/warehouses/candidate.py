"""The warehouse that the suite is tried on."""

from __future__ import annotations

from msgspec import Struct

from foretell.service.kinds import WarehouseSettings


class Candidate(Struct, frozen=True, kw_only=True):
    """A warehouse in which nothing was delivered yet, by its settings, and what kinds may differ in."""

    settings: WarehouseSettings
    ordered: bool = False
    """Whether its tables keep an order, so that a query shows the newest delivery first."""
    folds_case: bool = False
    """Whether case does not tell names apart."""
    threads: int = 8
    """How many runs are delivered at once; fewer where each takes seconds."""
