"""
What an attempt says, in Cloud Logging: structured, labelled, best effort. For people alone; no program reads it.

Nothing here blocks or fails a run: lines wait in a bounded queue for a thread of their own, and what does not fit
is left out, with a word about it. The store keeps the whole.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from foretell.google.endpoints import Json
from foretell.google.errors import Category, Failure
from foretell.system.backoff import Backoff

LOG = "foretell"
LONGEST = 100_000
"""Characters of one entry, which may have 256 KiB; a longer line becomes several."""
BATCH, BATCH_BYTES = 1000, 1_000_000
"""The most entries, and about the most bytes, of one request; ten megabytes would be refused."""
WAITING_BYTES = 8_000_000
"""What may wait to be sent; beyond, lines are left out."""
BACKOFF = Backoff(first=1, longest=30)
"""Between two tries; entries are gathered for as long as the first."""
LEVEL = re.compile(r"\b(DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|Traceback)\b")
WHERE_LEVELS_STAND = 80
"""Characters from the beginning of a line among which a word of severity means the line."""
SEVERITIES = {
    **{name: name for name in ("DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT")},
    "WARN": "WARNING",
    "FATAL": "CRITICAL",
    "Traceback": "ERROR",
}
STREAMS = {1: "stdout", 2: "stderr"}


class LogSource(NamedTuple):
    """Who speaks. `labels` are on every entry; `prefix` makes entries that are sent twice the same."""

    project: str
    location: str
    labels: Mapping[str, str]
    prefix: str


class CloudLogSink(threading.Thread):
    """Sends lines and events to Cloud Logging. `post` sends the body of one entries:write."""

    def __init__(
        self, source: LogSource, post: Callable[[Json], Json | Failure], *, backoff: Backoff = BACKOFF
    ) -> None:
        super().__init__(name="cloud-logging", daemon=True)
        self._source = source
        self._post = post
        self._backoff = backoff
        self._lock = threading.Condition()
        self._waiting: deque[Json] = deque()
        self._bytes = 0
        self._left_out = 0
        self._number = 0
        self._begun: dict[int, bytes] = {}
        self._ending = False
        self.start()

    def take(self, stream: int, data: bytes) -> None:
        """Take what was printed; whole lines become entries."""
        *lines, rest = (self._begun.get(stream, b"") + data).split(b"\n")
        if len(rest) > LONGEST:
            lines, rest = [*lines, rest], b""
        self._begun[stream] = rest
        for line in lines:
            if line.strip():
                self._put(payload(line.decode(errors="replace").rstrip()), {"stream": STREAMS[stream]})

    def tell(self, severity: str, message: str, **facts: object) -> None:
        """Take an event of the attempt itself."""
        self._put({"severity": severity, "jsonPayload": {"message": message, **facts}}, {})

    def finish(self, within: float) -> None:
        """Send what is left, for so many seconds at most."""
        for stream in list(self._begun):
            self.take(stream, b"\n")
        with self._lock:
            self._ending = True
            self._lock.notify()
        self.join(within)

    def _put(self, said: list[Json] | Json, labels: Mapping[str, str]) -> None:
        if not self.is_alive():
            return
        now = datetime.now(UTC).isoformat()
        with self._lock:
            for one in said if isinstance(said, list) else [said]:
                if self._bytes > WAITING_BYTES:
                    self._left_out += 1
                    continue
                self._waiting.append(self._entry(one, now, labels))
                self._bytes += len(str(self._waiting[-1]))

    def _entry(self, said: Json, at: str, labels: Mapping[str, str]) -> Json:
        self._number += 1
        return {
            **said,
            "timestamp": at,
            "insertId": f"{self._source.prefix}-{self._number:09d}",
            "labels": dict(labels),
        }

    # --- in its own thread ------------------------------------------------------------------------------------

    def run(self) -> None:
        pauses = self._backoff.pauses()
        while batch := self._next():
            answer = self._post(self._request(batch))
            if isinstance(answer, Failure) and answer.passes:
                self._put_back(batch)
                time.sleep(next(pauses))
            elif isinstance(answer, Failure) and answer.category is Category.DENIED:
                sys.stderr.write(f"Cloud Logging is disabled: {answer.why}\n")
                return
            else:  # what is refused as it is would be refused again
                pauses = self._backoff.pauses()

    def _next(self) -> list[Json]:
        """Wait for entries and give the next few; none at the end."""
        with self._lock:
            while not self._waiting and not self._ending:
                self._lock.wait(self._backoff.first)
            if self._left_out:
                told = f"{self._left_out:,} lines are left out here; the run's own log has them"
                said = {"severity": "WARNING", "textPayload": told}
                self._waiting.append(self._entry(said, datetime.now(UTC).isoformat(), {}))
                self._bytes += len(str(self._waiting[-1]))
                self._left_out = 0
            batch: list[Json] = []
            size = 0
            while self._waiting and len(batch) < BATCH and size < BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += len(str(batch[-1]))
            self._bytes -= size
            return batch

    def _put_back(self, batch: list[Json]) -> None:
        with self._lock:
            self._waiting.extendleft(reversed(batch))
            self._bytes += sum(len(str(entry)) for entry in batch)

    def _request(self, batch: list[Json]) -> Json:
        return request(self._source, batch)


def request(source: LogSource, entries: list[Json]) -> Json:
    """Return the body of entries:write. The resource is a task of a batch, by Google's own list of resources."""
    labels = source.labels
    task = f"{labels['run']}/{labels['attempt']}"
    return {
        "logName": f"projects/{source.project}/logs/{LOG}",
        "resource": {
            "type": "generic_task",
            "labels": {
                "project_id": source.project,
                "location": source.location,
                "namespace": labels["service"],
                "job": labels["action"],
                "task_id": task,
            },
        },
        "labels": dict(labels),
        "entries": entries,
        "partialSuccess": True,
    }


def payload(line: str) -> list[Json]:
    """Return a printed line as entries: an object of JSON by its fields, anything else as text."""
    if line.startswith("{") and len(line) <= LONGEST:
        try:
            fields = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            fields = None
        if isinstance(fields, dict):
            level = str(
                fields.get("severity") or fields.get("level") or fields.get("levelname") or ""
            ).upper()
            return [{"severity": SEVERITIES.get(level, "DEFAULT"), "jsonPayload": fields}]
    found = LEVEL.search(line, 0, WHERE_LEVELS_STAND)
    severity = SEVERITIES[found[1]] if found else "DEFAULT"
    pieces = [line[at : at + LONGEST] for at in range(0, len(line), LONGEST)]
    return [{"severity": severity, "textPayload": piece} for piece in pieces]
