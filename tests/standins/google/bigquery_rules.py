"""
What BigQuery refuses and local-bigquery does not, and how it says things.

By Google's own description of the API first; then by its documentation: names, labels, locations, what a transaction may
hold. What is rewritten in answers is the location, which local-bigquery takes for US everywhere, and two errors.
"""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.standins.google.discovery import Call, Json, api

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")
TABLE_ID = re.compile(r"[A-Za-z0-9_]{1,1024}")
LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
LABELLED = re.compile(r"[a-z0-9_-]{0,63}")
OF_UPLOADS = {"uploadType", "upload_id", "upload_protocol"}
SENT_ANYWAY = {"projection"}
"""What Google's client sends, and its servers take, though it is not described."""
IN_SQL = re.compile(r"`([\w-]+)\.(\w+)\.(\w+)`")
PERMANENT = re.compile(r"^\s*(CREATE|ALTER|DROP)\s+(?!TEMP)", re.IGNORECASE | re.MULTILINE)
DEFAULT = "US"

CONFLICT = "Failed to commit DuckLake transaction"
ABORTED = "Transaction is aborted due to concurrent update against table {table}."
MISSING_FILES = re.compile(r"No files found that match the pattern|HTTP 404 Not Found")


class Places:
    """Where datasets and jobs are, as they were asked for; and a lock for every job's id."""

    def __init__(self) -> None:
        self.datasets: dict[tuple[str, str], str] = {}
        self.jobs: dict[tuple[str, str], str] = {}
        self.uploads: dict[str, str] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def lock(self, job: str) -> threading.Lock:
        with self._lock:
            return self._locks[job]

    def of(self, project: str, dataset: str) -> str:
        return self.datasets.get((project, dataset), DEFAULT)


def faults(
    places: Places, verb: str, path: str, query: dict[str, str], body: Any
) -> tuple[Call | None, list[str]]:
    """Recognise a request, and give everything that is wrong with it."""
    below = re.sub(r"^/(resumable/)?(upload/)?", "", path)
    call = api("bigquery.v2").recognise(verb, below)
    if call is None:
        return None, [] if "upload_id" in query else [f"no method {verb} {path}"]
    known = {name: value for name, value in query.items() if name not in OF_UPLOADS | SENT_ANYWAY}
    # Google's client writes True for true, and its servers take it
    known |= {name: value.lower() for name, value in known.items() if value in ("True", "False")}
    found = api("bigquery.v2").faults_of_request(call, known, body or {}, sent=body is not None)
    found += _of_names(body)
    if call.id == "bigquery.jobs.insert" and isinstance(body, dict):
        found += _of_job(places, project_of(call), body)
    if call.id in ("bigquery.jobs.get", "bigquery.jobs.getQueryResults"):
        found += _of_look(places, project_of(call), _named(call, "job"), query)
    return call, found


def project_of(call: Call) -> str:
    return _named(call, "project")


def _named(call: Call, kind: str) -> str:
    """Give what stands in the path; the description has two names for it."""
    return call.arguments.get(f"{kind}Id", "") or call.arguments.get(f"{kind}sId", "")


def _of_names(body: Any) -> Iterator[str]:
    """Hold table ids and labels, at any depth, against what BigQuery takes."""
    if isinstance(body, list):
        for item in body:
            yield from _of_names(item)
    if not isinstance(body, dict):
        return
    for name, value in body.items():
        if name == "tableId" and not TABLE_ID.fullmatch(str(value)):
            yield f"tableId: {value!r} (a decorator would make a table of that name here)"
        elif name == "labels":
            yield from (f"label {key!r}" for key in value if not LABEL.fullmatch(key))
            yield from (f"label value {each!r}" for each in value.values() if not LABELLED.fullmatch(each))
        else:
            yield from _of_names(value)


def _of_job(places: Places, project: str, body: Json) -> Iterator[str]:
    reference, asked = body.get("jobReference", {}), body.get("configuration", {})
    if not JOB_ID.fullmatch(reference.get("jobId", "")):
        yield f"jobId: {reference.get('jobId')!r}"
    location = reference.get("location", "")
    if not location:
        yield "jobReference.location is missing: BigQuery would take a guess"
    for dataset in _datasets(project, asked):
        there = places.of(*dataset)
        if dataset in places.datasets and there.upper() != location.upper():
            yield f"Not found: Dataset {dataset[0]}:{dataset[1]} was not found in location {location}"
    if "query" in asked:
        yield from _of_script(asked["query"].get("query", ""))


def _of_script(text: str) -> Iterator[str]:
    for inside in re.findall(r"BEGIN TRANSACTION(.*?)COMMIT TRANSACTION", text, re.DOTALL):
        if PERMANENT.search(inside):
            yield "DDL of permanent tables inside of a transaction"


def _datasets(project: str, asked: Json) -> Iterator[tuple[str, str]]:
    for kind in ("load", "query", "copy"):
        into = asked.get(kind, {}).get("destinationTable")
        if into and not into["datasetId"].startswith("_"):
            yield into.get("projectId", project), into["datasetId"]
    for found in IN_SQL.finditer(asked.get("query", {}).get("query", "")):
        yield found[1], found[2]


def _of_look(places: Places, project: str, job: str, query: dict[str, str]) -> Iterator[str]:
    there = places.jobs.get((project, job))
    if there and there.upper() != query.get("location", DEFAULT).upper():
        yield f"Not found: Job {project}:{job}"


def note(places: Places, call: Call, body: Any) -> None:
    """Remember where something was asked for."""
    project = project_of(call)
    if call.id == "bigquery.datasets.insert":
        dataset = body["datasetReference"]["datasetId"]
        places.datasets.setdefault((project, dataset), body.get("location", DEFAULT))
    if call.id == "bigquery.jobs.insert":
        reference = body["jobReference"]
        places.jobs.setdefault((project, reference["jobId"]), reference["location"])


def retold(places: Places, call: Call | None, status: int, data: bytes) -> tuple[int, bytes]:
    """Give an answer as BigQuery would: with locations, and two errors in its words."""
    if call is None or not data.startswith(b"{"):
        return status, data
    project = project_of(call)
    answer: Json = json.loads(data)
    dataset = _named(call, "dataset") or answer.get("datasetReference", {}).get("datasetId")
    if dataset and ("location" in answer or answer.get("kind") in ("bigquery#dataset", "bigquery#table")):
        answer["location"] = places.of(project, dataset)
    reference = answer.get("jobReference", {})
    if location := places.jobs.get((project, reference.get("jobId", ""))):
        reference["location"] = location
    if "error" in answer:
        answer["error"]["errors"] = [_error(each) for each in answer["error"].get("errors", [])]
        first = answer["error"]["errors"][:1]
        answer["error"]["message"] = first[0]["message"] if first else answer["error"].get("message")
    result = answer.get("status", {})
    if "errorResult" in result:
        result["errorResult"] = _error(result["errorResult"], json.dumps(answer.get("configuration", {})))
        result["errors"] = [result["errorResult"]]
    return status, json.dumps(answer).encode()


def _error(error: Json, asked: str = "") -> Json:
    message = error.get("message", "")
    if CONFLICT in message:
        found = re.search(r"UPDATE `([\w.-]+)`", asked)
        return {**error, "message": ABORTED.format(table=found[1] if found else "unknown")}
    if MISSING_FILES.search(message):
        return {**error, "reason": "notFound", "message": f"Not found: URI ({message})"}
    if error.get("reason") == "invalidQuery" and "on order" in message:
        return {**error, "reason": "backendError"}
    return error


def refusal(status: int, message: str, reason: str) -> bytes:
    """Give an error as the API does."""
    first = {"message": message, "domain": "global", "reason": reason}
    return json.dumps({"error": {"code": status, "message": message, "errors": [first]}}).encode()
