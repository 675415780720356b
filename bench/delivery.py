"""
Time a delivery against DuckDB's own bare INSERT ... SELECT from the same file: CSV and Parquet.

    python bench/delivery.py --rows 10000000

Both ways open a new DuckDB file, fill a table with four columns and close it again. Ours reads the file strictly,
by column name, checks every value, stages the rows as Parquet, and inserts them in the transaction with the ledger.
The two take turns within one run; what is printed are medians of seconds, and their ratio. Then files of few rows and
many columns, read and checked, against DuckDB's own COPY of the same file to Parquet.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import duckdb

from foretell.delivery.validate import check
from foretell.service.delivery import Column, Delivery
from foretell.warehouses import connect
from foretell.warehouses.base import Shipment
from foretell.warehouses.duckdb.settings import DuckDBSettings

Way: TypeAlias = Callable[[Path, Path], dict[str, float]]

WIDE = (250, 500, 1000, 2000)
"""Columns of the wide files, of 50 rows each."""
COLUMNS = {"customer_id": "STRING", "score": "FLOAT64", "label": "BOOL", "prediction_date": "DATE"}
ROWS = """
    SELECT 'customer-' || lpad(CAST(i AS VARCHAR), 9, '0') AS customer_id, random() AS score,
        random() < 0.3 AS label, DATE '2026-11-21' AS prediction_date
    FROM range({rows}) AS r(i)"""
TABLE = "CREATE TABLE predictions (customer_id VARCHAR, score DOUBLE, label BOOLEAN, prediction_date DATE)"


def bare(file: Path, work: Path) -> dict[str, float]:
    started = time.perf_counter()
    with duckdb.connect(str(work / "bare.duckdb")) as connection:
        connection.execute(TABLE)
        reading = "read_csv" if file.suffix == ".csv" else "read_parquet"
        connection.execute(f"INSERT INTO predictions SELECT * FROM {reading}('{file}')")
    return {"bare insert": time.perf_counter() - started}


def ours(file: Path, work: Path) -> dict[str, float]:
    columns = tuple(Column(name=name, type=kind, source=name) for name, kind in COLUMNS.items())
    delivery = Delivery(file=file.name, table="predictions", columns=columns)
    started = time.perf_counter()
    checked = check(delivery, file.parent, work / "staged", date="2026-11-21", run="run")
    staged = time.perf_counter()
    shipment = Shipment(
        uid="uid",
        owner="store/service/action",
        run="run",
        attempt=1,
        date="2026-11-21T00:00:00.000+00:00",
        n=1,
        delivery=delivery,
        partition=None,
        files=checked.files,
        rows=checked.rows,
    )
    receipt = connect(DuckDBSettings(path=str(work / "ours.duckdb"))).deliver(shipment)
    ended = time.perf_counter()
    if receipt.state != "delivered":
        raise SystemExit(receipt.cause)
    return {"check and stage": staged - started, "insert and ledger": ended - staged, "ours": ended - started}


def own_copy(file: Path, work: Path) -> dict[str, float]:
    started = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM '{file}') TO '{work / 'copy.parquet'}' (FORMAT parquet)")
    return {"DuckDB's COPY": time.perf_counter() - started}


def checked_copy(file: Path, work: Path) -> dict[str, float]:
    names = file.stem.split("-")[1]
    columns = tuple(Column(name=f"c{n}", type="FLOAT64", source=f"c{n}") for n in range(int(names)))
    started = time.perf_counter()
    check(
        Delivery(file=file.name, table="t", columns=columns), file.parent, work, date="2026-11-21", run="run"
    )
    return {"check and stage": time.perf_counter() - started}


def measure(file: Path, rounds: int, ways: tuple[Way, Way]) -> dict[str, float]:
    """Give the medians of both ways, which take turns as to who is first."""
    seen: list[dict[str, float]] = []
    for turn in range(rounds):
        found: dict[str, float] = {}
        for way in ways if turn % 2 == 0 else reversed(ways):
            with tempfile.TemporaryDirectory(dir=file.parent) as work:
                found |= way(file, Path(work))
        seen.append(found)
    return {name: statistics.median(each[name] for each in seen) for name in seen[0]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Time a delivery against DuckDB's own bare INSERT ... SELECT."
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for kind in ("csv", "parquet"):
            file = Path(directory) / f"predictions.{kind}"
            with duckdb.connect() as connection:
                connection.execute(f"COPY ({ROWS.format(rows=asked.rows)}) TO '{file}' (FORMAT {kind})")
            found = measure(file, asked.rounds, (bare, ours))
            tell(f"{kind}, {asked.rows:,} rows, {file.stat().st_size / 1e6:.0f} MB", found, "bare insert")
            file.unlink()
        for kind in ("csv", "parquet"):
            for width in WIDE:
                file = Path(directory) / f"wide-{width}.{kind}"
                values = ", ".join(f"random() AS c{n}" for n in range(width))
                with duckdb.connect() as connection:
                    connection.execute(f"COPY (SELECT {values} FROM range(50)) TO '{file}' (FORMAT {kind})")
                found = measure(file, 2 * asked.rounds + 1, (own_copy, checked_copy))
                tell(f"{kind}, {width:,} columns, 50 rows", found, "DuckDB's COPY")


def tell(title: str, found: dict[str, float], base: str) -> None:
    print(f"{title}, medians")
    for name, seconds in found.items():
        print(f"  {name:<20}{seconds:8.2f} s{seconds / found[base]:8.2f} x")


if __name__ == "__main__":
    main()
