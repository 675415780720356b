"""What a service answers when it does not do what was asked, as values, and in what categories these fall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from msgspec import Struct


class Category(StrEnum):
    """What an answer that is no success means for whoever asked, whatever product gave it."""

    ABSENT = "absent"
    EXISTS = "exists"
    DENIED = "denied"
    """A permission or credentials are missing, or the service is not enabled: nobody mends it by asking again."""
    QUOTA = "quota"
    """So much is not allowed at a time: machines, not requests."""
    BUSY = "busy"
    """Too many ask, or another was first, or there is no room at present: ask again, later or elsewhere."""
    AWAY = "away"
    """The service or the way to it is broken: nobody knows whether it was done."""
    INVALID = "invalid"
    """The request itself: malformed, or not as things stand."""


PASSING = frozenset({Category.BUSY, Category.AWAY})
"""What may be otherwise a little later."""
REASONS = {
    **dict.fromkeys(
        (
            "rateLimitExceeded",
            "userRateLimitExceeded",
            "RATE_LIMIT_EXCEEDED",
            "resourceExhausted",
            "RESOURCE_EXHAUSTED",
            "jobRateLimitExceeded",
        ),
        Category.BUSY,
    ),
    **dict.fromkeys(("quotaExceeded", "QUOTA_EXCEEDED", "limitExceeded"), Category.QUOTA),
}
"""What a refusal, 403, means by Google's word for it; Compute Engine says by it that too many ask."""
STATUSES = {
    0: Category.AWAY,
    401: Category.DENIED,
    403: Category.DENIED,
    404: Category.ABSENT,
    408: Category.AWAY,
    409: Category.EXISTS,
    429: Category.BUSY,
}


def categorise(status: int, reason: str = "") -> Category:
    """Return what a status of HTTP means, 0 where nothing was answered, with a reason of Google's if there is one."""
    if status == 403 and reason in REASONS:
        return REASONS[reason]
    return Category.AWAY if status >= 500 else STATUSES.get(status, Category.INVALID)


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
    def category(self) -> Category:
        return categorise(self.status, self.reason)

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.category in PASSING

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
