"""runs, show, logs, get."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from foretell.cli import opening, parsing
from foretell.cli.output import Cell, Terminal
from foretell.cli.parsing import Verb, add_run
from foretell.cli.story import story_document, tell_story
from foretell.cli.wording import counted, duration, first_line, moment, phase, size
from foretell.controller import history
from foretell.controller.controller import Controller
from foretell.controller.history import LogReader, RunSummary
from foretell.errors import UsageError
from foretell.protocol.frames import STDERR, STDOUT
from foretell.protocol.keys import Run
from foretell.sources import tree
from foretell.sources.ignore import IGNORE_FILE

PAUSE, FAR = 0.2, 2.0
"""Seconds between two looks at a log that is followed, in a directory and in a bucket."""
NAMES = {STDOUT: "stdout", STDERR: "stderr"}

# --- runs -------------------------------------------------------------------------------------------------------------


def _add_runs(made: ArgumentParser) -> None:
    made.add_argument("action", metavar="ACTION", nargs="?", help="list only the runs of this action")
    parsing.add_limit(made, 30, "how many runs")


def runs(args: Namespace, out: Terminal) -> int:
    """List the newest runs."""
    controller = opening.controller(args)
    found = history.lines(
        controller,
        args.action,
        args.limit or None,
        broken=lambda run, error: out.tell((f"{run.label} is not listed: {error.summary}", "bad")),
    )
    out.document({"target": controller.target.name, "runs": [line_document(line) for line in found]})
    if not found:
        action = args.action or next(iter(controller.service.actions), "ACTION")
        out.tell(
            f'there are no runs on "{controller.target.name}" yet; start with `{opening.again(args, f"run {action}")}`'
        )
        return 0
    headers = ("run", "state", "date (UTC)", "requested (UTC)", "took", "attempts", "rows", "cause")
    out.table(headers, [_row(line) for line in found], right=("took", "attempts", "rows"))
    return 0


def _row(line: RunSummary) -> list[Cell]:
    rows = line.outcome.rows if line.outcome else None
    return [
        line.run.label,
        phase(line.state.phase),
        moment(line.request.date),
        moment(line.request.asked_at),
        duration(line.seconds),
        str(line.state.attempt or ""),
        "" if rows is None else f"{rows:,}",
        _remark(line),
    ]


def _remark(line: RunSummary) -> str:
    """Say in a line what is special about a run."""
    remarks = ["trial"] if line.request.trial else []
    if line.withdrawn:
        remarks.append(f"withdrawn: {line.withdrawn.reason}" if line.withdrawn.reason else "withdrawn")
    if line.state.cause:
        remarks.append(first_line(line.state.cause))
    return ", ".join(remarks)


def line_document(line: RunSummary) -> dict[str, object]:
    """Return a run's line as it stands in a JSON document."""
    outcome, receipt = line.outcome, line.receipt
    return {
        "run": line.run.label,
        "action": line.run.action,
        "date": line.request.date,
        "state": line.state.phase,
        "ended": line.state.phase.ended,
        "attempt": line.state.attempt,
        "cause": line.state.cause,
        "asked_at": line.request.asked_at,
        "seconds": line.seconds,
        "rows": outcome.rows if outcome else None,
        "metrics": (outcome.metrics if outcome else None) or {},
        "delivery": receipt.state if receipt else None,
        "trial": line.request.trial,
        "withdrawn": line.withdrawn is not None,
    }


# --- show -------------------------------------------------------------------------------------------------------------


def show(args: Namespace, out: Terminal) -> int:
    """Tell everything on record of a run."""
    controller = opening.controller(args)
    story = history.story(controller, controller.find(args.run))
    out.document({**line_document(story.line), **story_document(story, controller.store.url)})
    tell_story(story, controller.store.url, out)
    return 0


# --- logs -------------------------------------------------------------------------------------------------------------


def _add_logs(made: ArgumentParser) -> None:
    add_run(made)
    made.add_argument("-f", "--follow", action="store_true", help="continue until the run has ended")
    streams = made.add_mutually_exclusive_group()
    streams.add_argument(
        "--stdout", dest="stream", action="store_const", const=STDOUT, help="only standard output"
    )
    streams.add_argument(
        "--stderr", dest="stream", action="store_const", const=STDERR, help="only standard error"
    )
    made.add_argument("--attempt", type=parsing.number, metavar="N", help="only this attempt (default: all)")


def logs(args: Namespace, out: Terminal) -> int:
    """Print what a run printed, byte for byte."""
    controller = opening.controller(args)
    run = controller.find(args.run)
    frames: list[tuple[int, bytes]] = []
    printed = False
    for stream, data in _frames(controller, run, args):
        if args.stream not in (None, stream):
            continue
        printed = True
        if args.json:
            frames.append((stream, data))
        else:
            out.raw(data)
        if out.lost:
            break
    if not printed:
        out.tell("the command printed nothing")
    texts = [{"stream": NAMES[stream], "text": data.decode(errors="replace")} for stream, data in frames]
    out.document({"run": run.label, "log": texts})
    return 0


def _frames(controller: Controller, run: Run, args: Namespace) -> Iterator[tuple[int, bytes]]:
    """Return what was printed, and with --follow what is being printed until the run has ended."""
    reader = LogReader(controller.store, run, args.attempt)
    while args.follow and not controller.check(run).phase.ended:
        yield from reader.read()
        time.sleep(FAR if controller.store.directory is None else PAUSE)
    yield from reader.read()


# --- get --------------------------------------------------------------------------------------------------------------


def _add_get(made: ArgumentParser) -> None:
    add_run(made)
    made.add_argument("--to", type=Path, metavar="DIR", help="the directory for them (default: ./RUN-ID)")
    made.add_argument("--force", action="store_true", help="allow a directory that is not empty")


def get(args: Namespace, out: Terminal) -> int:
    """Fetch a run's files."""
    controller = opening.controller(args)
    run = controller.find(args.run)
    to: Path = args.to or Path(run.id)
    _must_be_free(to, force=args.force)
    try:
        manifest = history.fetch(controller, run, to)
    except OSError as error:
        raise UsageError(
            f'cannot write to "{to}"',
            why=error.strerror or str(error),
            hint="choose another directory: --to DIR",
        ) from error
    out.result(str(to))
    out.document(
        {"run": run.label, "directory": to.absolute(), "files": [file.path for file in manifest.files]}
    )
    total = sum(file.size for file in manifest.files)
    out.tell(f"{counted(len(manifest.files), 'file')} of {run.label}, {size(total)}, verified")
    if _becomes_source(controller, to):
        out.tell(
            f'note: "{to}" is inside the service\'s directory, so later runs get a copy of it; '
            f"to prevent that, add it to {IGNORE_FILE}"
        )
    return 0


def _becomes_source(controller: Controller, to: Path) -> bool:
    """Tell whether a directory is one that is copied for every run from now on."""
    root, place = Path(os.path.realpath(controller.service.root)), Path(os.path.realpath(to))
    if not place.is_relative_to(root):
        return False
    return any((root / entry.path).is_relative_to(place) for entry in tree.of(controller.service).entries)


def _must_be_free(to: Path, *, force: bool) -> None:
    if to.exists() and not to.is_dir():
        raise UsageError(f'"{to}" is not a directory', hint="choose another directory: --to DIR")
    if not force and to.is_dir() and any(to.iterdir()):
        raise UsageError(
            f'the directory "{to}" is not empty',
            hint="choose another one (--to DIR), or allow overwriting (--force)",
        )


VERBS = {
    "runs": Verb(
        _add_runs, runs, ("foretell runs", "foretell runs training --limit 5", "foretell runs --json")
    ),
    "show": Verb(add_run, show, ("foretell show training/20261121T060000Z-1", 'foretell show "$run" --json')),
    "logs": Verb(
        _add_logs, logs, ('foretell logs "$run" --follow', 'foretell logs "$run" --stderr --attempt 2')
    ),
    "get": Verb(_add_get, get, ('foretell get "$run"', 'foretell get "$run" --to model --force')),
}
