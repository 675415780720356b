"""What Google's two forms of an error are read as."""

from __future__ import annotations

import pytest

from foretell.google import errors
from foretell.google.errors import Category


@pytest.mark.parametrize(
    ("status", "body", "reason", "kind"),
    [
        (
            403,
            {"error": {"code": 403, "message": "m", "errors": [{"reason": "rateLimitExceeded"}]}},
            "rateLimitExceeded",
            Category.BUSY,
        ),
        (
            403,
            {
                "error": {
                    "code": 403,
                    "message": "m",
                    "status": "PERMISSION_DENIED",
                    "details": [{"@type": "type", "reason": "SERVICE_DISABLED"}],
                }
            },
            "SERVICE_DISABLED",
            Category.DENIED,
        ),
        (
            429,
            {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}},
            "RESOURCE_EXHAUSTED",
            Category.BUSY,
        ),
        (400, {"error": "invalid_grant", "error_description": "d"}, "http", Category.INVALID),
        (502, None, "http", Category.AWAY),
        (404, {"error": {"code": 404, "message": "m"}}, "http", Category.ABSENT),
    ],
)
def test_a_reason_is_found_in_every_form(status: int, body: object, reason: str, kind: Category) -> None:
    found = errors.read(status, body, "<html>Bad Gateway</html>")
    assert (found.reason, found.category) == (reason, kind)
    assert found.message
