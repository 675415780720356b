"""What goes into the output directory before the command, and what becomes of it afterwards."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from foretell.agent import elsewhere
from foretell.agent.elsewhere import FileStamp
from foretell.errors import CorruptError, OutputError
from foretell.protocol.effects import EffectHandler, execute, get
from foretell.protocol.keys import Attempt, run_of
from foretell.protocol.records import METRICS, Manifest, Outcome, Pin, Receipt, Request
from foretell.store import Store, artifacts, contents
from foretell.store.contents import Contents, Placed
from foretell.warehouses import settle

LARGEST_METRICS = 1024 * 1024
"""Bytes; the metrics are read with every look at the outcome."""
FEW = 3
"""Files that a cause names; the note names more."""
NAMESAKES = 20
"""Files of the working directory that are told of because they have the name of an input's."""

Checker: TypeAlias = Callable[[Contents], tuple[tuple[Path, ...], int]]
"""Checks predictions; returns the files to deliver and their number of rows."""


class World(EffectHandler, Protocol):
    """What the output of an attempt needs of it: effects, and ways to tell people."""

    def note(self, sentence: str, *, logged: bool = True) -> None:
        """Tell what a person should know, in the record of the attempt's end too."""

    def tell(self, text: str) -> None:
        """Say at once what keeps us."""


class Output:
    """The output of one attempt, in its working directory."""

    def __init__(self, request: Request, work: Path, store: Store, world: World) -> None:
        self._request = request
        self._work = work
        self._store = store
        self._world = world
        self._directory = work / request.spec.output
        self._checked = work.with_name("checked")
        self._contents = Contents(directory=self._directory)
        self._before: dict[str, FileStamp] = {}
        self._brought: dict[str, FileStamp] = {}
        self._files: tuple[Path, ...] = ()
        self._rows: int | None = None
        self._placed: dict[Path, Placed] = {}
        self._loading: threading.Thread | None = None
        self._checker: Checker | None = None

    def place_inputs(self) -> None:
        """Put every pinned model where the command expects it, verified; CorruptError where one is not what it was."""
        self._placed.clear()
        before = elsewhere.scan(self._work, self._request.spec.output)
        for pin in self._request.inputs:
            run = run_of(pin.run)
            outcome = execute(get(run.outcome, Outcome), self._world)
            if outcome is None or outcome.attempt is None or outcome.manifest != pin.digest:
                raise CorruptError(
                    f'the output of the input "{run.label}" differs from the pinned one',
                    where=run.outcome,
                    hint=f"run `foretell start {self._request.action}` again, with another --input",
                )
            manifest = artifacts.manifest(self._store, run.attempt(outcome.attempt), pin.digest)
            self._place(pin, manifest)
            names = [file.path for file in manifest.files]
            for found in elsewhere.namesakes(before, pin.path, names)[:NAMESAKES]:
                self._world.note(f"{found.told(run.label)}: {found.mend(run.label)}")
        self._brought = elsewhere.stamps(self._work, self._request.spec.output, self._placed)
        self._before = before | self._brought

    def _place(self, pin: Pin, manifest: Manifest) -> None:
        """Put one input into its place; OutputError where something else is in its way."""
        into = self._work / pin.path
        both = [file.path for file in manifest.files if into.joinpath(file.path) in self._placed]
        if both:
            raise OutputError(f'two inputs both contain "{both[0]}" for "{pin.path}"', hint=self._apart(pin))
        try:
            self._placed |= artifacts.load(self._store, manifest.files, into)
            for name in manifest.directories:
                (into / name).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise OutputError(
                f'the input "{run_of(pin.run).label}" cannot be placed in "{pin.path}"',
                where=str(error.filename),
                why="a file is in the place of a directory, or a directory in the place of a file",
                hint=self._apart(pin),
            ) from error

    def _apart(self, pin: Pin) -> str:
        """Say how one input gets a place of its own, and the others stay where they are."""
        places = {other.action: other.path for other in self._request.inputs} | {pin.action: pin.action}
        table = ", ".join(f'{action} = "{place}"' for action, place in places.items())
        return f"give it a separate directory: inputs = {{{table}}}"

    def load_in_background(self) -> None:
        """Load once, while the command runs, what delivers: it takes longer than everything else of the agent."""
        if self._request.spec.delivery and not self._loading:
            self._loading = threading.Thread(target=self._load, daemon=True)
            self._loading.start()

    def _load(self) -> Checker:
        from foretell.agent import predictions
        from foretell.delivery import validate

        desk = validate.desk(self._checked)
        self._checker = partial(predictions.check, self._request, into=self._checked, desk=desk)
        return self._checker

    def check(self) -> None:
        """See what can be saved, that it is there where others need it, and is what the delivery declares."""
        found = contents.survey(self._directory)
        for sentence in contents.told(found.left_out):
            self._world.note(sentence)
        self._contents = found.without(self._placed)
        self._tell_lost()
        if self._request.spec.delivery:
            self._files, self._rows = self._loaded()(found)

    def _tell_lost(self) -> None:
        """Say what is not kept; OutputError where nothing is, though others need it."""
        spec = self._request.spec
        after = elsewhere.scan(self._work, spec.output)
        lost = elsewhere.written(self._before, after, inputs=self._brought)
        kept = bool(self._contents.files)
        mend = lost.mend(spec.name, spec.output, kept=kept)
        if lost.files:
            self._world.note(f'not kept, because outside of "{spec.output}/": {lost}; to keep it, {mend}')
        if kept:
            return
        nothing = f'wrote nothing to "{spec.output}/"'
        if self._request.is_model:
            raise OutputError(
                f"the command succeeded but {nothing}",
                why=f'other actions use the output of "{spec.name}" as their model'
                + (f"; it wrote {lost.listed(FEW)} elsewhere" if lost.files else ""),
                hint=mend,
            )
        # Where nothing was lost, the log stays what the command printed.
        self._world.note(f"nothing was kept: the command {nothing}", logged=bool(lost.files))

    def save(self, attempt: Attempt, *, by: str, at: str) -> Outcome:
        """Upload everything, the manifest last, and give the outcome that names it."""
        manifest = artifacts.save(self._store, attempt, self._contents, rows=self._files)
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

    def deliver(self, outcome: Outcome) -> Receipt:
        """Deliver the checked rows from where they lie."""
        return settle.deliver(self._store, self._request, outcome, files=self._files, waits=self._world.tell)

    def discard(self) -> None:
        """Remove what a failed command left."""
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.rmtree(self._checked, ignore_errors=True)

    def _loaded(self) -> Checker:
        """Return what checks, loaded in the background or, where that failed, here, which says why."""
        if self._loading:
            self._loading.join()
        return self._checker or self._load()

    def _metrics(self) -> dict[str, object] | None:
        """Read the metrics that the model wrote, if it did; what is no JSON object is no metric."""
        path = next((path for name, path in self._contents.files if name == METRICS), None)
        if path is None:
            return None  # there are none, or they are the input's own
        import json

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
