"""A produced run's rows brought to the warehouse, or taken back from it, by who is not the run's agent."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from foretell import warehouses
from foretell.errors import UsageError
from foretell.protocol.effects import Revoke, Ship
from foretell.protocol.records import Outcome, Receipt, Request
from foretell.store import Store, artifacts
from foretell.warehouses.base import Warehouse, shipment


def settle(store: Store, wish: Ship | Revoke, waits: Callable[[str], None]) -> Receipt:
    """Have the warehouse's ledger say what becomes of a run's rows; `waits` is told what that waits for."""
    warehouse = warehouses.connect(wish.request.target.warehouse, waits)
    if isinstance(wish, Ship):
        return _ship(store, warehouse, *wish)
    store.sync(wish.request.run.withdrawn)
    return warehouse.withdraw(shipment(*wish))


def _ship(store: Store, warehouse: Warehouse, request: Request, outcome: Outcome) -> Receipt:
    """Fetch the checked rows and hand them to the warehouse."""
    if outcome.attempt is None or outcome.manifest is None:
        raise AssertionError(outcome)
    run = request.run
    store.sync(run.outcome)
    manifest = artifacts.manifest(store, run.attempt(outcome.attempt), outcome.manifest)
    if warehouses.reads(request.target.warehouse, store.url):
        return warehouse.deliver(shipment(request, outcome, uris=manifest.addresses(store.url)))
    with tempfile.TemporaryDirectory(prefix="foretell-") as aside:
        files = tuple(Path(aside, file.path) for file in manifest.delivery)
        artifacts.load(store, manifest.delivery, Path(aside))
        return warehouse.deliver(shipment(request, outcome, files))


def must_be_removable(request: Request, outcome: Outcome) -> None:
    """Refuse to withdraw an append whose rows could not be told from others: they would stand there for ever."""
    if request.spec.delivery is None or request.spec.delivery.mode != "append":
        return
    why = warehouses.connect(request.target.warehouse).held(shipment(request, outcome))
    if why:
        raise UsageError(
            f'the rows of "{request.run.label}" cannot be removed, so it is not withdrawn',
            why=why,
            hint='deliver with a column of `from = "@run"` from now on, or with mode = "partition";'
            " what is in the table can only be deleted by hand",
        )
