"""
A delivery to BigQuery against a bare load job from the same Parquet file, into the same stand-in.

    python -m bench.bigquery --rows 10000000

All read a file in a bucket. The bare way appends it to the table by one load job. Ours looks at the ledger, loads the
file into a staging table, and moves the rows by the one transaction. What of that is the price of a staging table, the
same by hand shows: a load job, and an INSERT. They take turns, each into a new dataset. The stand-in is no measure of
Google's own speed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, LoadJobConfig, Table

from bench import timing
from bench.delivery import COLUMNS, ROWS
from bench.timing import Usage
from foretell.service.delivery import Column, Delivery
from foretell.warehouses import connect
from foretell.warehouses.base import Shipment
from foretell.warehouses.bigquery.settings import BigQuerySettings
from tests.standins.google import bigquery, storage

PROJECT = "bench"
DELIVERY = Delivery(
    file="p.parquet",
    table="predictions",
    columns=tuple(Column(name=name, type=kind, source=name) for name, kind in COLUMNS.items()),
)


def shipment(uid: str, uri: str, rows: int) -> Shipment:
    return Shipment(
        uid=uid,
        owner="store/service/action",
        run="run",
        attempt=1,
        date="2026-11-21T00:00:00.000+00:00",
        n=1,
        delivery=DELIVERY,
        partition=None,
        files=(),
        uris=(uri,),
        rows=rows,
    )


def bare(dataset: str, uri: str, rows: int) -> None:
    with Client(PROJECT, AnonymousCredentials(), location="EU") as client:
        load(client, uri, rows, client.get_table(f"{dataset}.predictions"))


def by_hand(dataset: str, uri: str, rows: int) -> None:
    with Client(PROJECT, AnonymousCredentials(), location="EU") as client:
        table = client.get_table(f"{dataset}.predictions")
        staging = client.create_table(Table(f"{PROJECT}.{dataset}.staging", table.schema))
        load(client, uri, rows, staging)
        columns = ", ".join(COLUMNS)
        client.query_and_wait(
            f"INSERT INTO {dataset}.predictions ({columns}) SELECT {columns} FROM {dataset}.staging"
        )
        client.delete_table(staging)


def load(client: Client, uri: str, rows: int, table: Table) -> None:
    config = LoadJobConfig(source_format="PARQUET", schema=table.schema, write_disposition="WRITE_APPEND")
    job = client.load_table_from_uri(uri, table, job_config=config)
    job.result()
    if job.output_rows != rows:
        raise SystemExit(f"{job.output_rows} rows were loaded")


def ours(dataset: str, uri: str, rows: int) -> None:
    receipt = connect(BigQuerySettings(dataset=dataset, project=PROJECT)).deliver(shipment("rows", uri, rows))
    if receipt.rows != rows:
        raise SystemExit(receipt.cause)


WAYS = {"bare load job": bare, "a load job, then `INSERT`": by_hand, "delivery": ours}


def go(way: Callable[[str, str, int], None], uri: str, rows: int) -> Usage:
    """Let one go into a dataset of its own."""
    dataset = f"d{uuid.uuid4().hex[:12]}"
    # an empty run makes dataset, table, ledger and lock, so that nobody is measured at that
    connect(BigQuerySettings(dataset=dataset, project=PROJECT)).deliver(shipment("empty", uri, 0))
    return timing.call(partial(way, dataset, uri, rows))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.bigquery", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        storage.started() as bucket,
        bigquery.started(bucket.environ) as stand_in,
    ):
        os.environ.update(bucket.environ | stand_in.environ)
        file = Path(directory) / "predictions.parquet"
        with duckdb.connect() as connection:
            connection.execute(f"COPY ({ROWS.format(rows=asked.rows)}) TO '{file}' (FORMAT parquet)")
        uri = f"{bucket.make_bucket('bench')}/{file.name}"
        bucket.write("bench", file.name, file.read_bytes())
        print(timing.machine())
        results = timing.in_turn(
            {name: partial(go, way, uri, asked.rows) for name, way in WAYS.items()}, rounds=asked.rounds
        )
        rows = [
            [
                name,
                timing.spread(usage.wall for usage in usages),
                timing.spread(timing.ratios(results, name, "bare load job")),
            ]
            for name, usages in results.items()
        ]
        what = f"{asked.rows:,} rows, {file.stat().st_size / 1e6:.0f} MB"
        print(f"\n{timing.table([what, 'seconds', 'ratio'], rows)}")


if __name__ == "__main__":
    main()
