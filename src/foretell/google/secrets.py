"""Values of secrets from Secret Manager, by reference, checked on arrival."""

from __future__ import annotations

import base64

import google_crc32c

from foretell.errors import EnvironmentFailedError, PlatformError
from foretell.google import remedies
from foretell.google.errors import Category, Failure
from foretell.google.rest import Rest


def access(rest: Rest, reference: str) -> bytes:
    """
    Return the value of "projects/P/secrets/S/versions/N".

    EnvironmentFailedError where that will not change by itself, PlatformError where it may.
    """
    answer = rest.get("secretmanager", f"v1/{reference}:access")
    if isinstance(answer, Failure):
        raise _refused(reference, answer)
    payload = answer.get("payload", {})
    value = base64.b64decode(payload.get("data", ""))
    if payload.get("dataCrc32c") != str(google_crc32c.value(value)):
        raise PlatformError(
            f'the secret "{reference}" did not arrive as it was sent', why="its CRC32C differs"
        )
    return value


def _refused(reference: str, failure: Failure) -> EnvironmentFailedError | PlatformError:
    _, project, _, name, _, version = reference.split("/")
    what = f'the secret "{reference}" cannot be read'
    if failure.passes:
        return PlatformError(what, why=failure.why)
    hints = {
        Category.ABSENT: remedies.list_secret_versions(project, name),
        Category.DENIED: remedies.grant_secret(project, name, "serviceAccount:THE_MACHINES_ACCOUNT"),
        Category.INVALID: remedies.see_secret_version(project, name, version),
    }
    return EnvironmentFailedError(what, why=failure.why, hint=hints.get(failure.category, "foretell doctor"))
