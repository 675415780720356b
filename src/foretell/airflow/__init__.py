"""
Foretell in Airflow: a service's actions as graphs.

`from foretell.airflow import dags` is all of it. Loaded when first used, for Airflow reads the provider's information
from this package in every process.
"""

from __future__ import annotations

import importlib

__all__ = ["dags"]


def __getattr__(name: str) -> object:
    if name == "dags":
        return importlib.import_module("foretell.airflow.graphs").dags
    raise AttributeError(name)
