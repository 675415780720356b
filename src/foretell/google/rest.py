"""
One authorised way to Google's REST interfaces.

Credentials are Google's application default, optionally those of a service account that they may act as.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from msgspec.structs import replace

from foretell.errors import UsageError
from foretell.google.endpoints import Answer, base
from foretell.google.errors import Failure
from foretell.google.remedies import INSTALL
from foretell.system.backoff import Backoff

BACKOFF = Backoff(first=0.25, longest=8, jitter=0.5)


class Sender(Protocol):
    """What sends a request: `Connection`, known here by its shape, for Google's libraries are loaded late."""

    @property
    def project(self) -> str:
        """The project of the credentials, "" where they name none."""
        ...

    @property
    def member(self) -> str:
        """Who asks, as an IAM policy names it."""
        ...

    def send(
        self, method: str, url: str, body: object, query: Mapping[str, object], timeout: float
    ) -> Answer:
        """Send one request and give the answer's body, or the failure."""


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
    def _connection(self) -> Sender:
        """What sends; loaded with the first request, for it takes longer than all the rest of a command."""
        try:
            from foretell.google.connection import Connection
        except ImportError as error:
            raise UsageError(
                "Google's services need libraries that are not here", why=str(error), hint=INSTALL
            ) from error
        return Connection(self._impersonate, self._environ)

    @property
    def project(self) -> str:
        """The project of the credentials, "" where they name none."""
        return self._connection.project

    @property
    def member(self) -> str:
        """Who asks, as an IAM policy names it."""
        return self._connection.member

    def get(self, service: str, path: str, query: Mapping[str, object] | None = None) -> Answer:
        """Read; repeated where that helps."""
        return self.call("GET", service, path, query=query, again=True)

    def pages(self, service: str, path: str, query: Mapping[str, object] | None = None) -> Iterator[Answer]:
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
        query: Mapping[str, object] | None = None,
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
            answer: Answer = self._connection.send(
                method, address, body, query or {}, timeout or self._timeout
            )
            worth = again and isinstance(answer, Failure) and answer.passes
            pause = next(pauses, None) if worth else None
            if pause is None:
                return answer
            self._sleep(pause)
