"""The predictions of a run: checked against what was declared, and shipped to the warehouse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from foretell import warehouses
from foretell.delivery import columns, formats, validate
from foretell.delivery.files import Connection
from foretell.errors import DeliveryRejectedError, UsageError
from foretell.protocol.keys import run_of
from foretell.protocol.records import Outcome, Receipt, Request
from foretell.store.contents import Contents
from foretell.warehouses.base import shipment


def check(
    request: Request, output: Contents, *, into: Path, desk: Connection
) -> tuple[tuple[Path, ...], int]:
    """
    Check the model's files and write them as Parquet; give the files and their number of rows.

    DeliveryRejectedError says with which `columns` they would be accepted.
    """
    if request.spec.delivery is None:
        raise UsageError(f'the action "{request.action}" declares no delivery')
    for file in formats.find(request.spec.delivery.file, output.directory):
        if why := output.why_not(file.name):
            raise DeliveryRejectedError(
                f'"{file.name}" cannot be delivered',
                why=why,
                hint="write the predictions into the output directory",
            )
    date = datetime.fromisoformat(request.date).astimezone(ZoneInfo(request.timezone))
    model = run_of(request.inputs[0].run).id if request.inputs else None
    try:
        checked = validate.check(
            request.spec.delivery,
            output.directory,
            into,
            date=date.isoformat(),
            run=request.run.id,
            model=model,
            partition=request.partition,
            connection=desk,
            texts=warehouses.texts(request.target.warehouse),
        )
    except DeliveryRejectedError as error:
        error.columns = columns.mending(request.spec.delivery, output.directory, into)
        raise
    return checked.files, checked.rows


def ship(
    request: Request,
    outcome: Outcome,
    files: tuple[Path, ...],
    uris: tuple[str, ...],
    *,
    waits: Callable[[str], None],
) -> Receipt:
    """Deliver checked files, which are in the store too; WarehouseError where nothing is known about it."""
    warehouse = request.target.warehouse
    there = uris if warehouses.reads(warehouse, request.target.store) else ()
    return warehouses.connect(warehouse, waits).deliver(shipment(request, outcome, files, there))


def revoke(request: Request, outcome: Outcome) -> Receipt:
    """Have the warehouse know that a run was withdrawn before it was delivered."""
    return warehouses.connect(request.target.warehouse).withdraw(shipment(request, outcome))
