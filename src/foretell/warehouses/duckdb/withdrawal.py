"""A run taken out of what counts in a DuckDB file: its row of the ledger, and of an append its rows in the table."""

from __future__ import annotations

from typing import TypeAlias

from foretell.delivery.sql import duckdb, identifier
from foretell.warehouses.base import NOTHING, REMOVED, STANDS, Shipment, run_column, shared, unmarked
from foretell.warehouses.duckdb.table import LAID, Table, columns

Connection: TypeAlias = duckdb.DuckDBPyConnection

ALIKE = f"""
    SELECT count(*) FROM foretell.ledger
    WHERE "table" = $1 AND uid <> $2 AND {LAID} AND ends_with(run, '/' || $3)"""


def held(connection: Connection, shipment: Shipment, table: Table) -> str:
    """Say why the rows of an append cannot be told from others; "" where they can, or nothing is to be removed."""
    delivery = shipment.delivery
    if delivery.mode != "append":
        return ""
    column = run_column(delivery)
    if column is None:
        return unmarked(delivery.table)
    there = _columns(connection, table)
    if there is None:
        return ""
    if column.lower() not in there:
        return unmarked(delivery.table)
    run_id = _id(shipment)
    ((alike,),) = connection.execute(ALIKE, [table.key, shipment.uid, run_id]).fetchall()
    ((here,),) = connection.execute(
        f"SELECT count(*) FROM {table.sql} WHERE {identifier(column)} = ?", [run_id]
    ).fetchall()
    own = connection.execute("SELECT rows FROM foretell.ledger WHERE uid = ?", [shipment.uid]).fetchone()
    return shared(delivery.table, run_id) if alike or here > (own[0] if own else 0) else ""


def withdraw(connection: Connection, shipment: Shipment, table: Table, state: str) -> None:
    """Change the ledger's row of a run that was delivered or superseded, inside of the caller's transaction."""
    column = run_column(shipment.delivery)
    appended = shipment.delivery.mode == "append"
    if appended and column and _columns(connection, table) is not None:
        connection.execute(f"DELETE FROM {table.sql} WHERE {identifier(column)} = ?", [_id(shipment)])
    stands = state == "delivered" and not appended
    change = """
        UPDATE foretell.ledger SET state = 'withdrawn', cause = $1,
            rows = CASE WHEN $2 THEN rows ELSE 0 END, turn = CASE WHEN $2 THEN turn ELSE 0 END
        WHERE uid = $3"""
    cause = STANDS if stands else REMOVED if state == "delivered" else NOTHING
    connection.execute(change, [cause, stands, shipment.uid])


def _columns(connection: Connection, table: Table) -> set[str] | None:
    """Return the names of the table's columns, None where the table was dropped."""
    query = "SELECT count(*) FROM duckdb_tables() WHERE lower(schema_name || '.' || table_name) = ?"
    ((there,),) = connection.execute(query, [table.key]).fetchall()
    return {name.lower() for name in columns(connection, table)} if there else None


def _id(shipment: Shipment) -> str:
    return shipment.run.rpartition("/")[2]
