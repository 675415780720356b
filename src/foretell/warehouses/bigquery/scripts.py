"""The SQL that changes something, filled in: the *.sql beside this file with names, and the values beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter

from foretell.protocol import scope
from foretell.service.delivery import Delivery
from foretell.warehouses.base import Shipment, appended, belongs, newer
from foretell.warehouses.bigquery import table as tables
from foretell.warehouses.bigquery.errors import CHANGED
from foretell.warehouses.bigquery.table import Table

SCRIPTS = Path(__file__).parent
LEDGER = "foretell_ledger"
LOCK = "foretell_lock_"
LAID = "(state = 'delivered' OR (state = 'withdrawn' AND turn > 0))"
"""Of the ledger: runs whose rows were put into the table. A withdrawn one keeps the turn in which they were, else 0."""
TYPES = {str: "STRING", int: "INT64"}


def ledger_of(table: Table) -> Table:
    """Return the ledger of a table: one for its dataset."""
    return table.beside(LEDGER)


def lock_of(table: Table) -> Table:
    """Return the lock of a table: a table of its own, for BigQuery lets one transaction at a time change a table."""
    return table.beside(LOCK + table.name)


def sql(name: str, table: Table, **parts: str) -> str:
    """Fill in a resource for a table."""
    beside = {"ledger": ledger_of(table).sql, "lock": lock_of(table).sql, "name": table.name, "laid": LAID}
    return (SCRIPTS / f"{name}.sql").read_text().format(**beside, **parts)


def peek(table: Table, receipt: str) -> str:
    """Return the query that looks before anything is done."""
    return sql("peek", table, verdict=sql("verdict", table), receipt=receipt)


def deliver(table: Table, put: str = "") -> str:
    """Return the one transaction. Without anything to put, it is for a verdict that was known before."""
    put = put or f"    RAISE USING MESSAGE = '{CHANGED}the table is free by now';"
    return sql("deliver", table, verdict=sql("verdict", table), put=put)


def put(table: Table, delivery: Delivery, staging: Sequence[Table]) -> str:
    """Return the part of the transaction that changes the table."""
    return sql(
        "put",
        table,
        clear=tables.clear(table, delivery),
        insert=tables.insert(table, delivery, staging) if staging else "-- there are no rows",
        inserted="@@row_count" if staging else "0",
    )


def values(table: Table, shipment: Shipment, *, rejected: str = "") -> dict[str, str | int]:
    """Return the parameters of verdict and delivery. What is said with a name in it has {} in its place."""
    said = shipment.delivery.table
    return {
        "uid": shipment.uid,
        "table": table.key,
        "scope": scope.scope(table.key, shipment.partition),
        "partition": shipment.partition or "",
        "owner": shipment.owner,
        "mode": shipment.delivery.mode,
        "date": shipment.date,
        "n": shipment.n,
        "rows": shipment.rows,
        "run": shipment.run,
        "attempt": shipment.attempt,
        "rejected": rejected,
        "belongs": belongs(said, "{}"),
        "appended": appended("{}"),
        "newer": newer("{}"),
    }


def parameters(given: Mapping[str, str | int]) -> QueryJobConfig:
    """Return values as a query takes them."""
    return QueryJobConfig(
        query_parameters=[
            ScalarQueryParameter(name, TYPES[type(value)], value) for name, value in given.items()
        ]
    )


def mark(text: str) -> str:
    """Return a short name for a long one, as a part of a job's."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
