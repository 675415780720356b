"""What a Google service answers when it does not do what was asked, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """What an answer that is no success means for whoever asked."""

    ABSENT = "absent"
    EXISTS = "exists"
    DENIED = "denied"
    """A permission or credentials are missing, or the service is not enabled: nobody mends it by asking again."""
    QUOTA = "quota"
    """So much is not allowed at a time: machines, not requests."""
    BUSY = "busy"
    """Too many requests a minute, which Compute says by 403 and others by 429: ask again, later."""
    AWAY = "away"
    """The service or the way to it is broken: nobody knows whether it was done."""
    WRONG = "wrong"
    """The request itself: malformed, or not as things stand."""


RATES = frozenset(
    {
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "RATE_LIMIT_EXCEEDED",
        "resourceExhausted",
        "RESOURCE_EXHAUSTED",
        "jobRateLimitExceeded",
    }
)
QUOTAS = frozenset({"quotaExceeded", "QUOTA_EXCEEDED", "limitExceeded"})


class Failure(Struct, frozen=True, kw_only=True):
    """
    An answer that is no success.

    `status` is HTTP's, 0 where nothing was answered. `reason` is Google's word for it: "rateLimitExceeded",
    "SERVICE_DISABLED", "notFound". `method` and `url` say what was asked.
    """

    status: int
    reason: str
    message: str
    method: str = ""
    url: str = ""

    @property
    def kind(self) -> Kind:
        match self.status:
            case 404:
                return Kind.ABSENT
            case 409:
                return Kind.EXISTS
            case 429:
                return Kind.BUSY
            case 403 if self.reason in RATES:
                return Kind.BUSY
            case 403 if self.reason in QUOTAS:
                return Kind.QUOTA
            case 401 | 403:
                return Kind.DENIED
            case 0 | 408:
                return Kind.AWAY
            case status if status >= 500:
                return Kind.AWAY
            case _:
                return Kind.WRONG

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.kind in (Kind.BUSY, Kind.AWAY)

    @property
    def why(self) -> str:
        """Tell it in one line."""
        status = f"{self.status} " if self.status else ""
        return f"{status}{self.reason}: {' '.join(self.message.split())}"


def read(status: int, body: object, text: str = "") -> Failure:
    """Read an error answer, of either of the two forms that Google's services have for it."""
    error: object = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        said = error if isinstance(error, str) else text[:300]
        return Failure(status=status, reason="http", message=said or "no more was said")
    return Failure(
        status=status,
        reason=next(_reasons(error), "http"),
        message=str(error.get("message") or "no more was said"),
    )


def _reasons(error: Mapping[str, object]) -> Iterator[str]:
    """Return its reasons, the most telling first: of a detail, of a listed error, its status."""
    for key in ("details", "errors"):
        listed = error.get(key)
        for part in listed if isinstance(listed, list) else []:
            if isinstance(part, Mapping) and isinstance(part.get("reason"), str):
                yield part["reason"]
    if isinstance(status := error.get("status"), str):
        yield status
