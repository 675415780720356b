"""What an error of a bucket means: whether it may pass by itself, and if not, the command that mends it."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

from obstore.exceptions import AlreadyExistsError

from foretell.errors import StoreError, StoreRefusedError

STATUS = re.compile(r"status code: (\d{3}) ?([A-Za-z -]*)")
DETAILS = re.compile(r"<(?:Details|Message)>([^<]+)</")
DENIED = re.compile(r"([^\s<>]+@\S+) does not have (\S+) access")
SYSTEM = re.compile(r'message: "([^"]+)"')
TOKEN = "token request"  # noqa: S105 - no password
"""What obstore says where the credentials are at fault, before anything was asked of the bucket."""
PASSING = {408, 409, 425, 429}
"""With everything from 500 on. A 409 is another writer at the same moment, not its success."""
NO_BUCKET = "NoSuchBucket"
NO_UPLOAD = "NoSuchUpload"
LOGIN = "gcloud auth application-default login"


def status(error: Exception) -> int | None:
    """Return the status that the server answered with, None where it did not answer."""
    found = STATUS.search(str(error))
    return int(found[1]) if found else None


def passes(error: Exception) -> bool:
    """Whether the same request may succeed later: no answer, or one that says so."""
    code = status(error)
    return code is None or code in PASSING or code >= 500 or NO_UPLOAD in str(error)


def is_certain(error: Exception) -> bool:
    """Whether it is the answer: the object is there already, or the bucket is there and the object is not."""
    absent = isinstance(error, FileNotFoundError) and NO_BUCKET not in str(error)
    return (absent or isinstance(error, AlreadyExistsError)) and not passes(error)


def told(verb: str, key: str, url: str, error: Exception) -> StoreError:
    """Return the error for people: what, where, why, and the next step."""
    what = f'cannot {verb} "{key}"'
    code = status(error)
    if TOKEN in str(error):
        why = f"no credentials: {_why(error)}"
        return _kind(code)(
            what, where=url, why=why, hint=LOGIN if _of_google(url) else "see `foretell doctor`"
        )
    if NO_BUCKET in str(error) or (code == 404 and verb == "write"):
        return StoreRefusedError(what, where=url, why="the bucket does not exist", hint=_make(url))
    if code is not None and not passes(error):
        return StoreRefusedError(what, where=url, why=_why(error), hint=_mend(code, url, str(error)))
    hint = "repeat the command; if it lasts, see https://status.cloud.google.com" if _of_google(url) else ""
    return StoreError(
        what, where=url, why=_why(error), hint=hint or "check the store, then repeat the command"
    )


def _kind(code: int | None) -> type[StoreError]:
    """Credentials that are refused stay so; a machine's metadata server that is silent or busy will answer."""
    return StoreError if code is not None and code >= 500 else StoreRefusedError


def _why(error: Exception) -> str:
    """Say what the server said, or why it could not be asked."""
    text = str(error)
    found = STATUS.search(text)
    if found:
        details = DETAILS.findall(text)
        more = f": {html.unescape(details[-1])}" if details else ""
        return f"{found[1]} {found[2].strip()}{more}"
    first = text.partition("\n")[0].rpartition(" - ")[2]
    system = SYSTEM.search(text)
    return f"{first}: {system[1]}" if system else first


def _mend(code: int, url: str, text: str) -> str:
    if not _of_google(url):
        return "check the permissions of the store"
    if code == 401:
        return LOGIN
    denied = DENIED.search(text)
    account = denied[1] if denied else "ACCOUNT"
    kind = "serviceAccount" if account.endswith("gserviceaccount.com") else "user"
    return (
        f"gcloud storage buckets add-iam-policy-binding {_bucket(url)} "
        f"--member={kind}:{account} --role=roles/storage.objectUser"
    )


def _make(url: str) -> str:
    if not _of_google(url):
        return "create it, or correct `store` in foretell.toml"
    return f"gcloud storage buckets create {_bucket(url)} --location=EU --uniform-bucket-level-access"


def _bucket(url: str) -> str:
    return f"gs://{urlsplit(url).netloc}"


def _of_google(url: str) -> bool:
    return url.startswith("gs://")
