"""What requests to Google go over: credentials, and connections that are kept."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import requests
from google.auth import exceptions
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession

from foretell.google import credentials, errors
from foretell.google.endpoints import Answer, Json, emulators
from foretell.google.errors import Failure


class Connection:
    """One identity's: Google's application default, or a service account that it may act as."""

    def __init__(self, impersonate: str | None, environ: Mapping[str, str]) -> None:
        self._impersonate = impersonate
        self._environ = environ

    @functools.cached_property
    def _found(self) -> tuple[Credentials, str]:
        """Find the credentials and the project that comes with them, "" where none does."""
        return credentials.find(self._environ, impersonate=self._impersonate)

    @property
    def project(self) -> str:
        """The project of the credentials, "" where they name none."""
        return self._found[1]

    @property
    def member(self) -> str:
        """Who asks, as an IAM policy names it."""
        return credentials.member(self._found[0])

    @functools.cached_property
    def session(self) -> AuthorizedSession:
        """The session underneath, for clients of Google's that take one."""
        return AuthorizedSession(self._found[0])

    @functools.cached_property
    def _plain(self) -> AuthorizedSession:
        """What asks an emulator, which needs no credentials."""
        return AuthorizedSession(credentials.nobody())

    def send(
        self, method: str, url: str, body: object, query: Mapping[str, object], timeout: float
    ) -> Answer:
        """Send one request and give the answer's body, or the failure."""
        try:
            session = self._plain if url.startswith(emulators(self._environ)) else self.session
            said = session.request(
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


def _credentials_fail(error: exceptions.GoogleAuthError, method: str, url: str) -> Failure:
    passes = isinstance(error, exceptions.RefreshError) and getattr(error, "retryable", False)
    return Failure(
        status=0 if passes else 401, reason="credentials", message=_last(error), method=method, url=url
    )


def _plain(query: Mapping[str, object]) -> dict[str, object]:
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
