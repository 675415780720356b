"""tidy, doctor."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from foretell import doctor as examination
from foretell.cli import opening, parsing
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb
from foretell.controller.tidy import Tidied
from foretell.controller.tidy import tidy as tidy_up
from foretell.errors import InfrastructureError, ServiceFileError
from foretell.service.model import Service, Target

# --- tidy -------------------------------------------------------------------------------------------------------------


def _add_tidy(made: ArgumentParser) -> None:
    made.add_argument(
        "--all", action="store_true", help="check all runs (default: those of the newest three months)"
    )


def tidy(args: Namespace, out: Terminal) -> int:
    """Finish what can be finished, stop what should not be alive, clean up."""
    controller = opening.controller(args)
    controller.waits = out.warn
    done = tidy_up(controller, every=args.all, say=out.status)
    _tell_tidied(done, out)
    if not any(_tidied_document(done).values()):
        out.tell("nothing to do")
    out.document(_tidied_document(done))
    return InfrastructureError.exit_code if done.failed else 0


def _tell_tidied(done: Tidied, out: Terminal) -> None:
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


def doctor(args: Namespace, out: Terminal) -> int:
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
    """Return the service and target, as far as there are any: a machine can be looked at without."""
    try:
        service = opening.service(args)
    except ServiceFileError as error:
        return None, None, error
    return service, service.target_named(opening.target_name(args)), None


VERBS = {
    "tidy": Verb(_add_tidy, tidy, ("foretell tidy", "foretell tidy --all --on production")),
    "doctor": Verb(parsing.nothing, doctor, ("foretell doctor", "foretell doctor --on production --json")),
}
