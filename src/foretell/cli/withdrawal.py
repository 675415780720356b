"""withdraw."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime

from foretell.cli import opening
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb, add_run
from foretell.cli.wording import counted
from foretell.controller import history
from foretell.controller.controller import Controller
from foretell.controller.resolve import AHEAD
from foretell.protocol import keys, models
from foretell.protocol.keys import Run
from foretell.protocol.records import Receipt, Request
from foretell.system import times
from foretell.warehouses import base


def _add_withdraw(made: ArgumentParser) -> None:
    add_run(made)
    made.add_argument("--reason", default="", metavar="TEXT", help="the reason, for the record")


def withdraw(args: Namespace, out: Terminal) -> int:
    """Take a run back, and tell who used it, what became of its rows, and how to have others in their place."""
    controller = opening.controller(args)
    run = controller.find(args.run)
    word, receipt = controller.withdraw(run, args.reason)
    users = [line.run.label for line in history.users(controller, run)]
    repeat, command = _repeated(controller, run, receipt, args) if receipt else (None, None)
    delivery = {"table": receipt.table, "state": receipt.state, "rows": receipt.rows} if receipt else None
    out.result(run.label, " withdrawn")
    out.document(
        {
            "run": run.label,
            "by": word.by,
            "reason": word.reason,
            "at": word.at,
            "used_by": users,
            "delivery": delivery,
            "repeat": repeat.label if repeat else None,
            "next": command,
        }
    )
    if word.reason != args.reason:
        out.tell(f"it had already been withdrawn by {word.by}{f': {word.reason}' if word.reason else ''}")
    if receipt:
        out.tell(("  rows      ", "faint"), _rows(receipt))
    for label in users:
        out.tell(f"  used by   {label}")
    if users:
        out.tell("the rows that these runs delivered are still there; run them again to replace them")
    if command:
        what = f"repeats {repeat.label}" if repeat else "replaces the rows"
        out.tell(("  next      ", "faint"), f"`{command}` {what}")
    return 0


def _rows(receipt: Receipt) -> str:
    """Say what became of a withdrawn run's rows, and what the table takes from now on."""
    scope = receipt.scope.partition("$")[2]
    place = f'"{receipt.table}" ({scope})' if scope else f'"{receipt.table}"'
    match receipt.cause if receipt.state == "withdrawn" else "":
        case base.STANDS:
            rows = f"{counted(receipt.rows, 'row')} {'stays' if receipt.rows == 1 else 'stay'}"
            if scope:
                latest = f"{receipt.table}_latest skips it"
                return f"{rows} in {place} until that partition is delivered again; {latest}"
            return f"{rows} in {place} until the next delivery, which may now be of an older date"
        case base.REMOVED:
            return f"removed from {place}"
        case base.NEVER:
            return f"not in {place}, and never delivered to it from now on"
        case base.NOTHING:
            return f"not in {place}, which has rows of a newer run"
        case _:
            return f"not in {place}: it was {receipt.state}"


def _repeated(
    controller: Controller, run: Run, receipt: Receipt, args: Namespace
) -> tuple[Run | None, str | None]:
    """Return the run that should be repeated, if there is one, and the command that has the table right again."""
    if receipt.cause not in (base.STANDS, base.REMOVED):
        return None, None  # nothing of it was there
    request = controller.request(run)
    model = controller.execute(models.substitute(request))
    if model:
        order = _order(model.run, key=_free_key(model.request, run))
        return model.run, opening.again(args, order)
    if request.spec.delivery and request.spec.delivery.mode == "replace":
        return None, opening.again(args, f"run {run.action}")
    if run.date - datetime.now(UTC) > AHEAD:
        return None, None  # nobody wants the rows of a day that was a slip
    return None, opening.again(args, _order(run))


def _order(run: Run, key: str = "") -> str:
    future = " --future" if run.date - datetime.now(UTC) > AHEAD else ""
    named = f" --key {shlex.quote(key)}" if key else ""
    return f"run {run.action} --date {times.rfc3339(run.date)}{named}{future}"


def _free_key(request: Request, withdrawn: Run) -> str:
    """Return a key for the repeat of a success, whose own key gives that run itself."""
    taken = keys.original(request.key) == keys.key(request.action, request.run.date)
    return f"instead-of-{withdrawn.id}" if taken else ""


VERBS = {
    "withdraw": Verb(
        _add_withdraw,
        withdraw,
        (
            'foretell withdraw training/20261121T060000Z-1 --reason "trained on test data"',
            'foretell withdraw application/20270601T000000Z-1 --reason "a slip of the date"',
        ),
    ),
}
