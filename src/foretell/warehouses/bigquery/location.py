"""Where a dataset and a bucket are, and whether they go together."""

from __future__ import annotations

import os
from typing import cast
from urllib.parse import quote, urlsplit

import google.auth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.transport.requests import AuthorizedSession

from foretell.errors import UsageError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
READ_ONLY = "https://www.googleapis.com/auth/devstorage.read_only"
OUTSIDE_EU = ("EUROPE-WEST2", "EUROPE-WEST6")
"""Regions of Europe that are not in the multi-region EU: London and Zurich."""
PATIENCE = 30.0


def nobody() -> Credentials:
    """Return the credentials that an emulator needs: none."""
    return cast("Credentials", AnonymousCredentials())


def identity() -> tuple[Credentials, str]:
    """Find Google's application default credentials and their project; nobody's for BIGQUERY_EMULATOR_HOST."""
    if os.environ.get("BIGQUERY_EMULATOR_HOST"):
        return nobody(), os.environ.get("GOOGLE_CLOUD_PROJECT", "emulated")
    credentials, project = google.auth.default(scopes=[SCOPE])
    return credentials, project or ""


def member(credentials: Credentials) -> str:
    """Return who is asking, as IAM names it."""
    email = getattr(credentials, "service_account_email", None)
    return f"serviceAccount:{email}" if email and "@" in email else 'user:"$(gcloud config get account)"'


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
            hint=f"make a bucket there: gcloud storage buckets create gs://NAME --location={location};"
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
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    base = (
        emulator
        if "://" in emulator
        else f"http://{emulator}"
        if emulator
        else "https://storage.googleapis.com"
    )
    credentials = nobody() if emulator else google.auth.default(scopes=[READ_ONLY])[0]
    with AuthorizedSession(credentials) as session:
        address = f"{base}/storage/v1/b/{quote(bucket, safe='')}?fields=location"
        answer = session.get(address, timeout=PATIENCE)
    if answer.status_code == 404:
        raise UsageError(
            f'there is no bucket "{bucket}"',
            hint=f"gcloud storage buckets create gs://{bucket} --location=LOCATION",
        )
    return str(answer.json().get("location", "")) if answer.ok else ""
