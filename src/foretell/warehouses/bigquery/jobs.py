"""
Jobs of BigQuery, each asked for by a name of our own: so a lost answer is no second job.

A name ends with a number. Who finds its job there already takes it for its own, if it is the same and did what it
should; a job that failed has used up its name for ever, and the next number is taken.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, cast

from google.api_core.exceptions import Conflict, Forbidden, NotFound
from google.api_core.retry import Retry
from google.cloud.bigquery import Client
from google.cloud.bigquery.retry import DEFAULT_RETRY

from foretell.errors import WarehouseError
from foretell.google import remedies
from foretell.system.backoff import Backoff
from foretell.warehouses.bigquery.errors import FAILURES, RetryableError, judged

ONCE = cast("Retry", None)
"""For what is not to be repeated by the client: it would hide whether something was done before."""
RETRY = DEFAULT_RETRY.with_timeout(20.0)
"""For what only reads; the client's own would go on for ten minutes."""
REQUEST = 60.0
"""Seconds for one request."""
UNSEEN = 10.0
"""Seconds for which a job that is there may not be found yet."""
LONGEST = 3600.0
"""Seconds that one job may take."""
BACKOFF = Backoff(first=0.05, longest=2, factor=1.5)
"""Between two looks at a job that runs."""


class Job(Protocol):
    """What all of Google's jobs have in common; their classes have no public base."""

    @property
    def state(self) -> object: ...

    @property
    def error_result(self) -> Mapping[str, object] | None: ...


J = TypeVar("J", bound=Job)


class Jobs:
    """The jobs of one client. `member` is who asks, as IAM names it, for messages."""

    def __init__(self, client: Client, *, member: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.client = client
        self.member = member
        self._sleep = sleep

    def finish(
        self,
        stem: str,
        ask: Callable[[str], J],
        *,
        same: Callable[[J], bool],
        stands: Callable[[J], bool] = lambda _: True,
    ) -> J:
        """
        Have one job of this stem done, by us or by whoever asked for it before, and give it.

        `ask` inserts the job of a name. `same` tells whether a job that was found is the one we want, `stands` whether
        the effect of one that is done is still there. Raises what the error of our own job means.
        """
        for number in itertools.count(1):
            name = f"{stem}_{number}"
            job, ours = self._asked(name, ask)
            if job is None or not (ours or same(job)):
                continue
            done = self._wait(name, job)
            failure = done.error_result
            if failure is None and (ours or stands(done)):
                return done
            if ours and failure is not None:
                raise judged(failure, project=self.client.project, member=self.member)
        raise AssertionError(stem)

    def _asked(self, name: str, ask: Callable[[str], J]) -> tuple[J | None, bool]:
        """Ask for a job; give it and whether it is ours. None for one of a stranger, which we may not see."""
        try:
            return ask(name), True
        except Conflict:  # an earlier try of ours whose answer was lost, or another deliverer
            pass
        except FAILURES as error:
            if getattr(error, "code", 0) in range(400, 500) and getattr(error, "code", 0) not in (408, 429):
                raise
            found = self._found(name, patience=0)
            if found is None:
                raise RetryableError(str(error)) from error
            return found, False
        return self._found(name, patience=UNSEEN), False

    def _found(self, name: str, *, patience: float) -> Any:
        end = time.monotonic() + patience
        pauses = BACKOFF.pauses()
        while True:
            try:
                return self._get(name)
            except Forbidden:
                return None
            except NotFound:
                if time.monotonic() >= end:
                    return None
                self._sleep(next(pauses))

    def _get(self, name: str) -> Any:
        return self.client.get_job(name, location=self.client.location, retry=RETRY, timeout=REQUEST)

    def _wait(self, name: str, job: J) -> J:
        end = time.monotonic() + LONGEST
        pauses = BACKOFF.pauses()
        while job.state != "DONE":
            if time.monotonic() > end:
                raise WarehouseError(
                    f'the job "{name}" of BigQuery does not end',
                    hint=remedies.see_job(self.client.project, name),
                )
            self._sleep(next(pauses))
            job = self._get(name)
        return job
