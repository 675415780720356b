"""What an action brings about, as Airflow's assets: its model, and the table that it delivers to."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from airflow.sdk import Asset

from foretell.service.model import Action, BigQuerySettings, Service, WarehouseSettings


def target_name(service: Service, environ: Mapping[str, str]) -> str:
    """Return the target of a schedule: FORETELL_TARGET where it is set, else the service's own, else local."""
    return environ.get("FORETELL_TARGET") or service.target or "local"


def model(service: Service, action: str) -> Asset:
    """Return the asset of an action's success, which starts what comes after it."""
    return Asset(name=f"{service.name}-{action}", uri=f"foretell://{service.name}/{action}")


def outlets(service: Service, action: Action, environ: Mapping[str, str]) -> list[Asset]:
    """Return every asset that an action's success updates."""
    found = [model(service, action.name)]
    target = service.targets.get(target_name(service, environ))
    if action.delivery and target:
        uri = _table(target.warehouse, action.delivery.table)
        found += [Asset(uri)] if uri else []
    return found


def _table(warehouse: WarehouseSettings, table: str) -> str:
    """Return a table's address in Airflow's own conventions; empty where a part of it is not known."""
    dataset, _, name = table.rpartition(".")
    dataset = dataset or warehouse.dataset
    if isinstance(warehouse, BigQuerySettings):
        return f"bigquery://{warehouse.project}/{dataset}/{name}" if warehouse.project else ""
    return f"duckdb://{quote(warehouse.path)}/{dataset}/{name}"
