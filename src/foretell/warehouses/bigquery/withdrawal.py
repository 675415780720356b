"""A run taken out of what counts in BigQuery: its row of the ledger, and of an append its rows in the table."""

from __future__ import annotations

from collections.abc import Collection

from foretell.protocol.records import Receipt
from foretell.service.delivery import Delivery
from foretell.warehouses.base import NEVER, NOTHING, REMOVED, STANDS, Shipment, run_column, shared, unmarked
from foretell.warehouses.bigquery import scripts as script
from foretell.warehouses.bigquery import table as tables
from foretell.warehouses.bigquery.jobs import Jobs
from foretell.warehouses.bigquery.reading import ask
from foretell.warehouses.bigquery.table import Table

NEEDED = ("uid", "table", "scope", "owner", "mode", "date", "n", "run", "attempt")
"""The values of a delivery that its withdrawal needs too."""


def transaction(jobs: Jobs, table: Table, shipment: Shipment) -> tuple[str, str, dict[str, str | int]]:
    """Return the stem of a withdrawal's job's name, its script and its values."""
    delivery, columns = shipment.delivery, _columns(jobs, table)
    removes = delivery.mode == "append" and columns is not None
    remove = f"DELETE FROM {table.sql} WHERE `{run_column(delivery)}` = @id;" if removes else "-- rows stay"
    text = script.sql("withdraw", table, held=_held(table, delivery, columns), remove=remove)
    return f"foretell_withdraw_{shipment.uid}_{script.mark(table.key)}", text, _values(table, shipment)


def settled(receipt: Receipt) -> bool:
    """Whether a row of the ledger needs no withdrawal any more."""
    return receipt.state not in ("delivered", "superseded")


def held(jobs: Jobs, table: Table, shipment: Shipment) -> str:
    """Say why the rows of an append cannot be told from others; "" where they can, or nothing is to be removed."""
    delivery = shipment.delivery
    if delivery.mode != "append":
        return ""
    condition = _held(table, delivery, _columns(jobs, table))
    if run_column(delivery) is None or condition == "TRUE":
        return unmarked(delivery.table)
    if tables.find(jobs.client, script.lock_of(table)) is None:
        return ""
    values = _values(table, shipment)
    (row,) = ask(jobs, f"SELECT {condition} AS held", {name: values[name] for name in ("table", "uid", "id")})
    return shared(delivery.table, str(values["id"])) if row["held"] else ""


def _held(table: Table, delivery: Delivery, columns: Collection[str] | None) -> str:
    """Return the condition under which rows cannot be told from others."""
    if delivery.mode != "append" or columns is None:
        return "FALSE"
    column = run_column(delivery)
    if column is None or column.lower() not in columns:
        return "TRUE"
    return script.sql("held", table, target=table.sql, column=column).strip()


def _columns(jobs: Jobs, table: Table) -> set[str] | None:
    there = tables.find(jobs.client, table)
    return None if there is None else {field.name.lower() for field in there.schema}


def _values(table: Table, shipment: Shipment) -> dict[str, str | int]:
    delivered = script.values(table, shipment)
    said = {"never": NEVER, "nothing": NOTHING, "removed": REMOVED, "stands": STANDS}
    return {**{name: delivered[name] for name in NEEDED}, **said, "id": shipment.run.rpartition("/")[2]}
