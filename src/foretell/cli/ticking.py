"""tick."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from foretell.cli import opening, parsing
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb
from foretell.cli.wording import counted, first_line, moment
from foretell.controller import survey, tidy
from foretell.controller.controller import Controller
from foretell.controller.resolve import StartOptions, must_not_lie_ahead, now
from foretell.controller.survey import Memory, Standing
from foretell.controller.tick import Tick, Ticked, crontab
from foretell.controller.tick import tick as tick_now
from foretell.controller.tidy import Tidied
from foretell.errors import InfrastructureError, UsageError
from foretell.protocol import models
from foretell.protocol.keys import Run
from foretell.protocol.rules import Phase
from foretell.system import paths
from foretell.system.times import rfc3339

BAD = (Phase.FAILED, Phase.TIMEOUT, Phase.REJECTED, Phase.LOST)
"""Ends that somebody must hear of, and that make the exit code 1."""
MOST_OLD = 100
FEW = 20
"""Successes that are told one by one; of more, their number is enough."""


def _add_tick(made: ArgumentParser) -> None:
    made.add_argument(
        "--print", choices=["crontab"], help="print the crontab line that calls tick, and start nothing"
    )
    made.add_argument(
        "--date",
        type=parsing.date,
        metavar="D",
        help="start what was due at this time, even before tick first saw the action (default: now)",
    )
    made.add_argument("--future", action="store_true", help="allow a date in the future")
    made.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="append all messages to this file, each with the time; print only what needs attention",
    )


def tick(args: Namespace, out: Terminal) -> int:
    """Start what is due, tidy, and tell how runs have ended that nobody was told of."""
    controller = opening.controller(args, scheduled=True)
    controller.waits = out.warn
    if args.print:
        line = crontab(opening.service_file(args).absolute(), controller.target.name)
        out.result(line)
        out.document({"crontab": line})
        return 0
    at = opening.aware(args.date, controller.service) if args.date else datetime.now(UTC)
    must_not_lie_ahead(StartOptions(date=at, future=args.future))
    place = _memory_of(controller)
    memory = survey.recall(place) if place else Memory()
    voice = _Voice(args, out, memory)
    found = tick_now(controller, at, voice.ticked, dated=bool(args.date), memory=memory)
    voice.began(found, controller)
    done = tidy.tidy(controller, runs=[*(one.run for one in found.found.open), *found.started])
    voice.tidied(done)
    ended = [*found.found.ended, *survey.ended_since(controller, found.found)]
    voice.ended(ended, controller)
    problems = [str(one) for one in found.done if one.problem] + found.found.problems + done.failed
    for problem in problems:
        voice.lasting(problem, "bad")
    out.document(_document(controller, at, found, ended, problems))
    # After they were told: who is killed in between tells them once more, and keeps nothing back.
    for end in ended if not out.lost else []:
        survey.acknowledge(controller, end.run, "tick")
    if not out.lost and (place := place or _memory_of(controller)):
        memory.said, memory.old = voice.lasts, sorted(set(voice.old))[-MOST_OLD:]
        survey.remember(memory, place)
    if any(one.state.phase in BAD for one in ended):
        return 1
    return InfrastructureError.exit_code if problems else 0


def _memory_of(controller: Controller) -> Path | None:
    """Return where is kept what needs no second look; None while there is no store that anything could be known of."""
    if not controller.exists():
        return None
    name = f"{controller.identify()}-{controller.service.name}.json"
    return paths.cache(os.environ) / "ticks" / name


def _document(
    controller: Controller,
    at: datetime,
    found: Tick,
    ended: Sequence[Standing],
    problems: Sequence[str],
) -> dict[str, object]:
    return {
        "target": controller.target.name,
        "at": rfc3339(at),
        "started": [run.label for run in found.started],
        "waiting": [str(one) for one in found.done if one.waits_for],
        "ended": [
            {"run": one.run.label, "state": one.state.phase, "cause": one.state.cause} for one in ended
        ],
        "problems": problems,
    }


class _Voice:
    """
    Where a tick speaks: to whoever called it.

    With --log into a file, where what lasts is not repeated every minute, and to standard output, which cron sends by
    mail, only what needs a person and is new.
    """

    def __init__(self, args: Namespace, out: Terminal, memory: Memory) -> None:
        self._args = args
        self._out = out
        self._before = memory.said
        self.old = list(memory.old)
        """Models, by their runs' folders, whose age was said."""
        self.lasts: list[str] = []
        """What was said of things that last."""

    def say(self, text: str, style: str = "", *, urgent: bool = False) -> None:
        """Say a line of what happened."""
        if urgent and (self._args.log or self._out.quiet):
            self._out.result(text)
        if not self._args.log:
            self._out.tell((text, style))
            return
        try:
            with self._args.log.open("a", encoding="utf-8") as file:
                file.write(f"{moment(now())} {text}\n")
        except OSError as error:
            raise UsageError(
                f'cannot write to the log "{self._args.log}"', why=error.strerror or str(error)
            ) from error

    def lasting(self, text: str, style: str) -> None:
        """Say a line of what may be so for long."""
        self.lasts.append(text)
        if not self._args.log or text not in self._before:
            self.say(text, style, urgent=style == "bad")

    def ticked(self, ticked: Ticked) -> None:
        """Say what became of a due run."""
        due = ticked.due
        if ticked.waits_for:
            self.lasting(str(ticked), "faint")
        elif ticked.new and ticked.run:
            if not self._args.log:
                self._out.result(ticked.run.label)
            what = "" if not self._args.log else f"{ticked.run.label} "
            self.say(f"{what or '  '}started for {rfc3339(due.date)}: {due.why}", "faint")
        elif ticked.run and self._out.live:  # a scheduler hears it every minute, and need not
            self.say(f"{ticked.run.label} was already started: {due.why}", "faint")

    def began(self, found: Tick, controller: Controller) -> None:
        """Say which schedules begin, and which runs were started with a model that is old."""
        for action, begins in found.begins.items():
            self.say(f"the schedule of {action} begins at {rfc3339(begins)}", "faint")
        for run in found.started:
            for pin in controller.request(run).inputs:
                answer = controller.execute(models.current(run.service, run.version, pin.action, run.date))
                if answer.model and answer.model.run.folder == pin.run:
                    self._aging(run, pin.run, models.aging(controller.service, answer, run.date))

    def _aging(self, run: Run, model: str, old: str) -> None:
        """Say what is wrong with the age of a model; urgently once a model."""
        if old:
            self.say(f"{run.label} uses an old model: {old}", "warn", urgent=model not in self.old)
            self.old.append(model)

    def tidied(self, done: Tidied) -> None:
        """Say what was cleaned up."""
        for what, found in (("stopped", done.stopped), ("removed", done.removed)):
            for name in found:
                self.say(f"{what:9} {name}")

    def ended(self, ended: Sequence[Standing], controller: Controller) -> None:
        """Say how runs have ended: the bad ends in full, with the next step."""
        good = [one for one in ended if one.state.phase not in BAD]
        for one in good[:FEW]:
            self._end(one, controller)
        if len(good) > FEW:
            self.say(f"{counted(len(good) - FEW, 'more run')} ended well", "faint")
        for one in ended:
            if one.state.phase in BAD:
                self._end(one, controller)

    def _end(self, one: Standing, controller: Controller) -> None:
        bad = one.state.phase in BAD
        version = "" if one.run.version == controller.service.version else f" of version {one.run.version}"
        cause = f": {first_line(one.state.cause)}" if one.state.cause else ""
        text = f"{one.state.phase:9} {one.run.label}{version}{cause}"
        self.say(text, "bad" if bad else "faint", urgent=bad)
        if bad and not version:
            named = controller.target.name
            on = f" --on {named}" if not self._args.on else ""
            command = opening.again(self._args, f"show {one.run.label}{on}")
            self.say(f"  next: `{command}`", urgent=True)


VERBS = {
    "tick": Verb(
        _add_tick,
        tick,
        (
            "foretell tick",
            "(crontab -l; foretell tick --print crontab) | crontab -",
            "foretell tick --on production --json",
        ),
    ),
}
