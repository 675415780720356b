"""Shipments as an agent makes them, for the suite of warehouses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import msgspec

from foretell.service.delivery import Column, Delivery
from foretell.warehouses.base import Shipment, Warehouse

MINE, OTHER = "store-1/churn/application", "store-1/value/application"
DAYS = [f"2026-11-{day:02d}" for day in range(1, 31)]


def column(name: str, kind: str = "STRING", **more: str) -> Column:
    """Return a column as it is declared."""
    return msgspec.convert({"name": name, "type": kind, "source": name, **more}, Column)


ID, LABEL, DAY = column("id"), column("label", "BOOL"), column("day", "DATE", source="@date")
REPLACE = Delivery(file="p.csv", table="predictions", columns=(ID, LABEL))
APPEND = Delivery(file="p.csv", table="predictions", columns=(ID, LABEL), mode="append")
PARTITION = Delivery(
    file="p.csv", table="predictions", columns=(ID, LABEL, DAY), mode="partition", partition="day"
)


class Shipper:
    """Makes shipments as the agent does: checked Parquet files, and what is known of the run."""

    def __init__(self, directory: Path, texts: frozenset[str] = frozenset()) -> None:
        self.directory = directory
        self.texts = texts

    def __call__(
        self,
        uid: str,
        *ids: str,
        day: str = DAYS[0],
        n: int = 1,
        delivery: Delivery = REPLACE,
        **more: Any,
    ) -> Shipment:
        extra = f", DATE '{day}' AS day" if delivery.partition else ""
        values = ", ".join(f"('{each}')" for each in ids) or "(NULL::VARCHAR)"
        where = "" if ids else " WHERE false"
        select = more.pop("select", f"SELECT id, true AS label{extra} FROM (VALUES {values}) AS v(id){where}")
        as_text = [
            f"CAST({each.name} AS VARCHAR) AS {each.name}"
            for each in delivery.columns
            if each.type in self.texts
        ]
        if as_text:
            select = f"SELECT * REPLACE ({', '.join(as_text)}) FROM ({select})"
        file = self.directory / f"{uid}-{n}.parquet"
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
            ((rows,),) = connection.execute(f"SELECT count(*) FROM '{file}'").fetchall()
        known: dict[str, Any] = {
            "uid": uid,
            "owner": MINE,
            "run": f"run-{uid}",
            "attempt": 1,
            "date": f"{day}T06:00:00.000+00:00",
            "n": n,
            "delivery": delivery,
            "partition": day if delivery.partition else None,
            "files": (file,),
            "rows": rows,
        }
        return Shipment(**(known | more))


def ids(warehouse: Warehouse, table: str = "predictions") -> list[Any]:
    """Return the ids that stand in a table, sorted."""
    rows = warehouse.query(table, limit=None)
    assert rows.total == len(rows.rows)
    return sorted(row[rows.columns.index("id")] for row in rows.rows)


RUN = column("run", source="@run")
MARKED = Delivery(file="p.csv", table="predictions", columns=(ID, LABEL, RUN), mode="append")


def marked(ship: Shipper, uid: str, *ids: str, run_id: str = "", **more: Any) -> Shipment:
    """Return an append whose rows say which run they are of."""
    run_id = run_id or f"2026-{uid}"
    values = ", ".join(f"('{each}')" for each in ids)
    select = f"SELECT id, true AS label, '{run_id}' AS run FROM (VALUES {values}) AS v(id)"
    return ship(uid, select=select, delivery=MARKED, run=f"application/{run_id}", **more)
