"""One run in full: for people and as a document."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import msgspec

from foretell.agent.workspace import arguments
from foretell.cli.output import Terminal
from foretell.cli.wording import counted, duration, metrics, moment, phase, size
from foretell.controller import links
from foretell.controller.history import AttemptDetails, RunDetails
from foretell.protocol.keys import run_of
from foretell.protocol.records import Claimed, Request, Void

FEW = 10
"""Files that are listed one by one."""


def tell_story(story: RunDetails, store: str, out: Terminal) -> None:
    """Print a run's story as the result."""
    line = story.line
    out.result((line.run.label, "strong"), "  ", phase(line.state.phase))
    for name, text in _facts(story, store):
        label = name
        for part in text.splitlines():
            out.result((f"  {label:11}", "faint"), part)
            label = ""
    _list_files(story, out)


def _facts(story: RunDetails, store: str) -> Iterator[tuple[str, str]]:
    line, request = story.line, story.line.request
    yield "cause", line.state.cause
    yield "date", f"{moment(request.date)} UTC"
    if request.interval:
        yield "interval", f"{moment(request.interval.start)} to {moment(request.interval.end)} UTC"
    yield (
        "requested",
        f"{moment(request.asked_at)} UTC, by {request.asked_by or 'unknown'}, on {request.target.name}",
    )
    yield "key", f"{request.key}{', a trial' if request.trial else ''}"
    yield "took", _took(story)
    yield "command", "\n".join(shlex.join(arguments(argv, request)) for argv in request.spec.steps)
    yield "env file", request.env_file or ""
    yield "code", _code(request)
    for pin in request.inputs:
        yield "input", f"{run_of(pin.run).label} in {pin.path}/, manifest {pin.digest[:12]}"
    for attempt in story.attempts:
        yield f"attempt {attempt.number}", _attempt(attempt)
        yield from _steps(attempt, request)
        yield "note", "\n".join(attempt.exit.notes) if attempt.exit else ""
    yield "metrics", metrics(line.outcome.metrics if line.outcome else None)
    yield from _delivered(story)
    if word := line.withdrawn:
        yield "withdrawn", f"{moment(word.at)} UTC, by {word.by}{f': {word.reason}' if word.reason else ''}"
    yield "records", f"{store}/{line.run.folder}"
    yield "sources", request.snapshot or ""
    yield "log", f"`foretell logs {line.run.label}`"
    for name, address in _console(story).items():
        yield f"see {name}", address


def _took(story: RunDetails) -> str:
    stages = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in story.stages.items())
    total = duration(story.line.seconds) or "not ended"
    return f"{total} ({stages})" if stages else total


def _code(request: Request) -> str:
    """Say what identifies the code."""
    revision = f", revision {request.revision}" if request.revision else ""
    image = f", image {request.image}" if request.image else ""
    return f"fingerprint {request.fingerprint[:12]}{revision}{image}"


def _attempt(attempt: AttemptDetails) -> str:
    """Say how an attempt went, as far as anybody knows."""
    parts = [f"{moment(attempt.launch.at)} UTC"]
    if attempt.launch.after:
        parts.append(f"after {attempt.launch.after}")
    match attempt.claim:
        case Claimed(host=host):
            parts.append(f"on {host or 'an unknown host'}")
        case Void(cause=cause):
            parts.append(f"abandoned: {cause}")
        case None:
            parts.append("not started")
    if end := attempt.exit:
        how = (
            f"signal {end.signal}" if end.signal else f"exit code {end.code}" if end.code is not None else ""
        )
        parts += [part for part in (end.fault or "", how, "out of memory" if end.oom else "") if part]
        parts.append(f"{duration(end.wall)} ({duration(end.cpu)} of CPU), peak memory {size(end.memory)}")
    if attempt.host and not any(attempt.host.cause in part for part in parts):
        parts.append(attempt.host.cause)
    return ", ".join(parts)


def _steps(attempt: AttemptDetails, request: Request) -> Iterator[tuple[str, str]]:
    """Say how each of several commands ended, also of those that were not begun."""
    if attempt.exit is None or len(request.spec.steps) == 1:
        return
    ended = attempt.exit.steps
    for number, argv in enumerate(request.spec.steps):
        how = "not started"
        if number < len(ended):
            step = ended[number]
            how = f"signal {step.signal}" if step.signal else f"exit code {step.code}"
            how = f"{how}, {duration(step.seconds)}"
        yield f"  step {number + 1}", f"{how}: {shlex.join(arguments(argv, request))}"


def _delivered(story: RunDetails) -> Iterator[tuple[str, str]]:
    receipt = story.line.receipt
    if receipt:
        cause = f": {receipt.cause}" if receipt.cause else ""
        yield (
            "delivery",
            f'{receipt.state}, {counted(receipt.rows, "row")}, "{receipt.scope}", {moment(receipt.at)} UTC{cause}',
        )


def _list_files(story: RunDetails, out: Terminal) -> None:
    if story.manifest is None:
        return
    files = story.manifest.files
    total = size(sum(file.size for file in files))
    out.result(
        ("  files      ", "faint"),
        f"{counted(len(files), 'file')}, {total}: `foretell get {story.line.run.label}`",
    )
    for file in files[:FEW]:
        out.result("             ", file.path, (f"  {size(file.size)}", "faint"))
    if len(files) > FEW:
        out.result("             ", f"… and {len(files) - FEW:,} more")


def story_document(story: RunDetails, store: str) -> dict[str, object]:
    """Return all records of a run, as they are."""
    line = story.line
    return {
        "request": msgspec.to_builtins(line.request),
        "commands": [arguments(argv, line.request) for argv in line.request.spec.steps],
        "attempts": [{"number": one.number, **msgspec.to_builtins(one)} for one in story.attempts],
        "outcome": msgspec.to_builtins(line.outcome),
        "receipt": msgspec.to_builtins(line.receipt),
        "withdrawn_by": msgspec.to_builtins(line.withdrawn),
        "stages": dict(story.stages),
        "files": msgspec.to_builtins(story.manifest.files) if story.manifest else [],
        "records": f"{store}/{line.run.folder}",
        "console": _console(story),
    }


def _console(story: RunDetails) -> dict[str, str]:
    last = story.attempts[-1].launch if story.attempts else None
    return links.addresses(story.line.request, last)
