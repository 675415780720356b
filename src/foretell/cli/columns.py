"""columns: the line of foretell.toml that declares what a run wrote."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from foretell.cli import opening
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb, add_run
from foretell.controller.controller import Controller
from foretell.delivery.columns import alternative, anything, declaring, tables
from foretell.delivery.declaration import KEY, DeclaredTable, is_table
from foretell.delivery.files import listed
from foretell.delivery.formats import SUPPORTED
from foretell.errors import DeliveryRejectedError, UsageError
from foretell.protocol.effects import get
from foretell.protocol.keys import Attempt, Run
from foretell.protocol.records import File, Outcome, Request
from foretell.service.delivery import Delivery
from foretell.store import artifacts

GLANCE = 50_000_000
"""Bytes that are read without being asked for."""


def _add_columns(made: ArgumentParser) -> None:
    add_run(made)
    made.add_argument(
        "pattern",
        metavar="FILE",
        nargs="?",
        help="a file of the output, or a glob (default: every file that is a table)",
    )


def columns(args: Namespace, out: Terminal) -> int:
    """Print the line that declares the columns of what a run wrote."""
    controller = opening.controller(args)
    run = controller.find(args.run)
    request = controller.request(run)
    found = _of_run(controller, request, args.pattern)
    out.document({"run": run.label, "tables": [table.document() for table in found]})
    for table in found:
        if len(found) > 1:
            out.result((f"# {table.file}", "faint"))
        out.result(table.line)
        for note in table.notes:
            out.tell(("note: ", "warn"), note)
    where = f"[actions.{run.action}.delivery]"
    file = f'file = "{found[0].file}"' if len(found) == 1 else "the `file` it is for"
    declared = "" if request.spec.delivery else f", together with {file}"
    out.tell((f"add it to {where} of foretell.toml{declared}", "faint"))
    return 0


def _of_run(controller: Controller, request: Request, pattern: str | None) -> list[DeclaredTable]:
    run = request.run
    outcome = controller.execute(get(run.outcome, Outcome))
    action = controller.service.actions.get(run.action)  # the declaration that is to be mended is today's
    delivery = (action.delivery if action else None) or request.spec.delivery
    if outcome is None:
        raise UsageError(
            f'the run "{run.label}" has not ended', hint=f"wait for it: `foretell wait {run.label}`"
        )
    if outcome.attempt is None or outcome.manifest is None:
        return [_told(run, outcome, delivery.file if delivery else "")]
    attempt = run.attempt(outcome.attempt)
    files = artifacts.manifest(controller.store, attempt, outcome.manifest).files
    if pattern and (delivery is None or delivery.file != pattern):
        delivery = anything(pattern)
    wanted = [
        file for file in files if (fnmatch(file.path, delivery.file) if delivery else is_table(file.path))
    ]
    with _laid_out(controller, attempt, wanted or files) as output, _aside() as aside:
        if delivery:
            return [_table(delivery, output, aside)]
        found = [_table(anything(table.file), output, aside) for table in _tables(files, output, aside)]
    if found:
        return found
    names = [file.path for file in files]
    raise UsageError(
        f'the run "{run.label}" wrote no table',
        why=f"it wrote {listed(names)}; supported as tables: {SUPPORTED}" if files else "it has no files",
        hint=f"name the file: `foretell columns {run.label} FILE`" if files else "",
    )


def _table(delivery: Delivery, output: Path, aside: Path) -> DeclaredTable:
    line = declaring(delivery, output, aside)
    notes = []
    if 'from = ""' in line:
        notes.append(
            "the column without a name is the index of a data frame: "
            "write the file with index=False, or in R with row.names=FALSE"
        )
    if lines := alternative(delivery, output, aside):
        notes.append(f"if these texts mean a missing value, add:\n{lines}")
    return DeclaredTable(file=delivery.file, line=line, notes=tuple(notes))


def _told(run: Run, outcome: Outcome, file: str) -> DeclaredTable:
    """Return what the agent said of an output that was refused, and is kept nowhere."""
    for told in reversed(outcome.cause.splitlines()):
        if told.strip().startswith(KEY):
            return DeclaredTable(file=file, line=told.strip())
    fits = outcome.kind == "rejected"
    raise UsageError(
        f'the run "{run.label}" has no output',
        why=f"it ended as {outcome.kind}: {outcome.cause}",
        hint=f"see `foretell show {run.label}`" if fits else f"see `foretell logs {run.label}`",
    )


def at_a_glance(controller: Controller, run: Run, outcome: Outcome) -> list[DeclaredTable]:
    """Return the tables among what a run kept, as far as they are at hand and small enough to be read unasked."""
    if outcome.attempt is None or outcome.manifest is None or controller.store.directory is None:
        return []
    attempt = run.attempt(outcome.attempt)
    files = artifacts.manifest(controller.store, attempt, outcome.manifest).files
    wanted = [file for file in files if is_table(file.path)]
    if not wanted or sum(file.size for file in wanted) > GLANCE:
        return []
    with _laid_out(controller, attempt, wanted) as output, _aside() as aside:
        return _tables(wanted, output, aside)


def _tables(files: Sequence[File], output: Path, aside: Path) -> list[DeclaredTable]:
    found = []
    for number, file in enumerate(tables(file.path for file in files)):
        try:
            found.append(
                DeclaredTable(file=file, line=declaring(anything(file), output, aside / str(number)))
            )
        except DeliveryRejectedError:
            continue  # no table, whatever its name says
    return found


@contextmanager
def _laid_out(controller: Controller, attempt: Attempt, files: Sequence[File]) -> Iterator[Path]:
    """Return a directory that holds these files: the store's own where they lie there as they are."""
    store, place = controller.store, f"{attempt.folder}/output"
    if store.directory is not None and all(file.key == f"{place}/{file.path}" for file in files):
        yield store.directory / place
        return
    with _aside() as aside:
        artifacts.load(store, files, aside)
        yield aside


@contextmanager
def _aside() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="foretell-") as aside:
        yield Path(aside)


VERBS = {
    "columns": Verb(
        _add_columns,
        columns,
        ("foretell columns application/20261121T060000Z-1", 'foretell columns "$run" predictions.csv'),
    )
}
