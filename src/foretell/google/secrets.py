"""Values of secrets from Secret Manager, by reference, checked on arrival."""

from __future__ import annotations

import base64

from foretell.errors import EnvironmentFailedError, PlatformError
from foretell.google.errors import Failure, Kind
from foretell.google.rest import Rest

CASTAGNOLI = 0x82F63B78
"""The polynomial of CRC32C, its bits reversed."""


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
    if payload.get("dataCrc32c") != str(crc32c(value)):
        raise PlatformError(
            f'the secret "{reference}" did not arrive as it was sent', why="its CRC32C differs"
        )
    return value


def crc32c(data: bytes) -> int:
    """Return the checksum that Google's services send along."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _entry(crc: int) -> int:
    for _ in range(8):
        crc = (crc >> 1) ^ (CASTAGNOLI if crc & 1 else 0)
    return crc


TABLE = [_entry(byte) for byte in range(256)]


def _refused(reference: str, failure: Failure) -> EnvironmentFailedError | PlatformError:
    _, project, _, name, _, version = reference.split("/")
    what = f'the secret "{reference}" cannot be read'
    if failure.passes:
        return PlatformError(what, why=failure.why)
    place = f"{name} --project={project}"
    hints = {
        Kind.ABSENT: f"gcloud secrets versions list {place}",
        Kind.DENIED: f"gcloud secrets add-iam-policy-binding {place} "
        "--member=serviceAccount:THE_MACHINES_ACCOUNT --role=roles/secretmanager.secretAccessor",
        Kind.WRONG: f"gcloud secrets versions describe {version} --secret={place}",
    }
    return EnvironmentFailedError(what, why=failure.why, hint=hints.get(failure.kind, "foretell doctor"))
