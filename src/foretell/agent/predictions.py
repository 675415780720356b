"""The predictions of a run, checked against what was declared."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from foretell.delivery import columns, formats, validate
from foretell.delivery.files import Connection
from foretell.errors import DeliveryRejectedError, UsageError
from foretell.protocol.keys import run_of
from foretell.protocol.records import Request
from foretell.store.contents import Contents


def check(
    request: Request, output: Contents, *, into: Path, desk: Connection
) -> tuple[tuple[Path, ...], int]:
    """
    Check the model's files and write them as Parquet; give the files and their number of rows.

    DeliveryRejectedError says with which `columns` they would be accepted.
    """
    if request.spec.delivery is None:
        raise UsageError(f'the action "{request.action}" has no delivery')
    for file in formats.find(request.spec.delivery.file, output.directory):
        if why := output.why_not(file.name):
            raise DeliveryRejectedError(
                f'"{file.name}" cannot be delivered',
                why=why,
                hint="write the predictions to the output directory",
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
            texts=request.target.warehouse.text_types,
        )
    except DeliveryRejectedError as error:
        error.columns = columns.mending(request.spec.delivery, output.directory, into)
        raise
    return checked.files, checked.rows
