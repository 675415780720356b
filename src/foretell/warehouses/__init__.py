"""The warehouses, one file a kind; each is imported when it is asked for."""

from __future__ import annotations

from foretell.errors import UsageError
from foretell.service import BigQuerySettings, DuckDBSettings, WarehouseSettings
from foretell.warehouses.base import Warehouse


def connect(settings: WarehouseSettings) -> Warehouse:
    """Give the warehouse that the settings describe; nothing is opened yet."""
    match settings:
        case DuckDBSettings():
            from foretell.warehouses.duckdb import DuckDBWarehouse

            return DuckDBWarehouse(settings)
        case BigQuerySettings():
            raise UsageError(
                'the warehouse "bigquery" is not available in this version of Foretell',
                hint='use kind = "duckdb" in the target\'s warehouse',
            )
