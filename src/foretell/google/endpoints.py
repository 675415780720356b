"""
Where Google's services answer, and what an answer is.

Where a service is can be told by gcloud's own variables, CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE and the like, and
where an emulator is by those that Google's clients read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from foretell.google.errors import Failure

BASES = {
    "artifactregistry": "https://artifactregistry.googleapis.com/",
    "bigquery": "https://bigquery.googleapis.com/bigquery/v2/",
    "cloudresourcemanager": "https://cloudresourcemanager.googleapis.com/",
    "compute": "https://compute.googleapis.com/compute/v1/",
    "iam": "https://iam.googleapis.com/",
    "iamcredentials": "https://iamcredentials.googleapis.com/",
    "logging": "https://logging.googleapis.com/",
    "secretmanager": "https://secretmanager.googleapis.com/",
    "serviceusage": "https://serviceusage.googleapis.com/",
    "storage": "https://storage.googleapis.com/storage/v1/",
}
"""Where each service answers, with the path that all its methods share."""
EMULATORS = {"bigquery": "BIGQUERY_EMULATOR_HOST", "storage": "STORAGE_EMULATOR_HOST"}
Json: TypeAlias = dict[str, Any]
Answer: TypeAlias = Json | Failure


def base(service: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return where a service answers, with a slash at the end; an emulator comes first, as for Google's clients."""
    if host := emulator(service, environ):
        return f"{host}{urlsplit(BASES[service]).path}"
    told = environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service.upper()}")
    return f"{told.rstrip('/')}/" if told else BASES[service]


def emulator(service: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the address of a service's emulator, without a slash at the end; "" where none is told."""
    host = environ.get(EMULATORS[service], "") if service in EMULATORS else ""
    return host.rstrip("/") if "://" in host or not host else f"http://{host.rstrip('/')}"


def emulators(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the addresses of all emulators; they are asked by nobody, that is without credentials."""
    return tuple(f"{host}/" for service in EMULATORS if (host := emulator(service, environ)))
