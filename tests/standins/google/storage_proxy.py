"""The proxy before fake-gcs-server: the XML API, faults on order, a log, and outages."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote

import msgspec

from tests.standins.google.faults import Fault, Faults
from tests.standins.google.storage_xml import Asked, Reply, answer, error

JSON = {"storage", "upload", "download", "batch", "resumable", "_internal"}
"""What a path of the JSON API begins with; no bucket can be named so here."""
OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "date"}


class Proxy(ThreadingHTTPServer):
    """Listens, and can be out of reach for a while."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], upstream: tuple[str, int], faults: Faults) -> None:
        super().__init__(address, Conversation)
        self.upstream = upstream
        self.faults = faults
        self.open: set[socket.socket] = set()
        self.pause: float | None = None

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, peer = super().get_request()
        self.open.add(connection)
        return connection, peer

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that went away."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def go_away(self, seconds: float) -> None:
        self.pause = seconds
        threading.Thread(target=self.shutdown, daemon=True).start()

    def serve(self) -> Proxy:
        """Serve until the next outage, sit it out, and give the server that goes on."""
        self.serve_forever(poll_interval=0.02)
        self.socket.close()
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        time.sleep(self.pause or 0)
        return Proxy(self.server_address[:2], self.upstream, self.faults)  # type: ignore[arg-type]


class Conversation(BaseHTTPRequestHandler):
    """One client's connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Proxy

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Say nothing: what came is in the log of its own."""

    def handle_request(self) -> None:
        try:
            if self.path.startswith("/_outage?"):
                self._give(Reply(200))
                self.server.go_away(float(self.path.partition("?")[2]))
            elif self.path.startswith("/_"):
                self._give(self._control(self._body()))
            elif "X-Test" in self.headers:
                self._give(self._execute(self._body()))
            else:
                self._serve()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = handle_request  # noqa: N815

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        target = unquote(path) + (f"?{unquote(query)}" if query else "")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        seen, fault = self.server.faults.note(self.command, target, token)
        if fault is None:
            reply = self._execute(self._body())
            seen.status = reply.status
            self._give(reply)
            return
        body = b"" if fault.early else self._body()
        if fault.action == "drop":
            self._hang_up(reset=fault.reset)
            return
        if fault.action == "status" and not fault.after:
            seen.status = fault.status
            self._give(self._refusal(fault))
            return
        if fault.action == "delay" and not fault.after:
            time.sleep(fault.seconds)
        reply = self._execute(body)
        seen.status = reply.status
        self._spoil(reply, fault)

    def _spoil(self, reply: Reply, fault: Fault) -> None:
        """Keep back, cut or replace the answer of what was executed."""
        match fault.action:
            case "lose":
                self._hang_up(reset=fault.reset)
            case "cut":
                self._give(reply, cut=fault.size)
                self._hang_up(reset=fault.reset)
            case "status":
                self._give(self._refusal(fault))
            case _:
                time.sleep(fault.seconds if fault.after else 0)
                self._give(reply)

    @staticmethod
    def _refusal(fault: Fault) -> Reply:
        refusal = error(fault.status, "on order")
        return refusal._replace(headers={**refusal.headers, **fault.headers})

    def _control(self, body: bytes) -> Reply:
        faults = self.server.faults
        match (self.command, self.path):
            case ("POST", "/_faults"):
                faults.add(msgspec.json.decode(body, type=list[Fault]))
            case ("DELETE", "/_faults"):
                faults.clear()
            case ("GET", "/_log"):
                return Reply(200, msgspec.json.encode(faults.log()))
            case _:
                return error(404)
        return Reply(200, b"{}")

    def _execute(self, body: bytes) -> Reply:
        path, _, query = self.path.partition("?")
        bucket, _, name = path.lstrip("/").partition("/")
        headers = {key: value for key, value in self.headers.items() if key.lower() not in OF_ONE_CONNECTION}
        if bucket in JSON:
            return self._ask(self.command, self.path, body, headers)
        asked = dict(parse_qsl(query, keep_blank_values=True))
        lower = {key.lower(): value for key, value in headers.items()}
        place = unquote(bucket), unquote(name)
        return answer(Asked(self._ask, self.command, *place, asked, lower, body))

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        """Ask fake-gcs-server, once; by the client's name of the host, so that links lead back here."""
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=300)
        try:
            connection.request(method, path, body, {"Host": self.headers.get("Host", ""), **headers})
            reply = connection.getresponse()
            found = {
                name: value for name, value in reply.getheaders() if name.lower() not in OF_ONE_CONNECTION
            }
            if method == "HEAD":
                found["Content-Length"] = reply.getheader("Content-Length", "0")
            return Reply(reply.status, reply.read(), found)
        except (OSError, http.client.HTTPException) as failure:
            return error(502, repr(failure))
        finally:
            connection.close()

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(iter(self._chunk, b""))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            raise ConnectionError("the client went away in the middle of its body")
        return body

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _give(self, reply: Reply, cut: int | None = None) -> None:
        headers = {"Date": email.utils.formatdate(usegmt=True), **reply.headers}
        if reply.status not in (204, 304):
            headers.setdefault("Content-Length", str(len(reply.body)))
        lines = [f"HTTP/1.1 {reply.status} {http.client.responses.get(reply.status, '')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        body = b"" if self.command == "HEAD" else reply.body[:cut]
        self.wfile.write("\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body)

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
