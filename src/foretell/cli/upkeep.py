"""tick, tidy, doctor."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from datetime import UTC, datetime

from foretell import doctor as examination
from foretell import janitor, timetable
from foretell.cli import opening, parsing
from foretell.cli.output import Output
from foretell.cli.parsing import Verb
from foretell.errors import InfrastructureError, ServiceFileError
from foretell.janitor import Tidied
from foretell.names import rfc3339
from foretell.service import Service, Target
from foretell.timetable import Ticked

# --- tick -------------------------------------------------------------------------------------------------------------


def _add_tick(made: ArgumentParser) -> None:
    made.add_argument("--print", choices=["crontab"], help="print the line for cron, and start nothing")
    made.add_argument(
        "--date", type=parsing.date, metavar="D", help="what is due at this time (default: now)"
    )


def tick(args: Namespace, out: Output) -> int:
    """Start what is due, then tidy."""
    controller = opening.controller(args, scheduled=True)
    if args.print:
        line = timetable.crontab(opening.service_file(args).absolute(), controller.target.name)
        out.result(line)
        out.document({"crontab": line})
        return 0
    at = opening.aware(args.date, controller.service) if args.date else datetime.now(UTC)
    found = timetable.tick(controller, at, lambda ticked: _tell_ticked(ticked, out))
    done = janitor.tidy(controller, every=False, say=lambda _: None)
    _tell_tidied(done, out)
    out.document(
        {"at": rfc3339(at), "due": [_ticked_document(one) for one in found], "tidied": _tidied_document(done)}
    )
    failed = done.failed or any(one.problem and not one.waiting for one in found)
    return InfrastructureError.exit_code if failed else 0


def _tell_ticked(ticked: Ticked, out: Output) -> None:
    due = ticked.due
    if ticked.run is None:
        how, style = ("waits", "faint") if ticked.waiting else ("cannot be started", "bad")
        out.tell((f"{due.action} of {rfc3339(due.date)} {how}: {ticked.problem}", style))
    elif ticked.new:
        out.result(ticked.run.label)
        out.tell((f"  started for {rfc3339(due.date)}: {due.why}", "faint"))
    elif out.live:  # a scheduler hears it every minute, and need not
        out.tell((f"{ticked.run.label} was started before: {due.why}", "faint"))


def _ticked_document(ticked: Ticked) -> dict[str, object]:
    return {
        "action": ticked.due.action,
        "date": rfc3339(ticked.due.date),
        "why": ticked.due.why,
        "run": ticked.run.label if ticked.run else None,
        "new": ticked.new,
        "problem": ticked.problem,
        "waiting": ticked.waiting,
    }


# --- tidy -------------------------------------------------------------------------------------------------------------


def _add_tidy(made: ArgumentParser) -> None:
    made.add_argument(
        "--all", action="store_true", help="look at runs of all times (default: the newest three months)"
    )


def tidy(args: Namespace, out: Output) -> int:
    """Finish what can be finished, stop what should not be alive, clean up."""
    controller = opening.controller(args)
    done = janitor.tidy(controller, every=args.all, say=out.status)
    _tell_tidied(done, out)
    if not any(_tidied_document(done).values()):
        out.tell("everything is tidy")
    out.document(_tidied_document(done))
    return InfrastructureError.exit_code if done.failed else 0


def _tell_tidied(done: Tidied, out: Output) -> None:
    out.clear()
    for what, found in (("ended", done.ended), ("stopped", done.stopped), ("removed", done.removed)):
        for name in found:
            out.result(f"{what:9} {name}")
    for name in done.open:
        out.tell((f"open      {name}", "busy"))
    for message in done.failed:
        out.tell((f"failed    {message}", "bad"))


def _tidied_document(done: Tidied) -> dict[str, Sequence[str]]:
    return {name: getattr(done, name) for name in ("ended", "open", "stopped", "removed", "failed")}


# --- doctor -----------------------------------------------------------------------------------------------------------

SIGNS = {"ok": ("✓", "good"), "warning": ("!", "warn"), "missing": ("✗", "bad")}


def doctor(args: Namespace, out: Output) -> int:
    """Say what is missing, and how to mend it."""
    service, target, fault = _at_hand(args)
    found = []
    for check in examination.checks(service, target, os.environ):
        found.append(check)
        sign, style = SIGNS[check.state]
        out.result((f"{sign} ", style), f"{check.name:14} {check.detail}")
        if check.fix:
            out.result(f"{'':17}", ("next: ", "faint"), check.fix)
    if fault:
        out.error(fault)
    else:
        out.document({"checks": found, "ok": all(check.state != "missing" for check in found)})
    missing = any(check.state == "missing" for check in found)
    return fault.exit_code if fault else InfrastructureError.exit_code if missing else 0


def _at_hand(args: Namespace) -> tuple[Service | None, Target | None, ServiceFileError | None]:
    """Give the service and target, as far as there are any: a machine can be looked at without."""
    try:
        service = opening.service(args)
    except ServiceFileError as error:
        return None, None, error
    return service, opening.target(service, opening.target_name(args)), None


VERBS = {
    "tick": Verb(
        _add_tick,
        tick,
        (
            "foretell tick",
            "(crontab -l; foretell tick --print crontab) | crontab -",
            "foretell tick --on production",
        ),
    ),
    "tidy": Verb(_add_tidy, tidy, ("foretell tidy", "foretell tidy --all --on production")),
    "doctor": Verb(parsing.nothing, doctor, ("foretell doctor", "foretell doctor --on production --json")),
}
