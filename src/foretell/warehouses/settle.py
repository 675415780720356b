"""What becomes of a produced run's rows: delivered or taken back, by the run's own agent or by anyone else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from foretell import warehouses
from foretell.errors import UsageError
from foretell.protocol.effects import Revoke, Ship
from foretell.protocol.records import Outcome, Receipt, Request
from foretell.store import Store, artifacts
from foretell.warehouses.base import shipment


def settle(store: Store, wish: Ship | Revoke, waits: Callable[[str], None]) -> Receipt:
    """Have the warehouse's ledger say what becomes of a run's rows, by who has none of them."""
    act = deliver if isinstance(wish, Ship) else withdraw
    return act(store, *wish, waits=waits)


def deliver(
    store: Store,
    request: Request,
    outcome: Outcome,
    *,
    files: Sequence[Path] = (),
    waits: Callable[[str], None],
) -> Receipt:
    """
    Hand the checked rows to the warehouse, which reads them in the store where it can.

    Else they are `files`, or are fetched where whoever delivers has none of them. `waits` is told what it waits for.
    WarehouseError where nothing is known about the delivery afterwards.
    """
    if outcome.attempt is None or outcome.manifest is None:
        raise AssertionError(outcome)
    warehouse = warehouses.connect(request.target.warehouse, waits)
    reads = request.target.warehouse.reads_store(store.url)
    if files and not reads:
        return warehouse.deliver(shipment(request, outcome, tuple(files)))
    run = request.run
    store.sync(run.outcome)
    manifest = artifacts.manifest(store, run.attempt(outcome.attempt), outcome.manifest)
    if reads:
        return warehouse.deliver(shipment(request, outcome, uris=manifest.addresses(store.url)))
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="foretell-") as aside:
        artifacts.load(store, manifest.delivery, Path(aside))
        fetched = tuple(Path(aside, file.path) for file in manifest.delivery)
        return warehouse.deliver(shipment(request, outcome, fetched))


def withdraw(store: Store, request: Request, outcome: Outcome, *, waits: Callable[[str], None]) -> Receipt:
    """Have the warehouse's ledger say that the run was taken back."""
    store.sync(request.run.withdrawn)
    warehouse = warehouses.connect(request.target.warehouse, waits)
    return warehouse.withdraw(shipment(request, outcome))


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
