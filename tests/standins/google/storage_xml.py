"""
The XML API of Cloud Storage, which obstore speaks, in terms of the JSON API, which fake-gcs-server has.

A PUT becomes one upload of the JSON API, so that the server itself decides about its precondition. What is not
needed answers 501, never silently something else.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

PAGE = 1000
LEAST_PART = 5 * 1024 * 1024
LISTING = {"list-type", "prefix", "delimiter", "start-after", "continuation-token", "max-keys"}
DECLARATION = "<?xml version='1.0' encoding='UTF-8'?>"
CODES = {
    400: "InvalidArgument",
    404: "NoSuchKey",
    412: "PreconditionFailed",
    416: "InvalidRange",
    429: "SlowDown",
    501: "NotImplemented",
}
UNKNOWN = re.compile(r"x-goog-(if-(?!generation-match)|copy-|resumable|encryption|metadata-).*|if-.*")
"""Headers that mean something to Google and nothing here."""


class Reply(NamedTuple):
    """An answer."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Refused(Exception):  # noqa: N818 - an answer, thrown
    """An answer that cuts short."""

    def __init__(self, status: int, message: str = "", code: str = "") -> None:
        super().__init__(message)
        self.reply = error(status, message, code)


class Upload:
    """A multipart upload on its way."""

    def __init__(self, place: tuple[str, str]) -> None:
        self.place = place
        self.parts: dict[int, tuple[str, bytes]] = {}
        self.lock = threading.Lock()


Upstream = Callable[[str, str, bytes | None, Mapping[str, str]], Reply]


class Asked(NamedTuple):
    """One request: `name` is the object's, "" for the bucket; `headers` have lower-case names."""

    server: Upstream
    method: str
    bucket: str
    name: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def place(self) -> tuple[str, str]:
        return self.bucket, self.name

    @property
    def path(self) -> str:
        """The object in the JSON API."""
        return f"/storage/v1/b/{quote(self.bucket)}/o/{quote(self.name, safe='')}"


UPLOADS: dict[str, Upload] = {}


def error(status: int, message: str = "", code: str = "") -> Reply:
    code = code or CODES.get(status, "InternalError")
    text = f"<Error><Code>{code}</Code><Message>{escape(message or code)}</Message></Error>"
    return _xml(status, text)


def answer(asked: Asked) -> Reply:
    """Answer one request."""
    unknown = [name for name in asked.headers if UNKNOWN.fullmatch(name)]
    if unknown:
        return error(501, f"the header {unknown[0]} means nothing here")
    try:
        return _of_object(asked) if asked.name else _of_bucket(asked)
    except Refused as refused:
        return refused.reply


def _of_bucket(asked: Asked) -> Reply:
    if asked.method != "GET" or asked.query.keys() - LISTING:
        raise Refused(501, f"{asked.method} of a bucket")
    return _listing(asked)


def _of_object(asked: Asked) -> Reply:
    match (asked.method, sorted(asked.query)):
        case ("GET" | "HEAD", []):
            return _read(asked)
        case ("PUT", []):
            return _write(asked, asked.body)
        case ("DELETE", []):
            return _remove(asked)
        case ("POST", ["uploads"]):
            return _begin(asked)
        case ("PUT", ["partNumber", "uploadId"]):
            return _part(asked)
        case ("POST", ["uploadId"]):
            return _complete(asked)
        case ("DELETE", ["uploadId"]):
            _upload(asked)
            del UPLOADS[asked.query["uploadId"]]
            return Reply(204)
        case (method, names):
            raise Refused(501, f"{method} with {names}")


# --- objects --------------------------------------------------------------------------------------------------------


def _write(asked: Asked, data: bytes) -> Reply:
    """Upload atomically, under the precondition of the request."""
    headers = asked.headers
    digest = headers.get("content-md5")
    if digest and base64.b64decode(digest) != hashlib.md5(data).digest():
        raise Refused(400, "Content-MD5 differs", "BadDigest")
    kind = headers.get("content-type", "application/octet-stream")
    meta = {name.removeprefix("x-goog-meta-"): value for name, value in headers.items() if "-meta-" in name}
    edge = uuid.uuid4().hex
    about = json.dumps({"name": asked.name, "contentType": kind, "metadata": meta})
    head = f"--{edge}\r\nContent-Type: application/json\r\n\r\n{about}\r\n--{edge}\r\nContent-Type: {kind}\r\n\r\n"
    options = {"uploadType": "multipart"}
    if "x-goog-if-generation-match" in headers:
        options["ifGenerationMatch"] = headers["x-goog-if-generation-match"]
    reply = asked.server(
        "POST",
        f"/upload/storage/v1/b/{quote(asked.bucket)}/o?{urlencode(options)}",
        b"".join((head.encode(), data, f"\r\n--{edge}--\r\n".encode())),
        {"Content-Type": f"multipart/related; boundary={edge}"},
    )
    if reply.status != 200:
        raise Refused(reply.status, reply.body.decode(), "NoSuchBucket" if reply.status == 404 else "")
    return Reply(200, b"", _described(json.loads(reply.body)))


def _read(asked: Asked) -> Reply:
    """Give the server's own answer, which is one consistent snapshot, with the ETag of the XML API."""
    passed = {name: value for name, value in asked.headers.items() if name in ("range", "accept-encoding")}
    reply = asked.server(asked.method, f"/{quote(asked.bucket)}/{quote(asked.name, safe='')}", None, passed)
    if reply.status == 404 and not _has_bucket(asked):
        raise Refused(404, code="NoSuchBucket")
    if reply.status not in (200, 206):
        return error(reply.status)
    described = {name: value for name, value in reply.headers.items() if name.lower() != "etag"}
    md5 = re.search(r"md5=([^,]+)", described.get("X-Goog-Hash", ""))
    tag = _tag(md5[1] if md5 else None, described.get("X-Goog-Generation", ""))
    return reply._replace(headers=described | {"ETag": tag})


def _remove(asked: Asked) -> Reply:
    reply = asked.server("DELETE", asked.path, None, {})
    return Reply(204) if reply.status < 300 else error(reply.status)


def _has_bucket(asked: Asked) -> bool:
    return asked.server("GET", f"/storage/v1/b/{quote(asked.bucket)}", None, {}).status == 200


def _described(found: dict[str, Any]) -> dict[str, str]:
    """Give the headers of an object, from its JSON resource."""
    return {
        "ETag": _tag(found.get("md5Hash"), found["generation"]),
        "x-goog-generation": str(found["generation"]),
        "x-goog-metageneration": str(found.get("metageneration", 1)),
        "x-goog-hash": f"crc32c={found['crc32c']},md5={found.get('md5Hash', '')}",
        "x-goog-stored-content-length": str(found.get("size", 0)),
        "Last-Modified": email.utils.format_datetime(datetime.fromisoformat(found["updated"]), usegmt=False),
    }


def _tag(md5: str | None, generation: str) -> str:
    return f'"{base64.b64decode(md5).hex()}"' if md5 else f'"-{generation}"'


# --- listing --------------------------------------------------------------------------------------------------------


def _listing(asked: Asked) -> Reply:
    """List objects and folders in the order of their bytes, a page at a time; the last name is the next page's token."""
    query = asked.query
    entries = dict(_entries(asked))
    after = query.get("continuation-token") or query.get("start-after") or ""
    limit = min(int(query.get("max-keys") or PAGE), PAGE)
    names = sorted((name for name in entries if name.encode() > after.encode()), key=str.encode)
    page = names[:limit]
    more = len(names) > limit
    parts = [f"<Name>{escape(asked.bucket)}</Name><KeyCount>{len(page)}</KeyCount>"]
    parts.append(f"<IsTruncated>{str(more).lower()}</IsTruncated>")
    if more:
        parts.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
    parts += [_entry(name, entries[name]) for name in page]
    return _xml(200, f"<ListBucketResult>{''.join(parts)}</ListBucketResult>")


def _entries(asked: Asked) -> Iterable[tuple[str, dict[str, Any] | None]]:
    """Give every object below a prefix by its name, and None for what a delimiter makes a folder."""
    page = {name: asked.query[name] for name in ("prefix", "delimiter") if asked.query.get(name)}
    while True:
        reply = asked.server("GET", f"/storage/v1/b/{quote(asked.bucket)}/o?{urlencode(page)}", None, {})
        if reply.status != 200:
            raise Refused(reply.status, reply.body.decode(), "NoSuchBucket" if reply.status == 404 else "")
        found = json.loads(reply.body)
        yield from ((item["name"], item) for item in found.get("items", []))
        yield from ((name, None) for name in found.get("prefixes", []))
        if "nextPageToken" not in found:
            return
        page["pageToken"] = found["nextPageToken"]


def _entry(name: str, found: dict[str, Any] | None) -> str:
    if found is None:
        return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
    return (
        f"<Contents><Key>{escape(name)}</Key><Generation>{found['generation']}</Generation>"
        f"<LastModified>{found['updated']}</LastModified><Size>{found.get('size', 0)}</Size>"
        f"<ETag>{escape(_tag(found.get('md5Hash'), found['generation']))}</ETag></Contents>"
    )


# --- multipart uploads ----------------------------------------------------------------------------------------------


def _begin(asked: Asked) -> Reply:
    if not _has_bucket(asked):
        raise Refused(404, code="NoSuchBucket")
    number = uuid.uuid4().hex
    UPLOADS[number] = Upload(asked.place)
    parts = f"{_named(asked)}<UploadId>{number}</UploadId>"
    return _xml(200, f"<InitiateMultipartUploadResult>{parts}</InitiateMultipartUploadResult>")


def _part(asked: Asked) -> Reply:
    upload = _upload(asked)
    tag = f'"{hashlib.md5(asked.body).hexdigest()}"'
    upload.parts[int(asked.query["partNumber"])] = (tag, asked.body)
    return Reply(200, b"", {"ETag": tag})


def _complete(asked: Asked) -> Reply:
    upload = _upload(asked)
    listed = [
        (int(part.findtext("{*}PartNumber") or 0), part.findtext("{*}ETag") or "")
        for part in ET.fromstring(asked.body).findall("{*}Part")
    ]
    with upload.lock:
        _upload(asked)  # it may have been completed meanwhile
        if not listed or any(
            upload.parts.get(part, ("",))[0].strip('"') != tag.strip('"') for part, tag in listed
        ):
            raise Refused(400, code="InvalidPart")
        if [part for part, _ in listed] != sorted({part for part, _ in listed}):
            raise Refused(400, code="InvalidPartOrder")
        pieces = [upload.parts[part][1] for part, _ in listed]
        if any(len(piece) < LEAST_PART for piece in pieces[:-1]):
            raise Refused(400, code="EntityTooSmall")
        reply = _write(asked, b"".join(pieces))
        del UPLOADS[asked.query["uploadId"]]
    tag = f"<ETag>{escape(reply.headers['ETag'])}</ETag>"
    done = _xml(200, f"<CompleteMultipartUploadResult>{_named(asked)}{tag}</CompleteMultipartUploadResult>")
    return done._replace(headers={**done.headers, **reply.headers})


def _upload(asked: Asked) -> Upload:
    upload = UPLOADS.get(asked.query["uploadId"])
    if upload is None or upload.place != asked.place:
        raise Refused(404, code="NoSuchUpload")
    return upload


def _named(asked: Asked) -> str:
    return f"<Bucket>{escape(asked.bucket)}</Bucket><Key>{escape(asked.name)}</Key>"


def _xml(status: int, text: str) -> Reply:
    return Reply(status, f"{DECLARATION}{text}".encode(), {"Content-Type": "application/xml; charset=UTF-8"})
