"""The proxy before local-bigquery: what BigQuery would refuse, faults on order, a log, one job for one id."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.standins.google import bigquery_rules as rules
from tests.standins.google import storage_proxy
from tests.standins.google.faults import Fault, Faults
from tests.standins.google.storage_xml import Reply

JSON = {"Content-Type": "application/json; charset=UTF-8"}
REASONS = {
    403: "accessDenied",
    404: "notFound",
    409: "duplicate",
    429: "rateLimitExceeded",
    503: "backendError",
}
MAKING = ("bigquery.datasets.insert", "bigquery.tables.insert", "bigquery.jobs.insert")


class Proxy(storage_proxy.Proxy):
    """Listens, and remembers where everything is."""

    def __init__(self, address: tuple[str, int], upstream: tuple[str, int], faults: Faults) -> None:
        ThreadingHTTPServer.__init__(self, address, Conversation)
        self.upstream = upstream
        self.faults = faults
        self.open = set()
        self.pause = None
        self.places = rules.Places()
        self.complaints: list[str] = []
        self.stops: list[int] = []
        """For the next scripts with a transaction: after how many of its statements each is stopped."""
        self.made: list[dict[str, Any]] = []
        """What was asked to be made, and was: the path, and the body as it came."""


class Conversation(storage_proxy.Conversation):
    """One client's connection."""

    server: Proxy

    def _control(self, body: bytes) -> Reply:
        match (self.command, self.path.partition("?")):
            case ("GET", ("/_complaints", _, _)):
                return Reply(200, json.dumps(self.server.complaints).encode(), JSON)
            case ("GET", ("/_made", _, _)):
                return Reply(200, json.dumps(self.server.made).encode(), JSON)
            case ("POST", ("/_stop", _, number)):
                self.server.stops.append(int(number))
                return Reply(200, b"{}", JSON)
            case ("DELETE", ("/_faults", _, _)):
                self.server.complaints.clear()
                self.server.stops.clear()
                self.server.made.clear()
        return super()._control(body)

    @staticmethod
    def _refusal(fault: Fault) -> Reply:
        reason = fault.headers.get("reason") or REASONS.get(fault.status, "invalid")
        return Reply(fault.status, rules.refusal(fault.status, "on order", reason), JSON)

    def _execute(self, body: bytes) -> Reply:
        path, _, asked = self.path.partition("?")
        query = dict(parse_qsl(asked, keep_blank_values=True))
        places = self.server.places
        told = self._told(body)
        call, faults = rules.faults(places, self.command, unquote(path), query, told)
        if faults:
            missing = next((fault for fault in faults if fault.startswith("Not found")), "")
            if not missing:
                self.server.complaints += [f"{self.command} {path}: {fault}" for fault in faults]
            status, reason = (404, "notFound") if missing else (400, "invalid")
            return Reply(status, rules.refusal(status, missing or "; ".join(faults), reason), JSON)
        job = places.uploads.get(query.get("upload_id", ""), "")
        if call and call.id == "bigquery.jobs.insert" and isinstance(told, dict):
            job = told["jobReference"]["jobId"]
            body = self._stopped(told, body)
            body = self._with_bytes(told, body)
        with places.lock(job) if job else contextlib.nullcontext():
            reply = self._ask(self.command, self.path, body, self._headers(body))
        if call and reply.status < 300:
            rules.note(places, call, told)
            if call.id in MAKING:
                self.server.made.append({"path": unquote(path), "body": told})
        if found := re.search(r"upload_id=([^&]+)", reply.headers.get("location", "")):
            places.uploads[found[1]] = job
        if call and call.id == "bigquery.tables.get" and reply.status == 200:
            reply = reply._replace(body=self._counted(rules.project_of(call), reply.body))
        status, data = rules.retold(places, call, reply.status, reply.body)
        return Reply(status, data, reply.headers)

    def _counted(self, project: str, body: bytes) -> bytes:
        """Give a table with the number of its rows: local-bigquery's own counts those that were deleted, too."""
        table = json.loads(body)
        reference = table["tableReference"]
        if table.get("type") != "TABLE" or reference["tableId"].startswith("foretell_l"):
            return body
        name = f"`{project}.{reference['datasetId']}.{reference['tableId']}`"
        query = json.dumps({"query": f"SELECT COUNT(*) FROM {name}", "useLegacySql": False}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(query))}
        answer = self._ask("POST", f"/bigquery/v2/projects/{project}/queries", query, headers)
        rows = json.loads(answer.body).get("rows")
        return json.dumps({**table, "numRows": rows[0]["f"][0]["v"]} if rows else table).encode()

    def _headers(self, body: bytes) -> dict[str, str]:
        unfit = storage_proxy.OF_ONE_CONNECTION | {"accept-encoding", "host"}
        found = {name: value for name, value in self.headers.items() if name.lower() not in unfit}
        return {**found, "Content-Length": str(len(body))}

    def _told(self, body: bytes) -> Any:
        """Read what was sent where that is JSON: alone, or as the first part of an upload."""
        kind = self.headers.get("Content-Type", "")
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if kind.startswith("multipart/related"):
            first = body.split(b"\r\n\r\n", 1)[1] if b"\r\n\r\n" in body else body
            return json.JSONDecoder().raw_decode(first.decode("utf-8", "replace").lstrip())[0]
        return json.loads(body) if body and "json" in kind else None

    @staticmethod
    def _with_bytes(told: Any, body: bytes) -> bytes:
        """Have BYTES loaded from Parquet as they are: local-bigquery would take them for base64, and fail."""
        load = told.get("configuration", {}).get("load", {})
        if load.get("sourceFormat") != "PARQUET" or b'"BYTES"' not in body:
            return body
        before, mark, after = body.partition(json.dumps(load["schema"]).encode())
        assert mark, "the schema is not written as expected"
        return before + mark.replace(b'"BYTES"', b'"STRING"') + after

    def _stopped(self, told: Any, body: bytes) -> bytes:
        """Have a script fail after so many statements of its transaction, where that was asked for."""
        asked = told.get("configuration", {}).get("query", {})
        before, mark, inside = asked.get("query", "").partition("BEGIN TRANSACTION;")
        if not mark or not self.server.stops:
            return body
        number = self.server.stops.pop(0)
        parts = re.split(r"(?<=;)\n", inside)
        if number < len(parts):
            parts.insert(number, "SELECT ERROR('stopped on order');")
        changed = {**asked, "query": before + mark + "\n" + "\n".join(parts)}
        return json.dumps({**told, "configuration": {**told["configuration"], "query": changed}}).encode()
