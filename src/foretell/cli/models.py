"""models, predictions, claim."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime

from foretell import warehouses
from foretell.cli import opening, parsing
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb
from foretell.cli.wording import counted, first_line, metrics, moment, value
from foretell.controller.controller import Controller
from foretell.errors import UsageError
from foretell.protocol import keys, scope
from foretell.protocol.models import Answer, aging, current
from foretell.protocol.records import Receipt
from foretell.service.delivery import Delivery
from foretell.service.model import Action, Service
from foretell.system.times import rfc3339
from foretell.warehouses.base import Rows

# --- models -----------------------------------------------------------------------------------------------------------


def _add_models(made: ArgumentParser) -> None:
    made.add_argument("--date", type=parsing.date, metavar="D", help="as of this date (default: now)")


def models(args: Namespace, out: Terminal) -> int:
    """Tell which run is the current model of each action, and what was passed over for it."""
    controller = opening.controller(args)
    as_of = opening.aware(args.date, controller.service) if args.date else datetime.now(UTC)
    answers = {action: _answer(controller, action, as_of) for action in _makers(controller.service)}
    old = {action: aging(controller.service, answer, as_of) for action, answer in answers.items()}
    listed = [
        {**_answer_document(action, answer), "old": bool(old[action])} for action, answer in answers.items()
    ]
    out.document({"target": controller.target.name, "as_of": rfc3339(as_of), "models": listed})
    if not answers:
        first = next(iter(controller.service.actions))
        out.tell(
            "no action has `inputs`, so nothing is used as a model: "
            f'write inputs = ["{first}"] in the action that applies the model'
        )
        out.tell((f"the runs: `{opening.again(args, f'runs {first}')}`", "faint"))
    for action, answer in answers.items():
        _tell_answer(action, answer, args, out)
        if old[action]:
            out.tell((f"  {old[action]}", "warn"))
    return 0


def _makers(service: Service) -> list[str]:
    """List the actions whose outputs are models."""
    taken = {item.action for action in service.actions.values() for item in action.inputs}
    return [name for name in service.actions if name in taken]


def _answer(controller: Controller, action: str, as_of: datetime) -> Answer:
    service = controller.service
    if not controller.exists():
        return Answer(None, ())
    return controller.execute(current(service.name, service.version, action, as_of))


def _answer_document(action: str, answer: Answer) -> dict[str, object]:
    model = answer.model
    return {
        "action": action,
        "current": model.run.label if model else None,
        "date": model.request.date if model else None,
        "metrics": (model.outcome.metrics if model else None) or {},
        "passed_over": [{"run": passed.run.label, "reason": passed.reason} for passed in answer.passed],
    }


def _tell_answer(action: str, answer: Answer, args: Namespace, out: Terminal) -> None:
    model = answer.model
    if model:
        out.result((model.run.label, "good"), f"  the newest success, date {moment(model.request.date)} UTC")
        if found := metrics(model.outcome.metrics):
            out.result(("  metrics     ", "faint"), found)
    else:
        hint = f"start with `{opening.again(args, f'run {action}')}`"
        out.result((f"{action}: no model", "warn"), f"  {hint}")
    for passed in answer.passed:
        out.result(("  skipped     ", "faint"), f"{passed.run.label}: {first_line(passed.reason)}")


# --- predictions ------------------------------------------------------------------------------------------------------


def _add_predictions(made: ArgumentParser) -> None:
    made.add_argument(
        "action",
        metavar="ACTION",
        nargs="?",
        help="the action that delivers them (default: the only one that delivers)",
    )
    parsing.add_limit(made, 20, "how many rows")


def predictions(args: Namespace, out: Terminal) -> int:
    """Show the delivered rows, and the runs they come from."""
    controller = opening.controller(args)
    delivery = _delivery(controller.service, args.action)
    warehouse = warehouses.connect(controller.target.warehouse, out.warn)
    found = warehouse.query(delivery.table, limit=args.limit or None)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    out.document({"table": found.table, "rows": rows})
    numeric = [
        name for name, *cells in zip(found.columns, *found.rows, strict=True) if all(map(_is_number, cells))
    ]
    out.table(found.columns, [[value(cell) for cell in row] for row in found.rows], right=numeric)
    _tell_origin(controller, found, out)
    return 0


def _delivery(service: Service, action: str | None) -> Delivery:
    delivering = {name: found.delivery for name, found in service.actions.items() if found.delivery}
    if action is None and len(delivering) == 1:
        return next(iter(delivering.values()))
    if action in delivering:
        return delivering[action]
    if not delivering:
        likely = action if action in service.actions else _likely(service)
        raise UsageError(
            f'no action of "{service.name}" delivers to a table',
            why="without a delivery, the output of a run is only in its files",
            hint=f"add [actions.{likely}.delivery] to foretell.toml "
            "(`foretell columns RUN` prints its `columns`), or download the files with `foretell get RUN`",
        )
    names = ", ".join(delivering)
    if action is None:
        raise UsageError(
            "several actions deliver predictions",
            why=f"they are {names}",
            hint=f"name one: `foretell predictions {next(iter(delivering))}`",
        )
    if action in service.actions:
        raise UsageError(
            f'"{action}" has no delivery',
            why=f"actions that deliver: {names}",
            hint=f"add [actions.{action}.delivery] to foretell.toml",
        )
    raise UsageError(f'unknown action "{action}"', hint=f"actions that deliver: {names}")


def _likely(service: Service) -> str:
    """Return the action that a delivery most likely belongs to: one that applies a model, else the last."""
    return next(
        (name for name, action in service.actions.items() if action.inputs), list(service.actions)[-1]
    )


def _tell_origin(controller: Controller, found: Rows, out: Terminal) -> None:
    out.tell((f'{len(found.rows):,} of {counted(found.total, "row")} in "{found.table}"', "faint"))
    for receipt in found.receipts[:5]:
        model = _model_of(controller, receipt)
        out.tell(
            (
                f"  {counted(receipt.rows, 'row')} from {receipt.run}{model}, {moment(receipt.at)} UTC",
                "faint",
            ),
            *([(", withdrawn", "warn")] if receipt.state == "withdrawn" else []),
        )
    if len(found.receipts) > 5:
        out.tell((f"  and {len(found.receipts) - 5:,} more runs", "faint"))


def _model_of(controller: Controller, receipt: Receipt) -> str:
    """Say which model a delivered run used; nothing for a run of another store, which shares the table."""
    try:
        pins = controller.request(controller.find(receipt.run)).inputs
    except UsageError:
        return ""
    return "".join(f", with {keys.run_of(pin.run).label}" for pin in pins)


def _is_number(cell: object) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


# --- claim ------------------------------------------------------------------------------------------------------------


def _add_claim(made: ArgumentParser) -> None:
    made.add_argument("table", metavar="TABLE", help="a table that an action of this service delivers to")


def claim(args: Namespace, out: Terminal) -> int:
    """Make this service's action the owner of a table."""
    controller = opening.controller(args)
    action, delivery = _deliverer(controller.service, args.table)
    owner = scope.owner(controller.identify(), controller.service.name, action.name)
    before = warehouses.connect(controller.target.warehouse, out.warn).claim(delivery, owner)
    others = [name for name in before if name != owner]
    out.result(owner)
    out.document({"table": delivery.table, "owner": owner, "before": list(before)})
    was = f"before it was {', '.join(others)}" if others else "it had no other owner"
    out.tell(f'the owner of "{delivery.table}" is {owner}; {was}')
    return 0


def _deliverer(service: Service, table: str) -> tuple[Action, Delivery]:
    delivered = {action.delivery.table: action for action in service.actions.values() if action.delivery}
    for name, action in delivered.items():
        if action.delivery and table in (name, name.rpartition(".")[2]):
            return action, action.delivery
    raise UsageError(
        f'no action of "{service.name}" delivers to the table "{table}"',
        why=f"tables: {', '.join(delivered) or 'none'}",
        hint="run this in the directory of the service that is to own it",
    )


VERBS = {
    "models": Verb(_add_models, models, ("foretell models", "foretell models --date 2026-11-01")),
    "predictions": Verb(
        _add_predictions,
        predictions,
        ("foretell predictions", "foretell predictions application --limit 0 --json"),
    ),
    "claim": Verb(_add_claim, claim, ("foretell claim predictions",)),
}
