"""Where predictions land: one package a kind, which is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable

from foretell.errors import UsageError
from foretell.service.model import BigQuerySettings, DuckDBSettings, WarehouseSettings
from foretell.warehouses.base import Warehouse

BIGQUERY_TEXTS = frozenset({"TIME", "DATETIME", "JSON"})
"""What BigQuery's loader has taken for other values in Parquet, or does not know there; see `bigquery_table.STAGED`."""


def connect(settings: WarehouseSettings, waits: Callable[[str], None] = lambda _: None) -> Warehouse:
    """Return the warehouse of these settings; nothing is opened yet. `waits` is told once what it waits for longer."""
    match settings:
        case DuckDBSettings():
            from foretell.warehouses.duckdb.warehouse import DuckDBWarehouse

            return DuckDBWarehouse(settings, waits=waits)
        case BigQuerySettings():
            try:
                from foretell.warehouses.bigquery.warehouse import BigQueryWarehouse
            except ImportError as error:
                raise UsageError(
                    'the warehouse "bigquery" needs Google\'s client',
                    why=str(error),
                    hint="pip install 'foretell[google]'",
                ) from error

            return BigQueryWarehouse(settings)


def texts(settings: WarehouseSettings) -> frozenset[str]:
    """Return the declared types whose values the warehouse takes as text in the checked Parquet files."""
    return BIGQUERY_TEXTS if isinstance(settings, BigQuerySettings) else frozenset()


def reads(settings: WarehouseSettings, store: str) -> bool:
    """Tell whether the warehouse reads the checked files in the store at this URL by itself."""
    return isinstance(settings, BigQuerySettings) and store.startswith("gs://")
