"""
Time a delivery to BigQuery against a bare load job from the same Parquet file, into the same stand-in.

    python -m bench.bigquery --rows 10000000

Both read a file in a bucket. The bare way appends it to the table by one load job. Ours looks at the ledger, loads the
file into a staging table, and moves the rows by the one transaction. The two take turns, each into a new dataset;
what is printed are medians of seconds, and their ratio. The stand-in is no measure of Google's own speed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import duckdb
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client, LoadJobConfig

from bench.delivery import COLUMNS, ROWS
from foretell.service import BigQuerySettings, Column, Delivery
from foretell.warehouses import connect
from foretell.warehouses.base import Shipment
from tests.google import bigquery, storage

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


def bare(dataset: str, uri: str, rows: int) -> float:
    with Client(PROJECT, AnonymousCredentials(), location="EU") as client:
        table = client.get_table(f"{dataset}.predictions")
        config = LoadJobConfig(source_format="PARQUET", schema=table.schema, write_disposition="WRITE_APPEND")
        started = time.perf_counter()
        job = client.load_table_from_uri(uri, table, job_id=f"bare_{dataset}", job_config=config)
        job.result()
        if job.output_rows != rows:
            raise SystemExit(f"{job.output_rows} rows were loaded")
        return time.perf_counter() - started


def ours(dataset: str, uri: str, rows: int) -> float:
    started = time.perf_counter()
    receipt = connect(BigQuerySettings(dataset=dataset, project=PROJECT)).deliver(shipment("rows", uri, rows))
    ended = time.perf_counter()
    if receipt.rows != rows:
        raise SystemExit(receipt.cause)
    return ended - started


def measure(uri: str, rows: int, rounds: int) -> dict[str, float]:
    """Give the medians of both ways, which take turns as to who is first."""
    seen: dict[str, list[float]] = {"bare load job": [], "delivery": []}
    for turn in range(rounds):
        ways = [("bare load job", bare), ("delivery", ours)]
        for name, way in ways if turn % 2 == 0 else reversed(ways):
            dataset = f"d{uuid.uuid4().hex[:12]}"
            # an empty run makes dataset, table, ledger and lock, so that neither way is measured at that
            connect(BigQuerySettings(dataset=dataset, project=PROJECT)).deliver(shipment("empty", uri, 0))
            seen[name].append(way(dataset, uri, rows))
    return {name: statistics.median(found) for name, found in seen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a delivery to BigQuery against a bare load job.")
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
        found = measure(uri, asked.rows, asked.rounds)
        print(f"{asked.rows:,} rows, {file.stat().st_size / 1e6:.0f} MB, median of {asked.rounds}")
        for name, seconds in found.items():
            print(f"  {name:<20}{seconds:8.2f} s{seconds / found['bare load job']:8.2f} x")


if __name__ == "__main__":
    main()
