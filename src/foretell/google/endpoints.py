"""
Where Google's services answer, and what an answer is.

Where a service is can be told by gcloud's own variables, CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE and the like.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

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
Json: TypeAlias = dict[str, Any]
Answer: TypeAlias = Json | Failure


def base(service: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return where a service answers, with a slash at the end."""
    told = environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service.upper()}")
    return f"{told.rstrip('/')}/" if told else BASES[service]
