"""What an action brings about, as Airflow's assets: its model, and the table that it delivers to."""

from __future__ import annotations

from collections.abc import Mapping

from airflow.sdk import Asset

from foretell.service.model import Action, Service


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
        uri = target.warehouse.address(action.delivery.table)
        found += [Asset(uri)] if uri else []
    return found
