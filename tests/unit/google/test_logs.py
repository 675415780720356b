"""Lines as entries of Cloud Logging, and a queue that never blocks and never grows without bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from foretell.google import logs
from foretell.google.errors import Failure
from foretell.google.logs import CloudLogSink, LogSource, payload
from foretell.system.backoff import Backoff

LABELS = {"service": "toy", "version": "1", "action": "training", "run": "20261121T060000Z-1", "attempt": "2"}
SOURCE = LogSource("p", "europe-west1", LABELS, "uid-2")


class Logging:
    """Takes requests; answers the next ones as told."""

    def __init__(self, *answers: Failure) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, body: dict[str, Any]) -> dict[str, Any] | Failure:
        self.open.wait(20)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, dict) or not answer.passes:
            self.bodies.append(body)
        return answer

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [entry for body in self.bodies for entry in body["entries"]]

    @property
    def texts(self) -> list[str]:
        return [entry.get("textPayload", "") for entry in self.entries]


def failure(status: int) -> Failure:
    return Failure(status=status, reason="x", message="as the test wants it")


def wire(logging: Callable[[Any], Any]) -> CloudLogSink:
    return CloudLogSink(SOURCE, logging, backoff=Backoff(first=0.01, longest=30))


@pytest.mark.parametrize(
    ("line", "severity", "form"),
    [
        ("hello", "DEFAULT", "textPayload"),
        ("2026-11-21 06:00:00,123 WARNING root: careful", "WARNING", "textPayload"),
        ("ERROR:root:broken", "ERROR", "textPayload"),
        ("Traceback (most recent call last):", "ERROR", "textPayload"),
        ("INFORMATION is no level", "DEFAULT", "textPayload"),
        (f"{'x' * 90} ERROR", "DEFAULT", "textPayload"),
        ('{"message": "m", "severity": "error"}', "ERROR", "jsonPayload"),
        ('{"message": "m", "level": "warn"}', "WARNING", "jsonPayload"),
        ('{"loss": 0.25}', "DEFAULT", "jsonPayload"),
        ('{"loss": NaN}', "DEFAULT", "textPayload"),
        ("{not json}", "DEFAULT", "textPayload"),
    ],
)
def test_a_line_becomes_an_entry(line: str, severity: str, form: str) -> None:
    (entry,) = payload(line)
    assert entry["severity"] == severity
    assert form in entry


def test_a_long_line_becomes_several() -> None:
    line = "x" * (2 * logs.LONGEST + 1)
    assert "".join(entry["textPayload"] for entry in payload(line)) == line
    assert len(payload(line)) == 3


def test_what_was_said_arrives_in_order_with_labels() -> None:
    logging = Logging()
    sender = wire(logging)
    sender.take(1, b"one\ntw")
    sender.take(2, b"oops\n")
    sender.take(1, b"o\nrest")
    sender.tell("INFO", "ended", code=0)
    sender.finish(10)
    assert logging.texts == ["one", "oops", "two", "", "rest"]
    assert [entry["labels"].get("stream") for entry in logging.entries] == [
        "stdout",
        "stderr",
        "stdout",
        None,
        "stdout",
    ]
    assert logging.entries[3]["jsonPayload"] == {"message": "ended", "code": 0}
    body = logging.bodies[0]
    assert body["labels"] == LABELS
    assert body["logName"] == "projects/p/logs/foretell"
    assert body["resource"]["labels"]["task_id"] == "20261121T060000Z-1/2"
    numbers = [entry["insertId"] for entry in logging.entries]
    assert len(set(numbers)) == len(numbers)


def test_what_passes_is_sent_again_as_it_was() -> None:
    logging = Logging(failure(503), failure(429))
    sender = wire(logging)
    sender.take(1, b"one\n")
    sender.finish(10)
    assert logging.texts == ["one"]


def test_who_may_not_write_stops_trying() -> None:
    logging = Logging(failure(403))
    sender = wire(logging)
    sender.take(1, b"one\n")
    sender.join(10)
    assert not sender.is_alive()
    sender.take(1, b"two\n")
    began = time.monotonic()
    sender.finish(10)
    assert time.monotonic() - began < 1
    assert logging.texts == ["one"]


def test_what_is_refused_as_it_is_is_let_go() -> None:
    logging = Logging(failure(400))
    sender = wire(logging)
    sender.take(1, b"bad\n")
    while not logging.bodies:
        time.sleep(0.01)
    sender.take(1, b"good\n")
    sender.finish(10)
    assert logging.texts == ["bad", "good"]


def test_under_pressure_lines_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "WAITING_BYTES", 20_000)
    logging = Logging()
    logging.open.clear()
    sender = wire(logging)
    began = time.monotonic()
    for number in range(2000):
        sender.take(1, f"line {number}\n".encode())
    assert time.monotonic() - began < 5  # nobody was waited for
    logging.open.set()
    sender.finish(10)
    told = [text.partition(" ")[0].replace(",", "") for text in logging.texts if "are left out" in text]
    kept = sum(text.startswith("line ") for text in logging.texts)
    assert sum(map(int, told)) + kept == 2000
    assert 50 < kept < 1000


def test_the_end_is_not_waited_for_for_ever() -> None:
    logging = Logging()
    logging.open.clear()
    sender = wire(logging)
    sender.take(1, b"one\n")
    began = time.monotonic()
    sender.finish(0.2)
    assert time.monotonic() - began < 2
    logging.open.set()
