"""What only reads BigQuery: queries that change nothing, and a table's rows, as cheaply as they can be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.cloud import bigquery
from google.cloud.bigquery.table import Row

from foretell.protocol.records import Receipt
from foretell.warehouses.bigquery import scripts as script
from foretell.warehouses.bigquery import table as tables
from foretell.warehouses.bigquery.jobs import ONCE, REQUEST, RETRY, Jobs
from foretell.warehouses.bigquery.table import Table

LONGEST_QUERY = 600.0


def ask(jobs: Jobs, query: str, values: Mapping[str, str | int]) -> list[Row]:
    """Return the rows of a query, which changes nothing and may be asked again."""
    found = jobs.client.query_and_wait(
        query,
        job_config=script.parameters(values),
        retry=RETRY,
        job_retry=ONCE,
        api_timeout=REQUEST,
        wait_timeout=LONGEST_QUERY,
    )
    return list(found)


def read(
    jobs: Jobs, table: Table, there: bigquery.Table, standing: Sequence[Receipt], limit: int | None
) -> tuple[list[Row], int]:
    """Return rows of a table, and their number: of a plain table for nothing, of a partitioned one from its end."""
    clip = "" if limit is None else f" LIMIT {limit}"
    if there.table_type == "VIEW":
        ((total,),) = (row.values() for row in ask(jobs, f"SELECT COUNT(*) FROM {table.sql}", {}))
        return ask(jobs, f"SELECT * FROM {table.sql}{clip}", {}), total
    total = there.num_rows or 0
    column = there.time_partitioning.field if there.time_partitioning else None
    if column is None:
        rows = jobs.client.list_rows(there, max_results=limit, retry=RETRY, timeout=REQUEST)
        return list(rows), total
    (type_,) = [tables.kind(field) for field in there.schema if field.name == column]
    first = tables.first_partition(standing, limit)
    where = f" WHERE `{column}` >= CAST(@first AS {type_})" if first else ""
    query = f"SELECT * FROM {table.sql}{where} ORDER BY `{column}` DESC{clip}"
    return ask(jobs, query, {"first": first} if first else {}), total
