"""What Airflow's list of providers shows of Foretell. Every process of Airflow reads it, so it imports very little."""

from __future__ import annotations

from importlib.metadata import version

LINKS = ("Machine", "Log", "Bucket", "Table")


def get_provider_info() -> dict[str, object]:
    """Return what Airflow asks of a provider."""
    return {
        "package-name": "foretell",
        "name": "Foretell",
        "description": "Predictive models that run by themselves: trained, applied, delivered exactly once.",
        "versions": [version("foretell")],
        "state": "ready",
        "integrations": [],
        "extra-links": [f"foretell.airflow.links.{name}Link" for name in LINKS],
    }
