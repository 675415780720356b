"""
Foretell in Airflow: a service's actions as graphs.

`from foretell.airflow import dags` is all of it. Loaded when first used, for Airflow reads the provider's information
from this package in every process.
"""

from __future__ import annotations

__all__ = ["dags"]


def __getattr__(name: str) -> object:
    if name == "dags":
        from foretell.airflow.graphs import dags

        return dags
    raise AttributeError(name)
