"""Where a dataset and a bucket are, and whether they go together."""

from __future__ import annotations

import os
from urllib.parse import quote, urlsplit

from google.auth.credentials import Credentials

from foretell.errors import UsageError
from foretell.google import credentials, remedies
from foretell.google.endpoints import base, emulator
from foretell.google.errors import Category, Failure
from foretell.google.rest import Rest
from foretell.warehouses.bigquery.errors import RetryableError

OUTSIDE_EU = ("EUROPE-WEST2", "EUROPE-WEST6")
"""Regions of Europe that are not in the multi-region EU: London and Zurich."""


def identity() -> tuple[Credentials, str]:
    """Find who asks BigQuery, and their project: nobody where it is an emulator."""
    if emulator("bigquery"):
        return credentials.nobody(), os.environ.get("GOOGLE_CLOUD_PROJECT", "emulated")
    return credentials.find()


def options() -> dict[str, str] | None:
    """Return where BigQuery is, if it is elsewhere; an emulator its client finds by itself."""
    address = base("bigquery").removesuffix("/").removesuffix("bigquery/v2")
    return None if emulator("bigquery") else {"api_endpoint": address}


def must_be_the_same(there: str, *, declared: str, dataset: str) -> None:
    """Refuse a dataset that is elsewhere than the service file says: no job would find it."""
    if there.upper() != declared.upper():
        raise UsageError(
            f'the dataset "{dataset}" is in {there}, not in {declared}',
            why="jobs of BigQuery run where the data is",
            hint=f'write location = "{there}" in the target\'s warehouse, or name another dataset',
        )


def must_be_readable(store: str, *, location: str, dataset: str) -> None:
    """Refuse a bucket that BigQuery does not load from into a dataset of this location."""
    bucket = urlsplit(store).netloc
    where = bucket_location(bucket)
    if where and not readable(where, location):
        raise UsageError(
            f'BigQuery in {location} does not load from the bucket "{bucket}" in {where}',
            why="a bucket must lie where the dataset does, or within it",
            hint=f"make a bucket there: {remedies.make_bucket('NAME', location)};"
            f' or deliver to a dataset in {where.lower()} than "{dataset}"',
        )


def readable(bucket: str, dataset: str) -> bool:
    """
    Whether BigQuery loads from a bucket's location into a dataset's.

    Into US from everywhere; else from the same place, or from within the multi-region. What a dual-region of two
    chosen regions comes to is not known here, and let pass.
    """
    bucket, dataset = bucket.upper(), dataset.upper()
    if dataset in ("US", bucket):
        return True
    if dataset == "EU":
        return bucket.startswith("EUR") and bucket not in OUTSIDE_EU
    return bucket not in ("US", "EU", "ASIA") and "-" not in bucket


def bucket_location(bucket: str) -> str:
    """Ask Cloud Storage where a bucket is; "" where we may not know. UsageError where there is none."""
    answer = Rest(patience=0).get("storage", f"b/{quote(bucket, safe='')}", {"fields": "location"})
    if not isinstance(answer, Failure):
        return str(answer.get("location", ""))
    if answer.category is Category.ABSENT:
        raise UsageError(f'there is no bucket "{bucket}"', hint=remedies.make_bucket(bucket, "LOCATION"))
    if answer.passes:
        raise RetryableError(answer.why)
    return ""
