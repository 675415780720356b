"""What BigQuery says when it does not do what was asked, and what is to be done about it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import requests
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth import exceptions as credentials

from foretell.errors import WarehouseError
from foretell.google import remedies
from foretell.google.errors import PASSING, Category, categorise
from foretell.warehouses.base import SchemaMismatchError


class RetryableError(Exception):
    """Another was first, or the service was away for a moment: begin again."""


class PermanentError(WarehouseError):
    """BigQuery will not do this, however often it is asked: a query, data or a shape that it does not take."""


FAILURES = (
    GoogleAPICallError,
    RetryError,
    requests.RequestException,
    credentials.GoogleAuthError,
    ConnectionError,
    TimeoutError,
)
"""What the client raises for everything that is not a bug of ours."""

UNFIT = "foretell unfit: "
MISCOUNTED = "foretell rows: "
CHANGED = "foretell again: "
"""What our own SQL raises; see put.sql."""

ABORTED = ("aborted due to concurrent update", "Could not serialize access", "aborted due to lock conflict")
"""Parts of what BigQuery says to all but one of the transactions that change a table at once."""

REASONS = {
    **dict.fromkeys(
        (
            "backendError",
            "internalError",
            "jobBackendError",
            "jobInternalError",
            "tableUnavailable",
            "timeout",
        ),
        Category.AWAY,
    ),
    **dict.fromkeys(("jobRateLimitExceeded", "rateLimitExceeded"), Category.BUSY),
    **dict.fromkeys(("invalid", "invalidQuery", "badRequest"), Category.INVALID),
    **dict.fromkeys(("accessDenied", "accessNotConfigured", "billingNotEnabled"), Category.DENIED),
    "quotaExceeded": Category.QUOTA,
    "notFound": Category.ABSENT,
}
"""What the reason of a job's error means, which has no status; one that is not known here may mean anything."""


def told(error: Exception, *, project: str, member: str) -> Exception:
    """Return the error for a failure of the client: RetryableError, SchemaMismatchError or WarehouseError."""
    if isinstance(error, credentials.DefaultCredentialsError | credentials.RefreshError):
        return _failure("credentials", _first(error), project, member)
    if not isinstance(error, GoogleAPICallError) or not error.code:
        return RetryableError(_first(error))
    reason = next((str(each.get("reason")) for each in error.errors or [] if each.get("reason")), "")
    message = error.message or _first(error)
    # made or changed by another, busy, or away
    if error.code == 412 or categorise(error.code, reason) in PASSING | {Category.EXISTS}:
        return RetryableError(message)
    return judged({"reason": reason, "message": message}, project=project, member=member)


def judged(error: Mapping[str, object], *, project: str, member: str) -> Exception:
    """Return what is to be raised for the error of a job: {"reason": …, "message": …}."""
    reason, message = str(error.get("reason", "")), str(error.get("message", "")).partition("\n")[0]
    if any(sign in message for sign in (*ABORTED, CHANGED)) or REASONS.get(reason) in PASSING:
        return RetryableError(message)
    if UNFIT in message and "Not found" in message:  # the staged rows expired, or another has delivered them
        return RetryableError(message)
    for mark in (UNFIT, MISCOUNTED):
        if mark in message:
            said = re.sub(r" at \[\d+:\d+\]\Z", "", message.partition(mark)[2])
            return SchemaMismatchError(said) if mark == UNFIT else miscounted(said)
    if reason == "forbidden" or "has not been used in project" in message:
        reason = "accessNotConfigured" if "has not been used" in message else "accessDenied"
    return _failure(reason, message, project, member)


def miscounted(number: str) -> WarehouseError:
    """Tell of so many rows, which are not as many as were checked."""
    return WarehouseError(
        f"{number} rows were read back, not as many as were checked",
        hint="the checked rows were changed; deliver again with `foretell tidy`",
    )


def _failure(reason: str, message: str, project: str, member: str) -> WarehouseError:
    what = "no Google credentials can be used" if reason == "credentials" else "BigQuery refuses"
    kind = PermanentError if REASONS.get(reason) is Category.INVALID else WarehouseError
    return kind(
        what if project == "" else f'{what} in the project "{project}"',
        why=message,
        hint=_remedy(reason, message, project or "PROJECT", member),
    )


def _remedy(reason: str, message: str, project: str, member: str) -> str:
    """Return the command that mends it, or what else is to be done."""
    match reason:
        case "credentials":
            return remedies.LOGIN
        case "accessDenied":
            jobs = "bigquery.jobs.create" in message
            role = "roles/bigquery.jobUser" if jobs else "roles/bigquery.dataEditor"
            return remedies.grant(project, member, role)
        case "accessNotConfigured":
            return remedies.enable(project, "bigquery.googleapis.com")
        case "billingNotEnabled":
            return remedies.link_billing(project)
        case "quotaExceeded":
            page = remedies.quotas_page(project)
            return f"see what is used up: {page}; then deliver again with `foretell tidy`"
        case "notFound":
            return remedies.list_datasets(project)
        case _:
            return "`foretell doctor` tells what is missing; then deliver again with `foretell tidy`"


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
