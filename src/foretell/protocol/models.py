"""
Which model is current, as of a date. A question, not a pointer: nothing is moved, so nothing is moved wrongly (P8).

Run ids sort by (date, n), so the store's own names are the index: one listing of months, one of each month touched,
and a few reads for every run that is newer than the answer. The cost does not grow with history.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from foretell.errors import CorruptError
from foretell.protocol.effects import Effects, Folders, certainly, get
from foretell.protocol.keys import Run, run_named
from foretell.protocol.records import Manifest, Outcome, Receipt, Request, Withdrawn
from foretell.protocol.scope import partition
from foretell.service import schedule
from foretell.service.model import Service
from foretell.system.times import rfc3339

OPEN, TRIAL = "it has not ended", "it is a trial"
"""Why a run is no model, where nothing is wrong with it."""


class Passed(NamedTuple):
    """A newer run that is no model, and why."""

    run: Run
    reason: str


class Model(NamedTuple):
    """A succeeded run as others may take it as input."""

    request: Request
    outcome: Outcome

    @property
    def run(self) -> Run:
        return self.request.run


class Answer(NamedTuple):
    """The current model, and every newer run that was passed over for it."""

    model: Model | None
    passed: tuple[Passed, ...]


def current(service: str, version: str, action: str, as_of: datetime) -> Effects[Answer]:
    """Find the newest (date, n), not newer than `as_of`, that succeeded, is no trial, and was not withdrawn."""
    passed: list[Passed] = []
    for month in (yield from months(service, version, action, as_of)):
        for run in (yield from runs_of(service, version, action, month)):
            if run.date > as_of:
                continue
            found = yield from examine(run)
            if isinstance(found, Model):
                return Answer(found, tuple(passed))
            passed.append(Passed(run, found))
    return Answer(None, tuple(passed))


def substitute(request: Request) -> Effects[Model | None]:
    """
    Find the run whose rows should stand where a withdrawn one's do: the newest other success of the table's scope.

    None where there is none. Rows that were appended stand in nobody's place.
    """
    delivery = request.spec.delivery
    if delivery is None or delivery.mode == "append":
        return None
    end = datetime.max.replace(tzinfo=UTC)
    for month in (yield from months(request.service, request.version, request.action, end)):
        for other in (yield from runs_of(request.service, request.version, request.action, month)):
            if request.partition and request.partition != partition(
                delivery.granularity, other.date, request.timezone
            ):
                continue
            found = yield from examine(other)
            if isinstance(found, Model) and _same_scope(found.request, request):
                return found
    return None


def _same_scope(one: Request, other: Request) -> bool:
    mine, theirs = one.spec.delivery, other.spec.delivery
    same_table = mine is not None and theirs is not None and mine.table == theirs.table
    return same_table and one.partition == other.partition


def aging(service: Service, answer: Answer, at: datetime) -> str:
    """Return what to say of a current model that is older than twice the period of its schedule, else nothing."""
    if answer.model is None or answer.model.run.action not in service.actions:
        return ""
    run, date = answer.model.run, answer.model.run.date
    lines = schedule.effective(service.actions, run.action)
    if not lines or at - date <= 2 * max(schedule.period(line, service.timezone, at) for line in lines):
        return ""
    failed = next((one for one in answer.passed if one.reason not in (OPEN, TRIAL)), None)
    why = f'; "{failed.run.label}" is none: {failed.reason}' if failed else ""
    return (
        f'the model "{run.label}" is of {rfc3339(date)}, older than twice the period of its schedule '
        f"({' and '.join(lines)}){why}"
    )


def examine(run: Run) -> Effects[Model | str]:
    """Return the run as a model, or the reason why it is none."""
    outcome = yield from get(run.outcome, Outcome)
    if outcome is None:
        return OPEN
    if outcome.kind != "produced":
        return f"{outcome.kind}: {outcome.cause}" if outcome.cause else outcome.kind
    if (yield from _is_empty(run, outcome)):
        return "it kept nothing"
    request = yield from get(run.request, Request)
    if request is None:
        return "it was pruned"
    if request.trial:
        return TRIAL
    if request.delivers:
        receipt = yield from get(run.delivery, Receipt)
        if receipt is None:
            return "its delivery is not finished"
        if receipt.state == "rejected":
            return f"its delivery was rejected: {receipt.cause}"
    word = yield from get(run.withdrawn, Withdrawn)
    if word:
        return f"withdrawn{f' by {word.by}' if word.by else ''}{f': {word.reason}' if word.reason else ''}"
    return Model(request, outcome)


def _is_empty(run: Run, outcome: Outcome) -> Effects[bool]:
    """Whether a run produced no file; the manifest says so for certain, where the outcome does not name a number."""
    if outcome.files or outcome.attempt is None or outcome.manifest is None:
        return False
    try:
        manifest = yield from get(run.attempt(outcome.attempt).manifest, Manifest)
    except CorruptError:
        return False  # which is told with all it says when the model is loaded
    return manifest is not None and not manifest.files


def newest(service: str, version: str, action: str, limit: int | None) -> Effects[list[Run]]:
    """List the newest runs of an action, newest first; all of them without a limit."""
    found: list[Run] = []
    for month in (yield from months(service, version, action, datetime.max.replace(tzinfo=UTC))):
        found += yield from runs_of(service, version, action, month)
        if limit is not None and len(found) >= limit:
            return found[:limit]
    return found


def since(first: Run) -> Effects[list[Run]]:
    """List the runs of an action whose date is not before another's, newest first."""
    found: list[Run] = []
    for month in (
        yield from months(first.service, first.version, first.action, datetime.max.replace(tzinfo=UTC))
    ):
        runs = yield from runs_of(first.service, first.version, first.action, month)
        found += [run for run in runs if run.date >= first.date]
        if month < f"{first.date.astimezone(UTC):%Y-%m}":
            break
    return found


def months(service: str, version: str, action: str, as_of: datetime) -> Effects[list[str]]:
    """List the months that have runs of an action, newest first, none after `as_of`."""
    last = f"{as_of.astimezone(UTC):%Y-%m}"
    found = yield from _folders(f"{service}/{version}/{action}")
    return sorted((month for month in found if month <= last), reverse=True)


def versions(service: str) -> Effects[list[str]]:
    """List the versions of a service that have runs, in no order."""
    return (yield from _folders(service))


def actions_of(service: str, version: str) -> Effects[list[str]]:
    """List the actions that have runs of a version, in order of their names."""
    return sorted((yield from _folders(f"{service}/{version}")))


def runs_of(service: str, version: str, action: str, month: str) -> Effects[list[Run]]:
    """List the runs of an action in a month, newest first."""
    found = yield from _folders(f"{service}/{version}/{action}/{month}")
    return sorted(_runs(service, version, action, found), key=lambda run: run.order, reverse=True)


def _runs(service: str, version: str, action: str, folders: Iterable[str]) -> Iterable[Run]:
    for folder in folders:
        try:
            yield run_named(service, version, action, folder)
        except ValueError:
            continue  # not a run's folder: a person put something there


def _folders(prefix: str) -> Effects[list[str]]:
    found: list[str] = yield from certainly(Folders(prefix))
    return found
