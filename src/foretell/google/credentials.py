"""The one way to Google's credentials: the application default, or a service account that it may act as."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

import google.auth
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.oauth2.credentials import Credentials as PersonCredentials

from foretell.google import adc, remedies
from foretell.google.endpoints import base

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def find(
    environ: Mapping[str, str] = os.environ, *, impersonate: str | None = None
) -> tuple[Credentials, str]:
    """Find the credentials and the project that comes with them, "" where none does."""
    credentials, project = _default(environ)
    if impersonate:
        credentials = _acting_as(impersonate, credentials, environ)
    return credentials, project or ""


def nobody() -> Credentials:
    """Return the credentials that an emulator needs: none."""
    return cast("Credentials", AnonymousCredentials())


def member(credentials: Credentials) -> str:
    """Return whose they are, as an IAM policy names it."""
    return remedies.member(getattr(credentials, "service_account_email", None))


def _default(environ: Mapping[str, str]) -> tuple[Credentials, str | None]:
    """Return the default credentials; those of a person without asking gcloud for a project, which takes a second."""
    file = adc.file(environ)
    with suppress(OSError, ValueError):  # of a file that is none: google-auth says what is wrong with it
        if file and adc.kind(file) == adc.PERSON:
            return PersonCredentials.from_authorized_user_file(str(file)), None
    found: tuple[Credentials, str | None] = google.auth.default(scopes=[SCOPE])
    return found


def _acting_as(account: str, source: Credentials, environ: Mapping[str, str]) -> Credentials:
    """Return the credentials of a service account that these may act as."""
    place = f"{base('iamcredentials', environ)}v1/projects/-/serviceAccounts/{account}:generateAccessToken"
    return cast(
        "Credentials",
        impersonated_credentials.Credentials(
            source_credentials=source,
            target_principal=account,
            target_scopes=[SCOPE],
            iam_endpoint_override=place,
        ),
    )
