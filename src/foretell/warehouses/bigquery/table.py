"""A table of BigQuery: its shape, the SQL of what a delivery changes in it, and its rows as JSON has them."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from google.api_core.exceptions import NotFound
from google.cloud import bigquery
from google.cloud.bigquery import Client, SchemaField, TimePartitioning
from msgspec import Struct

from foretell.google.labels import label
from foretell.protocol.records import Receipt
from foretell.service.delivery import Column, Delivery
from foretell.warehouses.base import SchemaMismatchError, Shipment, other_columns
from foretell.warehouses.bigquery.jobs import ONCE, REQUEST, RETRY

STAGED = {
    "TIME": "CAST({} AS TIME)",
    "DATETIME": "CAST({} AS DATETIME)",
    "JSON": "PARSE_JSON({})",
}
"""Types that are staged as text, and how the text becomes a value. The loader has read the first two wrongly before."""

STANDARD = {
    "INTEGER": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}
"""The API's older names of types, and those that SQL and we use."""

DIGITS = {"NUMERIC": 9, "BIGNUMERIC": 18}
"""Digits after the point, as every warehouse of Foretell shows them."""

LEDGER = (
    ("uid", "STRING"),
    ("table", "STRING"),
    ("scope", "STRING"),
    ("owner", "STRING"),
    ("mode", "STRING"),
    ("date", "STRING"),
    ("n", "INT64"),
    ("state", "STRING"),
    ("rows", "INT64"),
    ("run", "STRING"),
    ("attempt", "INT64"),
    ("cause", "STRING"),
    ("turn", "INT64"),
    ("at", "TIMESTAMP"),
)
MADE_BY = {"made_by": "foretell"}
MOST_CLUSTERED = 4


class Table(Struct, frozen=True):
    """A table by its whole name. Case tells names apart in BigQuery."""

    project: str
    dataset: str
    name: str

    @property
    def key(self) -> str:
        """The name in the ledger."""
        return f"{self.dataset}.{self.name}"

    @property
    def id(self) -> str:
        return f"{self.project}.{self.dataset}.{self.name}"

    @property
    def sql(self) -> str:
        return f"`{self.id}`"

    def beside(self, name: str) -> Table:
        return Table(self.project, self.dataset, name)


# --- shape ------------------------------------------------------------------------------------------------------------


def find(client: Client, table: Table) -> bigquery.Table | None:
    """Return a table's resource, None where there is no such table."""
    try:
        return client.get_table(table.id, retry=RETRY, timeout=REQUEST)
    except NotFound:
        return None


def knows(client: Client, view: Table, name: str) -> bool:
    """Whether a view is there and asks a table of this name: those of earlier versions did not ask the ledger."""
    there = find(client, view)
    return there is not None and name in (there.view_query or "")


def shape(client: Client, table: Table, shipment: Shipment, labels: Mapping[str, str]) -> bool:
    """
    Make the table where it is missing, and columns that the declaration has gained; tell whether anything changed.

    SchemaMismatchError where the table has other columns.
    """
    delivery = shipment.delivery
    there = find(client, table)
    if there is None:
        made = _resource(table, shipment, labels)
        there = client.create_table(made, exists_ok=True, retry=ONCE, timeout=REQUEST)
        changed = True
    else:
        changed = False
    known = {field.name.lower(): kind(field) for field in there.schema}
    declared = {column.name.lower(): standard(column.type) for column in delivery.columns}
    gained = [column for column in delivery.columns if column.name.lower() not in known]
    wrong = [name for name, found in known.items() if declared.get(name) != found]
    if wrong or any(column.mode == "REQUIRED" for column in gained):
        raise SchemaMismatchError(other_columns(delivery.table, known, declared))
    if gained:
        there.schema = [*there.schema, *map(_field, gained)]
        client.update_table(there, ["schema"], retry=ONCE, timeout=REQUEST)
    return changed or bool(gained)


def _resource(table: Table, shipment: Shipment, labels: Mapping[str, str]) -> bigquery.Table:
    """Describe the table as it is made: partitioned and clustered as declared, with descriptions and labels."""
    delivery = shipment.delivery
    made = bigquery.Table(table.id, schema=[_field(column) for column in delivery.columns])
    if delivery.partition:
        made.time_partitioning = TimePartitioning(
            type_=delivery.granularity.upper(), field=delivery.partition
        )
    if delivery.cluster:
        made.clustering_fields = list(delivery.cluster)
    _, service, action = shipment.owner.rsplit("/", 2)
    made.description = delivery.description or f"Predictions of {service}/{action}, delivered by Foretell"
    made.labels = {**MADE_BY, "service": label(service), "action": label(action), **labels}
    return made


def _field(column: Column) -> SchemaField:
    name, type_ = column.name, standard(column.type)
    if not column.description:
        return SchemaField(name, type_, mode=column.mode)
    return SchemaField(name, type_, mode=column.mode, description=column.description)


def ledger(table: Table) -> bigquery.Table:
    """Describe the ledger of a dataset: one row a run, never deleted."""
    made = bigquery.Table(table.id, schema=[SchemaField(name, type_, "REQUIRED") for name, type_ in LEDGER])
    made.description = "Foretell: which run was delivered to which table, and with what result"
    made.labels = dict(MADE_BY)
    return made


def staged(table: Table, columns: Iterable[Column], expires: datetime) -> bigquery.Table:
    """Describe a staging table, which takes the checked files as they are and expires by itself."""
    fields = [
        SchemaField(column.name, "STRING" if column.type in STAGED else standard(column.type))
        for column in columns
    ]
    made = bigquery.Table(table.id, schema=fields)
    made.expires = expires
    made.labels = dict(MADE_BY)
    return made


def standard(type_: str) -> str:
    """Return the name of a type as SQL has it."""
    return STANDARD.get(type_.upper(), type_.upper())


def kind(field: SchemaField) -> str:
    """Return a field's type in one word, as SQL names it."""
    name = standard(field.field_type)
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name


# --- SQL --------------------------------------------------------------------------------------------------------------


def clear(table: Table, delivery: Delivery) -> str:
    """Return the statement that removes what the rows replace; @partition is the start of the run's own."""
    match delivery.mode:
        case "append":
            return "-- nothing is replaced"
        case "replace":
            return f"DELETE FROM {table.sql} WHERE TRUE;"
        case "partition":
            column, type_ = _partition(delivery)
            first = f"CAST(@partition AS {type_})"
            after = f"{type_}_ADD({first}, INTERVAL 1 {delivery.granularity.upper()})"
            # a range of constants, so that BigQuery reads no other partition
            return f"DELETE FROM {table.sql} WHERE {column} >= {first} AND {column} < {after};"


def insert(table: Table, delivery: Delivery, staging: Sequence[Table]) -> str:
    """Return the statement that takes all rows that were staged."""
    names = ", ".join(f"`{column.name}`" for column in delivery.columns)
    values = ", ".join(
        STAGED.get(column.type, "{}").format(f"`{column.name}`") for column in delivery.columns
    )
    rows = " UNION ALL ".join(f"SELECT {values} FROM {each.sql}" for each in staging)
    return f"INSERT INTO {table.sql} ({names}) {rows};"


def latest(table: Table, delivery: Delivery) -> dict[str, str]:
    """Return what fills in latest.sql."""
    column, type_ = _partition(delivery)
    truncated = f"{type_}_TRUNC({{}}, {delivery.granularity.upper()})"
    return {
        "view": table.beside(f"{table.name}_latest").sql,
        "target": table.sql,
        "start": truncated.format(column),
        "withdrawn": truncated.format(f"CAST(SPLIT(scope, '$')[OFFSET(1)] AS {type_})"),
        "key": table.key,
    }


def _partition(delivery: Delivery) -> tuple[str, str]:
    (found,) = [column for column in delivery.columns if column.name == delivery.partition]
    return f"`{found.name}`", standard(found.type)


def first_partition(standing: Sequence[Receipt], limit: int | None) -> str:
    """Return the partition from which on there are enough rows; "" where all must be read."""
    starts = sorted(((receipt.scope.partition("$")[2], receipt.rows) for receipt in standing), reverse=True)
    rows = 0
    for start, number in starts:
        rows += number
        if limit is not None and rows >= limit:
            return start
    return ""


# --- rows -------------------------------------------------------------------------------------------------------------


def plain(value: Any, field: SchemaField) -> object:
    """Return a value as JSON has it: times in ISO 8601, decimals as text, bytes in base64, nan and inf as text."""
    if value is None or field.mode == "REPEATED":
        return [plain(each, _single(field)) for each in value] if value is not None else None
    match kind(field):
        case "BYTES":
            return base64.b64encode(value).decode()
        case "FLOAT64":
            return value if math.isfinite(value) else str(value)
        case "NUMERIC" | "BIGNUMERIC" as name:
            return _decimal(value, DIGITS[name])
        case "DATETIME" | "TIME" | "TIMESTAMP":
            return re.sub(r"(\.\d*?)0+(?=\D|\Z)", r"\1", value.isoformat()).replace("Z", "+00:00")
        case "STRING" | "INT64" | "BOOL" | "JSON":
            return cast("object", value)
        case _:
            return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _single(field: SchemaField) -> SchemaField:
    return SchemaField(field.name, field.field_type, fields=field.fields)


def _decimal(value: Decimal, digits: int) -> str:
    shown = f"{value:.{digits}f}"
    return shown if Decimal(shown) == value else str(value)
