"""
One authorised way to Google's REST interfaces.

Credentials are Google's application default, optionally those of a service account that they may act as. Where a
service is can be told by gcloud's own variables, CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE and the like.
"""

from __future__ import annotations

import functools
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import google.auth
import requests
from google.auth import exceptions, impersonated_credentials
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession

from foretell.google import failures
from foretell.google.failures import Failure

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
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
SLOW, FAST = 8.0, 0.25
"""The longest and the shortest pause between two tries, in seconds."""

Json: TypeAlias = dict[str, Any]
Answer: TypeAlias = Json | Failure


def base(service: str, environ: Mapping[str, str] = os.environ) -> str:
    """Give where a service answers, with a slash at the end."""
    told = environ.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service.upper()}")
    return f"{told.rstrip('/')}/" if told else BASES[service]


class Rest:
    """
    Requests by one identity, over connections that are kept.

    `timeout` is the patience with one request, `patience` that with all tries of one call, both in seconds.
    """

    def __init__(
        self,
        *,
        impersonate: str | None = None,
        environ: Mapping[str, str] = os.environ,
        timeout: float = 30.0,
        patience: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._impersonate = impersonate
        self._environ = environ
        self._timeout = timeout
        self._patience = patience
        self._sleep = sleep

    @functools.cached_property
    def _found(self) -> tuple[Credentials, str]:
        """Find the credentials and the project that comes with them, "" where none does."""
        credentials, project = google.auth.default(scopes=[SCOPE])
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

    def get(self, service: str, path: str, query: Mapping[str, Any] | None = None) -> Answer:
        """Read; repeated where that helps."""
        return self.call("GET", service, path, query=query, again=True)

    def pages(self, service: str, path: str, query: Mapping[str, Any] | None = None) -> Iterator[Answer]:
        """Read all pages of a list; a failure is the last that comes."""
        told = dict(query or {})
        while True:
            answer = self.get(service, path, told)
            yield answer
            if isinstance(answer, Failure) or not answer.get("nextPageToken"):
                return
            told["pageToken"] = answer["nextPageToken"]

    def call(
        self,
        method: str,
        service: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, Any] | None = None,
        again: bool = False,
        timeout: float | None = None,
    ) -> Answer:
        """
        Send one request and give the answer's body, or the failure.

        `again` says that it may be repeated: a read, or what the service itself knows by a request id. Then what
        passes is asked again with growing pauses, for as long as patience lasts.
        """
        end = time.monotonic() + self._patience
        pause = FAST
        while True:
            answer = self._once(method, base(service, self._environ) + path, body, query, timeout)
            waits = pause * (0.5 + random.random())  # noqa: S311 - so that many do not come back at once
            if (
                not again
                or not isinstance(answer, Failure)
                or not answer.passes
                or time.monotonic() + waits > end
            ):
                return answer
            self._sleep(waits)
            pause = min(pause * 2, SLOW)

    def _once(
        self, method: str, url: str, body: object, query: Mapping[str, Any] | None, timeout: float | None
    ) -> Answer:
        try:
            said = self.session.request(
                method,
                url,
                params=_plain(query or {}),
                json=body,
                timeout=timeout or self._timeout,
            )
        except (exceptions.DefaultCredentialsError, exceptions.RefreshError) as error:
            return _credentials_fail(error, method, url)
        except (requests.RequestException, exceptions.TransportError) as error:
            return Failure(status=0, reason="unreachable", message=_last(error), method=method, url=url)
        told = _json(said)
        if said.ok and told is not None:
            return told
        found = failures.read(said.status_code if not said.ok else 0, told, said.text)
        return Failure(
            status=found.status, reason=found.reason, message=found.message, method=method, url=url
        )


def _acting_as(account: str, source: Credentials, environ: Mapping[str, str]) -> Credentials:
    """Give the credentials of a service account that these may act as."""
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
    """Give parameters as they stand in an address: true and false in small letters."""
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
    """Give the last words of an error, which wraps what really happened a few times."""
    text = " ".join(str(error).split())
    return text if len(text) < 300 else f"{text[:200]} … {text[-90:]}"
