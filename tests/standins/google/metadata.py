"""The metadata server of a machine, as much of it as Google's clients, obstore and a start-up text ask for."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ROOT = "/computeMetadata/v1"
LIFE_OF_A_TOKEN = 3599


class Metadata:
    """
    What a machine is told about itself; `token` gives what it shows to Google's services.

    Like the real one it answers nobody who does not send `Metadata-Flavor: Google`.
    """

    def __init__(
        self,
        token: Callable[[], str],
        *,
        project: str = "example-project",
        zone: str = "europe-west1-b",
        name: str = "launcher",
        id: str = "1",  # noqa: A002 - Google's word
        account: str = "launcher@example-project.iam.gserviceaccount.com",
        attributes: dict[str, str] | None = None,
    ) -> None:
        self.token = token
        self.project, self.zone, self.name, self.id, self.account = project, zone, name, id, account
        self.attributes = attributes or {}
        self.preempted = threading.Event()
        self.broken = threading.Event()
        """Whether it answers nothing but 503."""

    def tree(self) -> dict[str, Any]:
        account = {"email": self.account, "aliases": ["default"], "scopes": [SCOPE]}
        accounts = {"default": account, self.account: account} if self.account else {}
        return {
            "project": {"projectId": self.project, "numericProjectId": 42, "attributes": {}},
            "instance": {
                "id": int(self.id),
                "name": self.name,
                "hostname": f"{self.name}.c.{self.project}.internal",
                "zone": f"projects/42/zones/{self.zone}",
                "preempted": "TRUE" if self.preempted.is_set() else "FALSE",
                "maintenanceEvent": "NONE",
                "attributes": self.attributes,
                "serviceAccounts": accounts,
            },
        }

    def answer(self, path: str, headers: Any) -> tuple[int, str, str]:
        """Give status, text and its type."""
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        if self.broken.is_set():
            return 503, "", "text/html"
        if parts.path == "/":
            return 200, "computeMetadata/\n", "application/text"
        if headers.get("Metadata-Flavor") != "Google" or headers.get("X-Forwarded-For"):
            return 403, "Missing Metadata-Flavor:Google header.", "text/html"
        if not parts.path.startswith(ROOT):
            return 404, "", "text/html"
        below = [part for part in parts.path.removeprefix(ROOT).split("/") if part]
        if below[-1:] == ["token"] and self.account:
            told = {"access_token": self.token(), "expires_in": LIFE_OF_A_TOKEN, "token_type": "Bearer"}
            return 200, json.dumps(told), "application/json"
        if "wait_for_change" in query and below[-1:] == ["preempted"]:
            self.preempted.wait(float(query.get("timeout_sec", ["60"])[0]))
        return _told(self.tree(), below, recursive=query.get("recursive") == ["true"])


def _told(node: Any, below: list[str], *, recursive: bool) -> tuple[int, str, str]:
    for part in below:
        name = part if isinstance(node, dict) and part in node else _camel(part)
        if not isinstance(node, dict) or name not in node:
            return 404, "", "text/html"
        node = node[name]
    if not isinstance(node, dict | list):
        return 200, str(node), "application/text"
    if recursive:
        return 200, json.dumps(node), "application/json"
    lines = (
        [f"{_dashed(key)}{'/' if isinstance(value, dict) else ''}" for key, value in node.items()]
        if isinstance(node, dict)
        else node
    )
    return 200, "\n".join(lines) + "\n", "application/text"


def _camel(text: str) -> str:
    first, *rest = text.split("-")
    return first + "".join(part.title() for part in rest)


def _dashed(text: str) -> str:
    return re.sub(r"(?<=[a-z])([A-Z])", lambda found: f"-{found[1].lower()}", text)


class Server(ThreadingHTTPServer):
    """Answers for one machine."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, metadata: Metadata, listening: socket.socket | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=listening is None)
        if listening is not None:
            self.socket.close()
            self.socket = listening
            self.server_address = listening.getsockname()
        self.metadata = metadata
        self.asked: list[tuple[float, str]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is none of our business."""

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    @property
    def environ(self) -> dict[str, str]:
        """What a program elsewhere needs to find this one."""
        host, port = self.server_address[:2]
        return {"GCE_METADATA_HOST": f"{host!s}:{port}", "GCE_METADATA_IP": f"{host!s}:{port}"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((time.monotonic(), self.path))
        status, text, kind = self.server.metadata.answer(self.path, self.headers)
        data = text.encode()
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Server", "Metadata Server for VM")
        self.send_header("Content-Type", kind)
        self.send_header("ETag", "1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running(metadata: Metadata) -> Iterator[Server]:
    """Have a metadata server on loopback; programs find it by `environ`."""
    server = Server(metadata)
    server.start()
    try:
        yield server
    finally:
        server.close()
