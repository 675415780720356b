"""Where predictions land: one package a kind, and the table of those that Foretell brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from foretell.errors import UsageError
from foretell.service.kinds import WAREHOUSES, WarehouseSettings
from foretell.warehouses.base import Warehouse
from foretell.warehouses.bigquery.settings import BigQuerySettings
from foretell.warehouses.duckdb.settings import DuckDBSettings

WAREHOUSES.add(DuckDBSettings, BigQuerySettings)


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
        case _:
            return cast("Warehouse", settings.connect(waits))
