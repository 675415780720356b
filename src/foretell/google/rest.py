"""
One authorised way to Google's REST interfaces.

Credentials are Google's application default, optionally those of a service account that they may act as. Where a
service is can be told by gcloud's own variables, CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE and the like.
"""

from __future__ import annotations

import functools
import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

from msgspec.structs import replace

from foretell.errors import UsageError
from foretell.google.errors import Failure
from foretell.system.backoff import Backoff

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
BACKOFF = Backoff(first=0.25, longest=8, jitter=0.5)

Json: TypeAlias = dict[str, Any]
Answer: TypeAlias = Json | Failure


def base(service: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return where a service answers, with a slash at the end."""
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
    def _line(self) -> Any:
        """What sends; loaded with the first request, for it takes longer than all the rest of a command."""
        try:
            line = importlib.import_module("foretell.google.connection")
        except ImportError as error:
            hint = "pip install 'foretell[google]'"
            raise UsageError(
                "Google's services need libraries that are not here", why=str(error), hint=hint
            ) from error
        return line.Connection(self._impersonate, self._environ)

    @property
    def project(self) -> str:
        """The project of the credentials, "" where they name none."""
        return cast("str", self._line.project)

    @property
    def session(self) -> Any:
        """The authorised session underneath, for clients of Google's that take one."""
        return self._line.session

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
        pauses = replace(BACKOFF, patience=self._patience).pauses(since=time.monotonic())
        while True:
            address = base(service, self._environ) + path
            answer: Answer = self._line.send(method, address, body, query or {}, timeout or self._timeout)
            worth = again and isinstance(answer, Failure) and answer.passes
            pause = next(pauses, None) if worth else None
            if pause is None:
                return answer
            self._sleep(pause)
