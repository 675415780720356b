"""A service with a past: runs written into its store as they would stand there had they happened."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

from msgspec.structs import replace

from foretell import load
from foretell.controller.controller import Controller
from foretell.controller.resolve import StartOptions
from foretell.errors import NoModelError
from foretell.protocol import keys, models, scope, steps
from foretell.protocol.frames import frame
from foretell.protocol.keys import Run
from foretell.protocol.records import (
    Claimed,
    Exit,
    File,
    Launch,
    Manifest,
    Outcome,
    Pin,
    Receipt,
    Record,
    Request,
    StoreId,
    encode,
)
from foretell.store import Store
from foretell.store.directory import STORE_RECORD
from foretell.system import times
from tests.support.records import request_of

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
TOML = """
    name = "toy"
    [actions.training]
    command = "true"
    schedule = "0 6 * * *"
    [actions.application]
    command = "true"
    inputs = ["training"]
    [actions.application.delivery]
    file = "predictions.csv"
    columns = "a:STRING"
"""


class Unstarted(Controller):
    """Records what is asked for as begun, and starts no process: how a run ends is up to the history."""

    past: Past

    def ask(self, action: str, asked: StartOptions) -> steps.StartResult:
        assert asked.date
        run = Run(self.service.name, self.service.version, action, asked.date, 1)
        self.identify()
        while self.store.get(run.request):
            run = run._replace(n=run.n + 1)
        missing = [
            item.action for item in self.service.actions[action].inputs if not self._current(run, item.action)
        ]
        if missing:
            raise NoModelError(f'"{action}" needs a model of "{missing[0]}"', why="there is none")
        run = self.past.add(asked.date, "running", action=action, key=asked.key or "", n=run.n)
        return steps.StartResult(self.request(run), new=True)

    def _current(self, run: Run, action: str) -> object:
        return self.execute(models.current(run.service, run.version, action, run.date)).model


class Past:
    """A service directory; `add` writes runs into its store, and so does what `unstarted` is asked for."""

    def __init__(self, root: Path, toml: str = TOML) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        (root / "foretell.toml").write_text(dedent(toml))
        self.service = load(root)
        self.controller = Controller(self.service, self.service.targets["local"])
        self.store: Store = self.controller.store
        self.unstarted = Unstarted(self.service, self.service.targets["local"])
        self.unstarted.past = self

    def write(self, key: str, record: Record) -> None:
        """Write a record as it is."""
        if not self.store.is_there():
            self.store.create(STORE_RECORD, encode(StoreId(id="here")))
        self.store.create(key, encode(record), durable=False)

    def add(
        self,
        date: datetime,
        end: str = "produced",
        *,
        action: str = "training",
        n: int = 1,
        key: str = "",
        trial: bool = False,
        took: float = 10,
        inputs: tuple[Run, ...] = (),
        asked_at: datetime | None = None,
    ) -> Run:
        """
        Add a run that ended so after `took` seconds.

        `end` is the kind of an outcome, a state of delivery, "undelivered", or "open", "launched", "running".
        """
        run = Run(self.service.name, self.service.version, action, date, n)
        pins = tuple(Pin(action=pin.action, run=pin.folder, digest="", path="output") for pin in inputs)
        request = self.request(run, key=key or keys.key(action, date), trial=trial, inputs=pins)
        self.write(run.request, replace(request, asked_at=times.rfc3339(asked_at or date)))
        if end == "open":
            return run
        self._attempt(run, claimed=end != "launched")
        if end in ("launched", "running"):
            return run
        kind = end if end in ("failed", "timeout", "lost", "cancelled") else "produced"
        self._decide(run, kind, date + timedelta(seconds=took))
        if end in ("delivered", "superseded", "rejected"):
            self._deliver(run, end, date + timedelta(seconds=took + 1))
        return run

    def request(self, run: Run, *, key: str, trial: bool, inputs: tuple[Pin, ...]) -> Request:
        """The request of a run, as `start` would have written it."""
        delivery, zone = self.service.actions[run.action].delivery, self.service.timezone
        by_partition = delivery is not None and delivery.mode == "partition"
        return request_of(
            self.service,
            run.action,
            run=run,
            key=key,
            uid=run.id,
            store="here",
            inputs=inputs,
            timezone=zone,
            partition=scope.partition(delivery.granularity, run.date, zone) if by_partition else None,
            trial=trial,
            asked_at=times.rfc3339(run.date),
        )

    def _attempt(self, run: Run, *, claimed: bool) -> None:
        attempt = run.attempt(1)
        machine = keys.machine(run.service, run.action, 1, run.id.lower())
        self.write(attempt.launch, Launch(nonce=run.id, machine=machine, failures_left=0, losses_left=0))
        if claimed:
            self.write(attempt.claim, Claimed(nonce=run.id, boot="b"))

    def _decide(self, run: Run, kind: str, at: datetime) -> None:
        attempt = run.attempt(1)
        fault = "failed" if kind == "failed" else None
        stages = {"command": 2.0, "queued": 0.1, "environment": 1.0}
        end = Exit(
            nonce=run.id, fault=fault, code=0, stages=stages, at=times.rfc3339(at - timedelta(seconds=3))
        )  # type: ignore[arg-type]
        self.write(attempt.exit, end)
        self.log(run, 1, 0, (1, b"hello\n"), (2, b"oh\n"))
        digest = self._manifest(run) if kind == "produced" else None
        cause = "it broke" if kind == "failed" else ""
        outcome = Outcome(
            kind=kind,  # type: ignore[arg-type]
            attempt=1,
            by=run.id,
            cause=cause,
            manifest=digest,
            files=1 if digest else 0,
            at=times.rfc3339(at),
        )
        self.write(run.outcome, outcome)

    def _manifest(self, run: Run) -> str:
        key = run.attempt(1).output("model")
        self.store.create(key, b"model", durable=False)
        file = File(path="model", key=key, sha256=hashlib.sha256(b"model").hexdigest(), size=5)
        manifest = Manifest(files=(file,), directories=("hollow",))
        self.write(run.attempt(1).manifest, manifest)
        return hashlib.sha256(encode(manifest)).hexdigest()

    def _deliver(self, run: Run, state: str, at: datetime) -> None:
        place = {"table": "predictions", "scope": "main.predictions", "owner": "here/toy/application"}
        cause = "no such column" if state == "rejected" else ""
        receipt = Receipt(
            uid=run.id,
            state=state,  # type: ignore[arg-type]
            run=run.label,
            attempt=1,
            rows=1,
            cause=cause,
            at=times.rfc3339(at),
            **place,
        )
        self.write(run.delivery, receipt)

    def log(self, run: Run, attempt: int, chunk: int, *pieces: tuple[int, bytes]) -> None:
        """Write a part of the log: what was printed on which stream."""
        data = b"".join(frame(stream, text) for stream, text in pieces)
        self.store.create(run.attempt(attempt).log(chunk), data, durable=False)
