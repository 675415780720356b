"""What an error of a bucket means: whether it may pass by itself, and if not, the command that mends it."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

from obstore.exceptions import AlreadyExistsError

from foretell.errors import StoreError, StoreRefusedError
from foretell.google.errors import PASSING, Category, categorise
from foretell.google.remedies import LOGIN, grant_bucket, make_bucket, member

STATUS = re.compile(r"status code: (\d{3}) ?([A-Za-z -]*)")
DETAILS = re.compile(r"<(?:Details|Message)>([^<]+)</")
DENIED = re.compile(r"([^\s<>]+@\S+) does not have (\S+) access")
SYSTEM = re.compile(r'message: "([^"]+)"')
TOKEN = "token request"  # noqa: S105 - no password
"""What obstore says where the credentials are at fault, before anything was asked of the bucket."""
STATUSES = {409: Category.BUSY, 412: Category.EXISTS, 425: Category.BUSY}
"""What means another thing here than elsewhere: a 409 is another writer at the same moment, not its success."""
NO_BUCKET = "NoSuchBucket"
NO_UPLOAD = "NoSuchUpload"


def status(error: Exception) -> int | None:
    """Return the status that the server answered with, None where it did not answer."""
    found = STATUS.search(str(error))
    return int(found[1]) if found else None


def category(error: Exception) -> Category:
    """Return what an error of obstore means."""
    code = status(error)
    if code is None or NO_UPLOAD in str(error):
        return Category.AWAY
    return STATUSES.get(code) or categorise(code)


def passes(error: Exception) -> bool:
    """Whether the same request may succeed later: no answer, or one that says so."""
    return category(error) in PASSING


def is_certain(error: Exception) -> bool:
    """Whether it is the answer: the object is there already, or the bucket is there and the object is not."""
    absent = isinstance(error, FileNotFoundError) and NO_BUCKET not in str(error)
    return (absent or isinstance(error, AlreadyExistsError)) and not passes(error)


def told(verb: str, key: str, url: str, error: Exception) -> StoreError:
    """Return the error for people: what, where, why, and the next step."""
    what = f'cannot {verb} "{key}"'
    found = category(error)
    if TOKEN in str(error):
        why = f"no credentials: {_why(error)}"
        hint = LOGIN if _of_google(url) else "see `foretell doctor`"
        # a machine's metadata server that is silent or busy will answer; what is refused stays so
        away = found is Category.AWAY and status(error) is not None
        return (StoreError if away else StoreRefusedError)(what, where=url, why=why, hint=hint)
    if NO_BUCKET in str(error) or (found is Category.ABSENT and verb == "write"):
        return StoreRefusedError(what, where=url, why="the bucket does not exist", hint=_make(url))
    if found not in PASSING:
        hint = _mend(str(error), url, anonymous=status(error) == 401)
        return StoreRefusedError(what, where=url, why=_why(error), hint=hint)
    hint = "repeat the command; if it lasts, see https://status.cloud.google.com" if _of_google(url) else ""
    return StoreError(
        what, where=url, why=_why(error), hint=hint or "check the store, then repeat the command"
    )


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


def _mend(text: str, url: str, *, anonymous: bool) -> str:
    if not _of_google(url):
        return "check the permissions of the store"
    if anonymous:
        return LOGIN
    denied = DENIED.search(text)
    return grant_bucket(_bucket(url), member(denied[1]) if denied else "user:ACCOUNT")


def _make(url: str) -> str:
    if not _of_google(url):
        return "create it, or correct `store` in foretell.toml"
    return make_bucket(_bucket(url), "EU")


def _bucket(url: str) -> str:
    return urlsplit(url).netloc


def _of_google(url: str) -> bool:
    return url.startswith("gs://")
