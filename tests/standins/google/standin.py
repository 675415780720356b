"""
A strict stand-in for Google's REST services.

Every request is held against Google's own description of the service; what is not described is refused, and so is an
answer of its own that is not. What a service does is in `services.py` and `compute.py`. It lives in the test's
process, so a test can look into it and tell it to misbehave.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from msgspec import Struct

from tests.standins.google import discovery
from tests.standins.google.discovery import Call, Json

SERVICES = (
    "artifactregistry.v1",
    "bigquery.v2",
    "cloudresourcemanager.v1",
    "compute.v1",
    "iam.v1",
    "iamcredentials.v1",
    "logging.v2",
    "secretmanager.v1",
    "serviceusage.v1",
    "storage.v1",
)
REASONS = {
    400: ("invalid", "INVALID_ARGUMENT"),
    401: ("authError", "UNAUTHENTICATED"),
    403: ("forbidden", "PERMISSION_DENIED"),
    404: ("notFound", "NOT_FOUND"),
    409: ("alreadyExists", "ALREADY_EXISTS"),
    412: ("conditionNotMet", "FAILED_PRECONDITION"),
    429: ("rateLimitExceeded", "RESOURCE_EXHAUSTED"),
    501: ("notImplemented", "UNIMPLEMENTED"),
    503: ("backendError", "UNAVAILABLE"),
}


class Refusal(Exception):  # noqa: N818 - an answer of Google's, no error of ours
    """An answer that is no success, in Google's words."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.reason = reason or REASONS.get(status, ("error", ""))[0]

    @property
    def body(self) -> Json:
        listed = [{"domain": "global", "reason": self.reason, "message": self.message}]
        grpc = REASONS.get(self.status, ("", "UNKNOWN"))[1]
        return {"error": {"code": self.status, "message": self.message, "errors": listed, "status": grpc}}


class Asked(NamedTuple):
    """A request as a play sees it."""

    id: str
    arguments: dict[str, str]
    query: dict[str, str]
    lists: dict[str, list[str]]
    """The query with every value of what is given more than once."""
    body: Json
    who: str
    """Of the bearer token: the launcher, or a machine."""


Play = Callable[[Asked], Json]


class Seen(Struct, kw_only=True):
    """One request in the log."""

    method: str
    """Its id by the description, "compute.instances.insert"; the path where it has none."""
    path: str
    who: str
    status: int = 0
    why: str = ""
    body: Any = None
    query: Any = None


class Misbehaviour(Struct, kw_only=True):
    """
    What goes wrong with `count` requests (None: all) of methods like `method`, after letting `skip` pass.

    refuse: answer with `status` and `reason`, without doing it. lose: do it, and close without an answer. drop: close
    without doing it. slow: wait `seconds`, then do it.
    """

    method: str
    how: Literal["refuse", "lose", "drop", "slow"]
    count: int | None = 1
    skip: int = 0
    status: int = 503
    reason: str = ""
    message: str = "as the test wants it"
    seconds: float = 0.0
    who: str = "*"


class StandIn:
    """Google's services on loopback. `tokens` says who is who: a machine's metadata server adds its own."""

    def __init__(self, services: Sequence[str] = SERVICES) -> None:
        self.apis = {name.partition(".")[0]: discovery.api(name) for name in services}
        self.plays: dict[str, Play] = {}
        self.tokens: dict[str, str] = {}
        self.log: list[Seen] = []
        self.complaints: list[str] = []
        """What Google's descriptions refuse, of requests and of answers; a test ends with none."""
        self.tolerates: list[str] = []
        """Ids of methods a test sends wrong requests to on purpose."""
        self._misbehaviours: list[Misbehaviour] = []
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    # --- for tests ------------------------------------------------------------------------------------------------

    @property
    def environ(self) -> dict[str, str]:
        """What a program needs to take this for Google's; credentials are another matter."""
        return {
            f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": self.base(name) for name in sorted(self.apis)
        }

    def base(self, service: str) -> str:
        return f"{self.url}/{service}/{self.apis[service].document['servicePath']}"

    def token(self, who: str) -> str:
        """Give the token of an identity."""
        made = f"ya29.{who}"
        with self._lock:
            self.tokens[made] = who
        return made

    def misbehave(self, *misbehaviours: Misbehaviour) -> None:
        with self._lock:
            self._misbehaviours += misbehaviours

    def behave(self) -> None:
        """Forget every misbehaviour."""
        with self._lock:
            self._misbehaviours.clear()

    def seen(self, method: str, *, who: str = "*") -> list[Seen]:
        """Give the requests of methods like this one."""
        with self._lock:
            return [seen for seen in self.log if fnmatch(seen.method, method) and fnmatch(seen.who, who)]

    def clear(self) -> None:
        with self._lock:
            self._misbehaviours.clear()
            self.log.clear()
            self.complaints.clear()
            self.tolerates.clear()

    # --- the server -----------------------------------------------------------------------------------------------

    def serve(self, listening: socket.socket | None = None) -> None:
        """Answer on the port, or on another socket: one that was opened in another network namespace, say."""
        server = self._server if listening is None else _Server(None, self, listening)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(
        self, verb: str, target: str, headers: Mapping[str, str], raw: bytes
    ) -> tuple[int, Json, bool]:
        """Answer a request: status, body, and whether the answer is lost on its way."""
        parts = urlsplit(target)
        _, service, path = [*unquote(parts.path).split("/", 2), "", ""][:3]
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        seen = Seen(method=f"{verb} {parts.path}", path=target, who=self.tokens.get(token, ""))
        with self._lock:
            self.log.append(seen)
        try:
            status, body, lost = self._dispatch(seen, verb, service, path, parts.query, raw)
        except Refusal as refusal:
            status, body, lost = refusal.status, refusal.body, False
            seen.why = refusal.message
        seen.status = status
        return status, body, lost

    def _dispatch(
        self, seen: Seen, verb: str, service: str, path: str, told: str, raw: bytes
    ) -> tuple[int, Json, bool]:
        api = self.apis.get(service)
        call = api.recognise(verb, path) if api else None
        if api is None or call is None:
            self._complain(seen.method, f"no such method: {seen.method}")
            raise Refusal(404, f"no such method: {seen.method}")
        query, lists = dict(parse_qsl(told, True)), parse_qs(told, True)
        seen.method, seen.query = call.id, lists
        if not seen.who:
            raise Refusal(401, "Request had invalid authentication credentials.")
        hit = self._hit(call.id, seen.who)
        if hit and hit.how == "slow":
            time.sleep(hit.seconds)
        if hit and hit.how == "drop":
            return 0, {}, True
        if hit and hit.how == "refuse":
            raise Refusal(hit.status, hit.message, hit.reason)
        body = _body(raw)
        seen.body = body
        if faults := api.faults_of_request(call, query, body, sent=bool(raw)):
            self._complain(call.id, *faults)
            raise Refusal(400, "; ".join(faults))
        answer = self._play(call, Asked(call.id, call.arguments, query, lists, body, seen.who))
        return 200, answer, bool(hit and hit.how == "lose")

    def _play(self, call: Call, asked: Asked) -> Json:
        if call.id not in self.plays:
            raise Refusal(501, f"described, and not played here: {call.id}")
        answer = self.plays[call.id](asked)
        if faults := call.api.faults_of_answer(call, answer):
            self._complain("", *(f"{call.id} answers: {fault}" for fault in faults))
        return answer

    def _complain(self, method: str, *faults: str) -> None:
        if not any(fnmatch(method, pattern) for pattern in self.tolerates):
            with self._lock:
                self.complaints += [f"{method}: {fault}" for fault in faults]

    def _hit(self, method: str, who: str) -> Misbehaviour | None:
        with self._lock:
            for rule in self._misbehaviours:
                if not fnmatch(method, rule.method) or not fnmatch(who, rule.who) or rule.count == 0:
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.count is not None:
                    rule.count -= 1
                return rule
        return None


def _body(raw: bytes) -> Json:
    try:
        body = json.loads(raw) if raw else {}
    except ValueError:
        raise Refusal(400, "Invalid JSON payload received.") from None
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON payload received: no object.")
    return body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self, address: tuple[str, int] | None, owner: StandIn, listening: socket.socket | None = None
    ) -> None:
        super().__init__(address or ("127.0.0.1", 0), _Handler, bind_and_activate=listening is None)
        if listening is not None:
            self.socket.close()
            self.socket = listening
        self.owner = owner

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, body, lost = self.server.owner.answer(self.command, self.path, self.headers, raw)  # type: ignore[arg-type]
        if lost:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815


@contextmanager
def running(*plays: Callable[[StandIn], Mapping[str, Play]]) -> Iterator[StandIn]:
    """Have a stand-in that plays these."""
    found = StandIn()
    for play in plays:
        found.plays |= play(found)
    found.serve()
    try:
        yield found
    finally:
        found.close()
