"""How a bucket is reached: by obstore, with Google's application default credentials."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import GCSStore, ObjectStore, from_url

from foretell.errors import UsageError
from foretell.google import adc
from foretell.google.endpoints import emulator
from foretell.google.remedies import INSTALL

KNOWN_TO_OBSTORE = ("service_account", adc.PERSON)
"""Types of credentials files; for any other (a federated identity, impersonation) google-auth is asked."""


def connect(url: str, *, timeout: float, retries: int = 0) -> ObjectStore:
    """
    Return obstore's client of a bucket; nothing is asked of it yet. UsageError for a URL that cannot be.

    `timeout` is how long one request may take in all, in seconds, `retries` how often obstore repeats one by itself.
    """
    settings: dict[str, Any] = {
        "client_options": {"timeout": f"{timeout:g}s", "connect_timeout": "10s", "read_timeout": "30s"},
        "retry_config": {"max_retries": retries},
    }
    try:
        if url.startswith("gs://"):
            return GCSStore.from_url(url, **_of_google(settings, os.environ))
        return from_url(url, **settings)
    except (BaseError, OSError, ValueError) as error:
        raise UsageError(
            f'the store "{url}" cannot be opened',
            why=str(error).partition("\n")[0],
            hint="check `store` in foretell.toml: file://, gs:// or s3://",
        ) from error


def _of_google(settings: dict[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Complete the settings by where Cloud Storage is, and by who asks."""
    if address := emulator("storage", environ):
        options = settings["client_options"] | {"allow_http": True}
        return settings | {"client_options": options, "base_url": address, "bearer_token": "none"}
    file = adc.file(environ)
    if file is None:
        return settings
    if adc.kind(file) in KNOWN_TO_OBSTORE:
        return settings | {"application_credentials": str(file)}
    return settings | {"credential_provider": _tokens()}


def _tokens() -> Callable[[], dict[str, Any]]:
    """Return what obstore calls for a token, by google-auth, which is loaded here, for few need it."""
    try:
        from google.auth.transport.requests import Request

        from foretell.google.credentials import find
    except ImportError as error:
        raise UsageError(
            "these Google credentials need the package google-auth",
            why=str(error),
            hint=INSTALL,
        ) from error
    credentials, _ = find()

    def token() -> dict[str, Any]:
        credentials.refresh(Request())
        expiry = credentials.expiry
        return {"token": credentials.token, "expires_at": expiry and expiry.replace(tzinfo=UTC)}

    return token
