"""A table of a DuckDB file: its shape, what a delivery changes in it, and its rows as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from foretell.delivery.sql import duckdb, identifier, literal, paths
from foretell.errors import WarehouseError
from foretell.service.delivery import TYPES, Column, Delivery
from foretell.warehouses.base import SchemaMismatchError, Shipment, other_columns
from foretell.warehouses.documents import document

Connection: TypeAlias = duckdb.DuckDBPyConnection

NOES = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConstraintException,
    duckdb.ConversionException,
    duckdb.DependencyException,
    duckdb.NotImplementedException,
    duckdb.OutOfRangeException,
    duckdb.TypeMismatchException,
)
"""What DuckDB raises for a table that will not take the rows, however often they are offered."""

LAID = "(state = 'delivered' OR (state = 'withdrawn' AND turn > 0))"
"""Of the ledger: runs whose rows were put into the table. A withdrawn one keeps the turn in which they were, else 0."""
PLAIN = {"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "JSON"}
READ = {
    "BLOB": "to_base64({})",
    "TIMESTAMP": "replace(CAST({} AS VARCHAR), ' ', 'T')",
    "TIMESTAMP WITH TIME ZONE": "replace(CAST({} AT TIME ZONE 'UTC' AS VARCHAR), ' ', 'T') || '+00:00'",
}
"""How a value becomes one of JSON; of a type neither here nor plain, by its text."""


class Table(Struct, frozen=True):
    """A table of the file. Case does not tell names apart in DuckDB, nor does it in `key`, the name in the ledger."""

    dataset: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.dataset}.{self.name}".lower()

    @property
    def sql(self) -> str:
        return identifier(self.dataset, self.name)


def put(connection: Connection, shipment: Shipment, table: Table) -> int:
    """
    Put the rows into the table, in place of what they replace, and give their number.

    Runs inside the caller's transaction. SchemaMismatchError where the table refuses them; WarehouseError where the
    checked files are not what the shipment says.
    """
    try:
        _shape(connection, table, shipment.delivery)
        _clear(connection, shipment, table)
        rows = _insert(connection, shipment, table)
        if shipment.delivery.mode == "partition":
            _show_latest(connection, table, shipment.delivery)
    except NOES as no:
        raise SchemaMismatchError(
            f'the table "{shipment.delivery.table}" does not take the rows: {said(no)}'
        ) from no
    if rows != shipment.rows:
        raise WarehouseError(
            f'{rows} rows of the run "{shipment.run}" were read back, not {shipment.rows}',
            where=", ".join(str(file) for file in shipment.files),
            hint="the checked rows were changed; deliver again with `foretell tidy`",
        )
    return rows


def _shape(connection: Connection, table: Table, delivery: Delivery) -> None:
    """Make the table where it is missing, and columns that the declaration has gained."""
    definitions = ", ".join(_definition(column) for column in delivery.columns)
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(table.dataset)}")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table.sql} ({definitions})")
    there = {name.lower(): kind for name, kind in columns(connection, table).items()}
    declared = {column.name.lower(): TYPES[column.type] for column in delivery.columns}
    gained = [column for column in delivery.columns if column.name.lower() not in there]
    changed = [name for name, kind in there.items() if declared.get(name) != kind]
    if changed or any(column.mode == "REQUIRED" for column in gained):
        raise SchemaMismatchError(other_columns(delivery.table, _named(there), _named(declared)))
    for column in gained:
        connection.execute(f"ALTER TABLE {table.sql} ADD COLUMN {_definition(column)}")


def _named(kinds: Mapping[str, str]) -> dict[str, str]:
    """Return the types as foretell.toml names them; those that it cannot declare as DuckDB does."""
    names = {kind: name for name, kind in reversed(TYPES.items())}
    return {column: names.get(kind, kind) for column, kind in kinds.items()}


def _definition(column: Column) -> str:
    required = " NOT NULL" if column.mode == "REQUIRED" else ""
    return f"{identifier(column.name)} {TYPES[column.type]}{required}"


def _clear(connection: Connection, shipment: Shipment, table: Table) -> None:
    """Remove what the rows replace."""
    delivery = shipment.delivery
    if delivery.mode == "replace":
        connection.execute(f"DELETE FROM {table.sql}")
    elif delivery.mode == "partition":
        (column,) = [column for column in delivery.columns if column.name == delivery.partition]
        partition = f"CAST({literal(shipment.partition)} AS {TYPES[column.type]})"
        mine = f"{_start(identifier(column.name), delivery)} = {_start(partition, delivery)}"
        connection.execute(f"DELETE FROM {table.sql} WHERE {mine}")


def _start(value: str, delivery: Delivery) -> str:
    """The start of the partition that a value is in. UTC counts, whatever the time zone of who asks."""
    (kind,) = {TYPES[column.type] for column in delivery.columns if column.name == delivery.partition}
    local = f"{value} AT TIME ZONE 'UTC'" if kind == "TIMESTAMP WITH TIME ZONE" else value
    return f"date_trunc('{delivery.granularity}', {local})"


def _insert(connection: Connection, shipment: Shipment, table: Table) -> int:
    if not shipment.files:
        return 0
    names = ", ".join(identifier(column.name) for column in shipment.delivery.columns)
    rows = f"SELECT {names} FROM read_parquet({paths(shipment.files)}, hive_partitioning = false)"
    ((count,),) = connection.execute(f"INSERT INTO {table.sql} ({names}) {rows}").fetchall()
    return int(count)


def _show_latest(connection: Connection, table: Table, delivery: Delivery) -> None:
    """(Re)make the view of the newest partition, none of a withdrawn run: it must know columns that were just added."""
    column = identifier(str(delivery.partition))
    (kind,) = {TYPES[each.type] for each in delivery.columns if each.name == delivery.partition}
    start = _start(column, delivery)
    withdrawn = f"""
        SELECT {_start(f"CAST(split_part(scope, '$', 2) AS {kind})", delivery)} FROM (
            SELECT scope, state FROM foretell.ledger
            WHERE "table" = {literal(table.key)} AND mode = 'partition' AND {LAID}
            QUALIFY row_number() OVER (PARTITION BY scope ORDER BY turn DESC) = 1
        ) WHERE state = 'withdrawn'"""
    newest = f"SELECT max({start}) FROM {table.sql} WHERE {start} NOT IN ({withdrawn})"
    view = identifier(table.dataset, f"{table.name}_latest")
    rows = f"SELECT * FROM {table.sql} WHERE {start} = ({newest})"
    connection.execute(f"CREATE OR REPLACE VIEW {view} AS {rows}")


def columns(connection: Connection, table: Table) -> dict[str, str]:
    """Return the table's columns with their types, in order; duckdb.CatalogException where there is no such table."""
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {table.sql}").fetchall()}


def select(
    connection: Connection, table: Table, *, order: str = "", limit: int | None = None
) -> list[tuple[object, ...]]:
    """Return rows as JSON has them: times in ISO 8601, decimals as text, bytes in base64, nan and inf as text."""
    kinds = columns(connection, table)
    values = ", ".join(
        name if kind in PLAIN else READ.get(kind, "CAST({} AS VARCHAR)").format(name)
        for name, kind in ((identifier(name), kind) for name, kind in kinds.items())
    )
    clip = "" if limit is None else f"LIMIT {limit}"
    rows = connection.execute(f"SELECT {values} FROM {table.sql} {order} {clip}").fetchall()
    return [tuple(map(_value, row, kinds.values())) for row in rows]


def _value(value: object, kind: str) -> object:
    if kind == "JSON" and isinstance(value, str):
        return document(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def said(error: Exception) -> str:
    """Return what DuckDB says in its first line, without the kind of error."""
    first = str(error).strip().partition("\n")[0]
    return first.partition(" Error: ")[2] or first
