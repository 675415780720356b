"""What happened: runs in a line each, one run in full, its log and its files. Reads; decides nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from foretell.controller.controller import Controller
from foretell.errors import CorruptError, StoreError, UsageError
from foretell.protocol import models
from foretell.protocol.effects import Effects, get
from foretell.protocol.frames import unframe
from foretell.protocol.keys import Run
from foretell.protocol.reconciler import CLAIM
from foretell.protocol.records import (
    Claim,
    Exit,
    Host,
    Launch,
    Manifest,
    Outcome,
    Receipt,
    Request,
    Withdrawn,
)
from foretell.protocol.rules import State
from foretell.protocol.steps import launches
from foretell.store import Store, artifacts
from foretell.system.parallel import each

STAGES = ("queued", "environment", "inputs", "command", "check", "output", "delivery")
TAIL = 20
"""Lines of the log's end that explain a failure."""
WIDTH = 200
"""Bytes of such a line on average: a line without an end, of megabytes, explains no more."""
CUT = "… ".encode()
REST_OF_A_SIGN = re.compile(rb"\A[\x80-\xbf]{1,3}")
"""What is left of a character of UTF-8 that was cut."""
WINDOW = 10
"""How many times as many runs are looked through, to find those that were asked for last, as are shown."""
SAMPLE = 10
"""Earlier runs that an estimate is made of."""


class RunSummary(Struct, frozen=True, kw_only=True):
    """One run, as a list shows it. `seconds` is from being asked for to its end, None while it is open."""

    request: Request
    state: State
    outcome: Outcome | None
    receipt: Receipt | None
    withdrawn: Withdrawn | None
    seconds: float | None

    @property
    def run(self) -> Run:
        return self.request.run


class AttemptDetails(Struct, frozen=True, kw_only=True):
    """One attempt of a run, as far as it got."""

    launch: Launch
    claim: Claim | None
    exit: Exit | None
    host: Host | None

    @property
    def number(self) -> int:
        return self.launch.number


class RunDetails(Struct, frozen=True, kw_only=True):
    """Everything on record of a run. `stages` are seconds of the attempt that counts, in order of time."""

    line: RunSummary
    attempts: tuple[AttemptDetails, ...]
    manifest: Manifest | None
    stages: Mapping[str, float]


def lines(
    controller: Controller,
    action: str | None,
    limit: int | None,
    *,
    broken: Callable[[Run, CorruptError], None] = lambda *_: None,
) -> list[RunSummary]:
    """
    Return the runs of one action or of all that were asked for last, the last one first.

    The store knows runs by date, so with a limit they are those of the newest dates, `WINDOW` times as many.
    `broken` is told of a run that is unreadable.
    """
    service = controller.service
    if action is not None:
        service.action_named(action)
    if not controller.exists():
        return []
    runs: list[Run] = []
    for name in [action] if action else service.actions:
        window = None if limit is None else limit * WINDOW
        runs += controller.execute(models.newest(service.name, service.version, name, window))
    return _lines(controller, _last_asked(controller, runs)[:limit], broken)


def _lines(
    controller: Controller, runs: Iterable[Run], broken: Callable[[Run, CorruptError], None] = lambda *_: None
) -> list[RunSummary]:
    found = []
    for run in runs:
        try:
            found.append(line(controller, run))
        except CorruptError as error:
            broken(run, error)
    return [one for one in found if one is not None]


class _Moment(Struct, frozen=True):
    """What is read of a request to know when it was made."""

    asked_at: str = ""


def _last_asked(controller: Controller, runs: list[Run]) -> list[Run]:
    """Sort runs by when they were asked for, the last first; of the same moment, and unreadable, by date."""

    def asked(run: Run) -> str:
        try:
            return msgspec.json.decode(controller.store.get(run.request) or b"{}", type=_Moment).asked_at
        except (StoreError, msgspec.DecodeError):
            return ""  # whoever reads it whole tells what is wrong

    moments = dict(zip(runs, each(asked, runs), strict=True))
    return sorted(runs, key=lambda run: (moments[run], run.order), reverse=True)


def line(controller: Controller, run: Run) -> RunSummary | None:
    """Return one run's line; None for a folder without a request, which is no run."""
    request = controller.execute(get(run.request, Request))
    if request is None:
        return None
    witness = controller.witness(request)
    controller.execute(witness.look())
    records = witness.records
    outcome, receipt = records.outcome, records.withdrawal or records.delivery
    return RunSummary(
        request=request,
        state=witness.state,
        outcome=outcome,
        receipt=receipt,
        withdrawn=records.withdrawn
        or (controller.execute(get(run.withdrawn, Withdrawn)) if outcome else None),
        seconds=_between(
            request.asked_at, (receipt.at if receipt else "") or (outcome.at if outcome else "")
        ),
    )


def story(controller: Controller, run: Run) -> RunDetails:
    """Return everything on record of a run."""
    controller.request(run)
    found = line(controller, run)
    if found is None:
        raise AssertionError(run)
    attempts = tuple(controller.execute(_attempts(run)))
    outcome = found.outcome
    manifest = None
    if outcome and outcome.attempt and outcome.manifest:
        manifest = artifacts.manifest(controller.store, run.attempt(outcome.attempt), outcome.manifest)
    return RunDetails(line=found, attempts=attempts, manifest=manifest, stages=_stages(found, attempts))


def _attempts(run: Run) -> Effects[list[AttemptDetails]]:
    found: list[AttemptDetails] = []
    for launch in (yield from launches(run)):
        attempt = run.attempt(launch.number)
        found.append(
            AttemptDetails(
                launch=launch,
                claim=(yield from get(attempt.claim, CLAIM)),
                exit=(yield from get(attempt.exit, Exit)),
                host=(yield from get(attempt.host, Host)),
            )
        )
    return found


def _stages(line: RunSummary, attempts: tuple[AttemptDetails, ...]) -> dict[str, float]:
    number = (line.outcome.attempt if line.outcome else None) or len(attempts)
    end = attempts[number - 1].exit if 0 < number <= len(attempts) else None
    if end is None:
        return {}
    stages = dict(end.stages)
    if line.outcome and line.outcome.kind == "produced":
        stages["output"] = _between(end.at, line.outcome.at) or 0.0
    if line.outcome and line.receipt:
        stages["delivery"] = _between(line.outcome.at, line.receipt.at) or 0.0
    return {stage: stages[stage] for stage in STAGES if stage in stages}


def _between(start: str, end: str) -> float | None:
    if not start or not end:
        return None
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def estimate(controller: Controller, action: str) -> float | None:
    """Foretell how long a run of an action takes, in seconds: the median of its last successes."""
    service = controller.service
    if not controller.exists():
        return None
    runs = controller.execute(models.newest(service.name, service.version, action, SAMPLE))
    recent = _lines(controller, runs)
    seconds = [one.seconds for one in recent if one.state.phase.success and one.seconds is not None]
    return sorted(seconds)[len(seconds) // 2] if seconds else None


def users(controller: Controller, model: Run) -> list[RunSummary]:
    """List the runs that took a run as their input, newest first; they can only be of its date or later."""
    found: list[RunSummary] = []
    for action in controller.service.actions.values():
        if model.action in {item.action for item in action.inputs}:
            runs = controller.execute(models.since(model._replace(action=action.name)))
            requests = ((run, controller.execute(get(run.request, Request))) for run in runs)
            users = [run for run, request in requests if request and _took(request, model)]
            found += [one for one in (line(controller, run) for run in users) if one]
    return sorted(found, key=lambda one: one.run.order, reverse=True)


def _took(request: Request, model: Run) -> bool:
    return any(pin.run == model.folder for pin in request.inputs)


class LogReader:
    """Reads a run's log as it grows: each call gives what is new, from attempt to attempt, in order of printing."""

    def __init__(self, store: Store, run: Run, attempt: int | None = None) -> None:
        self._store = store
        self._run = run
        self._only = attempt
        self._attempt = attempt or 1
        self._chunk = 0

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Return (stream, bytes): stream 1 is standard output, 2 is standard error."""
        while True:
            data = self._store.get(self._run.attempt(self._attempt).log(self._chunk))
            if data is not None:
                self._chunk += 1
                yield from unframe(data)
            elif (
                self._only is None and self._store.get(self._run.attempt(self._attempt + 1).claim) is not None
            ):
                self._attempt, self._chunk = self._attempt + 1, 0
            else:
                return


def tail(store: Store, run: Run, attempt: int, lines: int = TAIL) -> bytes:
    """
    Return the last lines that an attempt printed, of `WIDTH` bytes each on average at most.

    A carriage return ends a line too, for a bar of progress has no other end.
    """
    most = lines * WIDTH
    end, cut = bytearray(), False
    for _, data in LogReader(store, run, attempt).read():
        end += data[-most - 1 :]
        cut = cut or len(end) > most
        del end[:-most]
    return _last(bytes(end), lines, cut=cut)


def _last(data: bytes, lines: int, *, cut: bool) -> bytes:
    """Return the last lines of what may be cut within its first one."""
    found = data.splitlines(keepends=True)
    if len(found) <= lines and cut:
        found[0] = CUT + REST_OF_A_SIGN.sub(b"", found[0])
    return b"".join(found[-lines:])


def fetch(controller: Controller, run: Run, to: Path) -> Manifest:
    """Bring a produced run's files into a directory, verified; UsageError where it has none."""
    controller.request(run)
    outcome = controller.execute(get(run.outcome, Outcome))
    if outcome is None or outcome.attempt is None or outcome.manifest is None:
        raise UsageError(
            f'the run "{run.label}" has no files',
            why=f"it ended as {outcome.kind}" if outcome else "it has not ended",
            hint=f"see `foretell show {run.label}`",
        )
    manifest = artifacts.manifest(controller.store, run.attempt(outcome.attempt), outcome.manifest)
    to.mkdir(parents=True, exist_ok=True)
    artifacts.load(controller.store, manifest.files, to)
    for name in manifest.directories:
        (to / name).mkdir(parents=True, exist_ok=True)
    return manifest
