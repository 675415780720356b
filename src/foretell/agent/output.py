"""What goes into the output directory before the command, and what becomes of it afterwards."""

from __future__ import annotations

import importlib
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec

from foretell import artifacts
from foretell.artifacts import Placed
from foretell.errors import CorruptError, OutputError
from foretell.ledger import drive, get
from foretell.names import Attempt, Run, run_of
from foretell.records import Outcome, Receipt, Request
from foretell.store import Store

METRICS = "metrics.json"
LARGEST_METRICS = 1024 * 1024
"""Bytes; the metrics are read with every look at the outcome."""


class Output:
    """The output of one attempt, in its working directory."""

    def __init__(self, request: Request, run: Run, work: Path, store: Store, world: Any) -> None:
        self._request = request
        self._run = run
        self._work = work
        self._store = store
        self._world = world
        self._directory = work / request.spec.output
        self._checked = work.with_name("checked")
        self._files: tuple[Path, ...] = ()
        self._uris: tuple[str, ...] = ()
        self._rows: int | None = None
        self._placed: dict[Path, Placed] = {}
        self._loading: threading.Thread | None = None
        self._desk: Any = None

    def place_inputs(self) -> None:
        """Put every pinned model where the command expects it, verified; CorruptError where one is not what it was."""
        self._placed.clear()
        for pin in self._request.inputs:
            run = run_of(pin.run)
            outcome = drive(get(run.outcome, Outcome), self._world)
            if outcome is None or outcome.attempt is None or outcome.manifest != pin.digest:
                raise CorruptError(
                    f'the input "{run.label}" is not what was pinned',
                    where=run.outcome,
                    hint=f"run `foretell start {self._request.action}` again, with another --input",
                )
            manifest = artifacts.manifest(self._store, run.attempt(outcome.attempt), pin.digest)
            into = self._work / pin.path
            both = [file.path for file in manifest.files if into.joinpath(file.path) in self._placed]
            if both:
                raise OutputError(
                    f'two inputs both bring "{both[0]}" to "{pin.path}"',
                    hint=f'give one of them a place of its own: inputs = {{{pin.action} = "models"}}',
                )
            self._placed |= artifacts.load(self._store, manifest.files, into)
            for name in manifest.directories:
                (into / name).mkdir(parents=True, exist_ok=True)

    def load_in_background(self) -> None:
        """Load once, while the command runs, what delivers: it takes longer than everything else of the agent."""
        if self._request.spec.delivery and not self._loading:
            self._loading = threading.Thread(target=self._load, daemon=True)
            self._loading.start()

    def _load(self) -> None:
        self._desk = _predictions().validate.desk(self._checked)

    def check(self) -> None:
        """See that the output can be saved, is there where others need it, and is what the delivery declares."""
        files = artifacts.listed(self._directory)
        if self._request.is_model and not files:
            raise OutputError(
                f'the command succeeded and wrote nothing into "{self._request.spec.output}/"',
                why=f'other actions take the output of "{self._request.action}" as their model',
                hint=f"have it write there, or set `output` of [actions.{self._request.action}] to where it writes",
            )
        if self._request.spec.delivery:
            self._wait_loaded()
            self._files, self._rows = _predictions().check(
                self._request, self._run, self._directory, into=self._checked, desk=self._desk
            )

    def save(self, attempt: Attempt, *, by: str, at: str) -> Outcome:
        """Upload everything, the manifest last, and give the outcome that names it."""
        manifest = artifacts.save(
            self._store, attempt, self._directory, untouched=self._placed, rows=self._files
        )
        self._uris = manifest.addresses(self._store.url)
        return Outcome(
            kind="produced",
            attempt=attempt.number,
            by=by,
            manifest=artifacts.commit(self._store, attempt, manifest),
            files=len(manifest.files),
            size=sum(file.size for file in manifest.files),
            rows=self._rows,
            metrics=self._metrics(),
            at=at,
        )

    def ship(self, outcome: Outcome) -> Receipt:
        """Deliver the checked rows from where they lie."""
        self._wait_loaded()
        receipt: Receipt = _predictions().ship(self._request, self._run, outcome, self._files, self._uris)
        return receipt

    def discard(self) -> None:
        """Remove what a failed command left."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.rmtree(self._checked, ignore_errors=True)

    def _wait_loaded(self) -> None:
        if self._loading:
            self._loading.join()

    def _metrics(self) -> dict[str, object] | None:
        """Read the metrics that the model wrote, if it did; what is no JSON object is no metric."""
        path = self._directory / METRICS
        if path in self._placed and Placed.of(path) == self._placed[path]:
            return None  # the input's own
        try:
            if path.stat().st_size > LARGEST_METRICS:
                return None
            found = json.loads(path.read_bytes())
            msgspec.json.encode(
                found
            )  # the record takes no text that is not UTF-8, nor what is nested too deeply
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


def _predictions() -> Any:
    """Give the module that checks and ships; loaded late, see `Output.load_in_background`."""
    return importlib.import_module("foretell.agent.predictions")
