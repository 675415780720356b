"""What requests to Google go over: credentials, and connections that are kept."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import google.auth
import requests
from google.auth import exceptions, impersonated_credentials
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials as PersonCredentials

from foretell.google import adc, errors
from foretell.google.endpoints import Answer, Json, base
from foretell.google.errors import Failure

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Connection:
    """One identity's: Google's application default, or a service account that it may act as."""

    def __init__(self, impersonate: str | None, environ: Mapping[str, str]) -> None:
        self._impersonate = impersonate
        self._environ = environ

    @functools.cached_property
    def _found(self) -> tuple[Credentials, str]:
        """Find the credentials and the project that comes with them, "" where none does."""
        credentials, project = _default(self._environ)
        if self._impersonate:
            credentials = _acting_as(self._impersonate, credentials, self._environ)
        return credentials, project or ""

    @property
    def project(self) -> str:
        """The project of the credentials, "" where they name none."""
        return self._found[1]

    @functools.cached_property
    def session(self) -> AuthorizedSession:
        """The session underneath, for clients of Google's that take one."""
        return AuthorizedSession(self._found[0])

    def send(self, method: str, url: str, body: object, query: Mapping[str, Any], timeout: float) -> Answer:
        """Send one request and give the answer's body, or the failure."""
        try:
            said = self.session.request(
                method,
                url,
                params=_plain(query),
                json=body,
                timeout=timeout,
            )
        except (exceptions.DefaultCredentialsError, exceptions.RefreshError) as error:
            return _credentials_fail(error, method, url)
        except (requests.RequestException, exceptions.TransportError) as error:
            return Failure(status=0, reason="unreachable", message=_last(error), method=method, url=url)
        told = _json(said)
        if said.ok and told is not None:
            return told
        found = errors.read(said.status_code if not said.ok else 0, told, said.text)
        return Failure(
            status=found.status, reason=found.reason, message=found.message, method=method, url=url
        )


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


def _credentials_fail(error: exceptions.GoogleAuthError, method: str, url: str) -> Failure:
    passes = isinstance(error, exceptions.RefreshError) and getattr(error, "retryable", False)
    return Failure(
        status=0 if passes else 401, reason="credentials", message=_last(error), method=method, url=url
    )


def _plain(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as they stand in an address: true and false in small letters."""
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in query.items()
        if value is not None
    }


def _json(said: requests.Response) -> Json | None:
    if not said.content:
        return {}
    try:
        told = said.json()
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _last(error: Exception) -> str:
    """Return the last words of an error, which wraps what really happened a few times."""
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:200]} … {text[-90:]}"
