"""Application default credentials, as far as they are a file: where it is, and of what type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

PERSON = "authorized_user"
"""The type of what `gcloud auth application-default login` writes."""


def file(environ: Mapping[str, str]) -> Path | None:
    """Return the file that a variable names or gcloud wrote; None on Google's machines, whose own server is asked."""
    if named := environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    folder = environ.get("CLOUDSDK_CONFIG") or Path(environ.get("HOME") or Path.home(), ".config", "gcloud")
    written = Path(folder) / "application_default_credentials.json"
    return written if written.is_file() else None


def kind(found: Path) -> str:
    """Return the type: "service_account", "authorized_user", ...; OSError or ValueError for what is no such file."""
    told = json.loads(found.read_bytes())
    return str(told.get("type", "")) if isinstance(told, dict) else ""
