"""What an action delivers: which file becomes rows of which table, and the columns of it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from foretell.service.declaration import RESOLVED, Written, says


class Column(Struct, frozen=True, kw_only=True):
    """A column of the delivered table."""

    name: Annotated[str, RESOLVED]
    type: Annotated[str, says("BigQuery type name: STRING, INT64, FLOAT64, BOOL, DATE, …")]
    mode: Annotated[Literal["NULLABLE", "REQUIRED"], says("REQUIRED refuses rows without a value.")] = (
        "NULLABLE"
    )
    source: Annotated[
        str,
        Written(name="from"),
        says(
            "The file's column it is taken from, or @date (the run's date), @run, @model (their run ids).",
            default="the column's own name",
        ),
    ]
    description: Annotated[str, says("Description of the column, for warehouses that store one.")] = ""


TYPES: dict[str, str] = {
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "INT64": "BIGINT",
    "INTEGER": "BIGINT",
    "INT": "BIGINT",
    "FLOAT64": "DOUBLE",
    "FLOAT": "DOUBLE",
    "NUMERIC": "DECIMAL(38,9)",
    "DECIMAL": "DECIMAL(38,9)",
    "BIGNUMERIC": "DECIMAL(38,18)",
    "BIGDECIMAL": "DECIMAL(38,18)",
    "BOOL": "BOOLEAN",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "JSON": "JSON",
}
"""The column types that can be declared: BigQuery's names and synonyms, and DuckDB's name for each."""


RESERVED = re.compile(
    r"_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER|_CHANGE_(?:TYPE|TIMESTAMP|SEQUENCE_NUMBER)$",
    re.IGNORECASE,
)
"""How the names of columns begin that BigQuery keeps for itself; the last are whole names."""

Mode: TypeAlias = Literal["replace", "append", "partition"]
Granularity: TypeAlias = Literal["day", "hour", "month"]
Extra: TypeAlias = Literal["refuse", "ignore"]


class Delivery(Struct, frozen=True, kw_only=True):
    """
    Which file of the output becomes rows of which table.

    In mode "partition", `partition` is always one of `columns`; in the others it is None.
    """

    file: Annotated[
        str,
        says("Path in the output directory: CSV, Parquet or newline-delimited JSON; a glob is allowed."),
    ]
    table: Annotated[str, says('Table name, or "dataset.table" for another dataset than the target\'s.')] = (
        "predictions"
    )
    columns: Annotated[
        tuple[Column, ...],
        Written(type=str | dict[str, str | Column]),
        says('Name and type of every column: "customer_id:STRING,label:BOOL", or a table. Matched by name.'),
    ]
    mode: Annotated[
        Mode,
        says(
            "replace the table, append (one run per date), or one partition (TABLE_latest shows the newest)."
        ),
    ] = "replace"
    partition: Annotated[
        str | None,
        says(
            "Column of the partition in mode partition; added with the run's date where it is not declared."
        ),
    ] = None
    granularity: Annotated[
        Granularity,
        says("Period of one partition; hour needs a TIMESTAMP column, the others a DATE."),
    ] = "day"
    cluster: Annotated[
        Annotated[tuple[str, ...], Meta(max_length=4)],
        says("Columns by which BigQuery clusters the table when it is created, at most four."),
    ] = ()
    description: Annotated[str, says("Description of the table, for warehouses that store one.")] = ""
    null: Annotated[
        tuple[str, ...],
        says('Texts that mean NULL as a whole, unquoted cell of CSV, for example ["NA"].'),
    ] = ()
    extra: Annotated[
        Extra, says("Whether columns of the file that are not declared cause a rejection or are ignored.")
    ] = "refuse"
