"""What the tasks of a graph do, each leg anew from what the store says: nothing is kept on a worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from logging import Logger
from pathlib import Path
from typing import cast

import msgspec

from foretell.airflow.assets import target_name
from foretell.airflow.compat import Report
from foretell.airflow.identity import Identity
from foretell.airflow.trigger import RunTrigger
from foretell.controller import history, links, survey, tick
from foretell.controller.controller import Controller, connect
from foretell.controller.history import RunDetails
from foretell.controller.links import paths
from foretell.controller.resolve import StartOptions
from foretell.errors import CorruptError, NoModelError, PatienceError, StoreError, UnknownRunError
from foretell.protocol import keys, steps
from foretell.protocol.effects import get
from foretell.protocol.keys import Run
from foretell.protocol.records import Interval, Request
from foretell.protocol.rules import State, Step, Wait
from foretell.service import load
from foretell.system import times

TAIL = 200
"""Lines of an earlier attempt's log that are kept in the task's log."""


def open_duty(root: Path, action: str, identify: Callable[[str], Identity]) -> RunTask:
    """Open the target of a service; `identify` tells which run a time zone's task is about."""
    service = load.load(root, environ=os.environ)
    controller = connect(service, target_name(service, os.environ))
    return RunTask(controller, action, identify(service.timezone))


class RunTask:
    """One leg of a task: the target's verbs, and the run that the graph's run stands for."""

    def __init__(self, controller: Controller, action: str, who: Identity) -> None:
        self.controller = controller
        self.action = action
        self.who = who
        self.places: dict[str, str] = {}
        """Addresses of what belongs to the run, by the name of the link."""
        self._story: RunDetails | None = None

    # --- which run --------------------------------------------------------------------------------------------

    def runs(self) -> list[tuple[Run, Request]]:
        """Return the runs that this graph's run has asked for, oldest first: one, and one more for each clearing."""
        service, found = self.controller.service, []
        run = Run(service.name, service.version, self.action, self.who.date, 1)
        if not self.controller.exists():
            return []
        while request := self.controller.execute(get(run.request, Request)):
            if keys.original(request.key) == self.who.key:
                found.append((run, request))
            run = run._replace(n=run.n + 1)
        return found

    def newest(self) -> tuple[Run, Request]:
        """Return the run that counts; UnknownRunError where nothing was started."""
        found = self.runs()
        if not found:
            raise UnknownRunError(
                f'there is no run of "{self.action}" for {times.rfc3339(self.who.date)}',
                why=f'nothing was started on "{self.controller.target.name}" for {self.who.key}',
                hint='clear the task "start"',
            )
        run, request = found[-1]
        launches = self.controller.execute(steps.launches(run))
        shown = links.addresses(request, launches[-1] if launches else None)
        self.places = {**paths(request), **shown}
        return run, request

    # --- start ------------------------------------------------------------------------------------------------

    def start(self, cleared: int, log: Logger) -> Report:
        """Ask for the run; after a clearing stop what was asked for before, and ask for the next of that date."""
        key = keys.retried(self.who.key, cleared)
        for run, request in self.runs():
            if request.key != key:
                outcome = self.controller.stop(run, "the task was cleared, and another run begun")
                log.info("%s was begun before this task was cleared: %s", run.label, outcome.kind)
        interval = self.who.shown_interval
        asked = StartOptions(
            date=self.who.date,
            key=key,
            again=False,
            future=True,
            interval=Interval(start=interval[0], end=interval[1]) if interval else None,
        )
        asked = self.controller.prepare(self.action, asked, say=log.info)
        try:
            found = self.controller.ask(self.action, asked)
        except NoModelError as error:
            if tick.is_coming(self.controller, self.action):
                raise PatienceError(error.what, why="it is being made") from None
            raise
        name = self.controller.target.name
        log.info('%s on "%s", %s', found.run.label, name, "started" if found.new else "known by this key")
        self.newest()
        for place, address in self.places.items():
            log.info("%s: %s", place, address)
        if not found.request.target.platform.runs_images:
            log.warning(
                'it runs as a process of this machine (target "%s"): every worker and the triggerer must be on it',
                name,
            )
        return {
            "run": found.run.label,
            "target": name,
            "folder": f"{self.controller.store.url}/{found.run.folder}",
        }

    # --- wait -------------------------------------------------------------------------------------------------

    def watch(self) -> RunTrigger:
        """Return the trigger that looks at the run until something is to be done."""
        run, request = self.newest()
        return RunTrigger(store=self.controller.store.url, run=run.folder, poll=request.target.times.poll)

    def advance(self, event: Mapping[str, object] | None, log: Logger) -> bool:
        """Take what is due and the step that a trigger came to; whether the run has ended."""
        run, request = self.newest()
        told = event if event and event.get("run") == run.folder else {}
        witness = self.controller.witness(request)
        patience = request.target.times.deliver + 60
        done = self.controller.execute(witness.advance(_step(told)), patience=patience)
        if witness.receipt_due:
            raise PatienceError(
                f'the run "{run.label}" has produced its rows, and they are not delivered yet',
                why="the warehouse does not answer",
                hint="this task goes on with it when it is tried again",
            )
        state = witness.state
        if done:
            self.controller.store.sync(run.outcome)
        if bool(told) != done and (attempt := cast("int | None", told.get("attempt")) or state.attempt):
            self.print_log(run, attempt, log)
        log.info("%s is %s%s", run.label, state.phase, f": {state.cause}" if state.cause else "")
        return done

    def print_log(self, run: Run, attempt: int, log: Logger) -> None:
        """Print the end of an attempt's log, where no trigger has, or where the next one overwrites what it has."""
        if lines := self._tail(run, attempt, TAIL):
            log.info("the end of what attempt %s printed:", attempt)
        for line in lines:
            log.info("  %s", line)

    # --- the verdict ------------------------------------------------------------------------------------------

    @property
    def story(self) -> RunDetails:
        if self._story is None:
            self._story = history.story(self.controller, self.newest()[0])
        return self._story

    @property
    def state(self) -> State:
        return self.story.line.state

    @property
    def succeeded(self) -> bool:
        return self.state.phase.success

    def report(self) -> Report:
        """Return what became of the run, as values of JSON."""
        line, state = self.story.line, self.state
        outcome, receipt = line.outcome, line.receipt
        report: Report = {
            "run": line.run.label,
            "target": self.controller.target.name,
            "date": line.request.date,
            "outcome": str(state.phase),
            "cause": state.cause,
            "attempts": len(self.story.attempts),
            "seconds": line.seconds,
            "stages": {stage: round(seconds, 3) for stage, seconds in self.story.stages.items()},
            "metrics": (outcome.metrics if outcome else None) or {},
            "rows": outcome.rows if outcome else None,
            "inputs": {pin.action: keys.run_of(pin.run).label for pin in line.request.inputs},
        }
        if receipt:
            report["delivery"] = {"table": receipt.table, "state": receipt.state, "rows": receipt.rows}
        return report

    def summary(self) -> str:
        """Say in one line what a success has brought about."""
        line = self.story.line
        parts = []
        if receipt := line.receipt:
            parts.append(f"{receipt.rows} rows in {receipt.table} ({receipt.state})")
        metrics = (line.outcome.metrics if line.outcome else None) or {}
        parts += [f"{name} {value:g}" for name, value in metrics.items()]
        told = f"{line.run.label} {self.state.phase}"
        return f"{told}: {', '.join(parts)}" if parts else told

    def verdict(self) -> str:
        """Say why the run is no success: what and cause in the first line, then the end of what it printed."""
        line, state = self.story.line, self.state
        cause, _, more = state.cause.partition("\n")
        first = f"{line.run.label} {state.phase}{f': {cause}' if cause else ''}"
        if not state.phase.ended:
            first = f"{line.run.label} has not ended: it is {state.phase}"
        said = [first, *more.splitlines()]
        if state.attempt and (printed := self._tail(line.run, state.attempt, history.TAIL)):
            said += [f"the end of what attempt {state.attempt} printed:", *(f"  {text}" for text in printed)]
        said += [f"{place}: {address}" for place, address in self.places.items()]
        return "\n".join(
            [*said, f"next: `foretell show {line.run.label} --on {self.controller.target.name}`"]
        )

    def _tail(self, run: Run, attempt: int, lines: int) -> list[str]:
        try:
            return (
                history.tail(self.controller.store, run, attempt, lines).decode(errors="replace").splitlines()
            )
        except (StoreError, CorruptError) as error:
            return [f"(its log cannot be read: {error.what})"]

    def acknowledge(self) -> None:
        """Record that Airflow shows how the run ended, so that a `tick` of the same store does not tell it."""
        if self.state.phase.ended:
            survey.acknowledge(self.controller, self.story.line.run, "Airflow")

    # --- stop -------------------------------------------------------------------------------------------------

    def stop(self, cause: str, log: Logger) -> None:
        """Cancel every run of this graph's run that is not decided, and see the newest to its end."""
        self.newest()
        for run, request in self.runs():
            outcome = self.controller.stop(run, cause)
            if outcome.kind == "cancelled" and outcome.cause == cause:
                log.info("%s was still open: cancelled", run.label)
            self.controller.wait(run, patience=request.target.times.deliver + 60)
        self._story = None


def _step(event: Mapping[str, object]) -> Step:
    """Read the step that a trigger came to; one that another version of Foretell wrote may say nothing to this one."""
    try:
        step: Step = msgspec.convert(event.get("step"), Step)
    except msgspec.ValidationError:
        return Wait()
    return step
