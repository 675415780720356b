"""What a delivery asks BigQuery for, without asking: Google's own client writes to a board instead of the network."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import requests
from google.auth.transport.requests import AuthorizedSession
from google.cloud.bigquery import Client
from msgspec.structs import replace
from requests.adapters import BaseAdapter

from foretell.google.credentials import nobody
from foretell.google.endpoints import Json
from foretell.warehouses.base import Shipment
from foretell.warehouses.bigquery.settings import BigQuerySettings

PROJECT = "<the project of the credentials>"
ROWS = 1_000_000_000_000_007
"""Stands for the number of rows, which is a number to whoever asks; shown as <…>."""
UNKNOWN = {str(ROWS): "<the number of rows>"}
EXPIRES = "expirationTime"
MADE_UP = re.compile(r"(?<=foretell_view_)[0-9a-z]+")
"""What is made up in the name of a job, whose effect and not its name is what counts."""


class RecordingAdapter(BaseAdapter):
    """A BigQuery in which nothing is there yet, and everything that is asked for is done at once; it is written up."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Json] = []

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        answer = requests.Response()
        answer.request, answer.url = request, request.url or ""
        answer.headers["Content-Type"] = "application/json"
        asked = _told(request.body) if request.method == "POST" else None
        if asked is None:
            answer.status_code = 404 if request.method == "GET" else 204
            told: Json = {"error": {"code": 404, "message": "a plan looks nowhere"}}
        else:
            answer.status_code = 200
            self.written.append({"POST": unquote(answer.url.partition("?")[0]), "body": _shown(asked)})
            done = {"status": {"state": "DONE"}, "statistics": {"load": {"outputRows": str(ROWS)}}}
            told = {**asked, **done} if "jobReference" in asked else asked
        answer._content = json.dumps(told).encode()  # noqa: SLF001 - what an adapter of requests fills in
        return answer

    def close(self) -> None:
        """There is nothing that is open."""


@contextmanager
def drawing(settings: BigQuerySettings) -> Iterator[tuple[Client, list[Json]]]:
    """Return a client that reaches nobody, and the list of what it asked for."""
    board = RecordingAdapter()
    with AuthorizedSession(nobody()) as session:
        session.mount("https://", board)
        session.mount("http://", board)
        project = settings.project or PROJECT
        yield (
            Client(project=project, credentials=nobody(), location=settings.location, _http=session),
            board.written,
        )


@contextmanager
def shipped(shipment: Shipment) -> Iterator[Shipment]:
    """Return a shipment with rows, whose files are there; what is in them is of no account."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        files: Sequence[Path] = () if shipment.uris else (Path(file.name),)
        yield replace(shipment, rows=ROWS, files=tuple(files))


def _told(body: object) -> Json | None:
    """Read what is sent: JSON alone, or as the first part of an upload."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    start = text.find("{")
    found = json.JSONDecoder().raw_decode(text[start:])[0] if start >= 0 else None
    return found if isinstance(found, dict) else None


def _shown(told: object) -> object:
    """Put <…> in the place of what only a delivery can know."""
    match told:
        case str():
            return MADE_UP.sub("<new>", UNKNOWN.get(told, told))
        case dict():
            return {key: "<a day later>" if key == EXPIRES else _shown(value) for key, value in told.items()}
        case list():
            return [_shown(item) for item in told]
        case _:
            return told
