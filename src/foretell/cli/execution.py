"""run, start, wait, check, stop."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from foretell.cli import opening, parsing
from foretell.cli.follow import Follower
from foretell.cli.interruption import Held
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb, add_run
from foretell.cli.wording import counted, duration, metrics, moment, phase
from foretell.controller.controller import Controller
from foretell.controller.freeze import fingerprint
from foretell.controller.history import tail
from foretell.controller.resolve import AHEAD, StartOptions
from foretell.controller.survey import acknowledge
from foretell.delivery.declaration import DeclaredTable, is_table
from foretell.errors import UsageError
from foretell.protocol.effects import get
from foretell.protocol.keys import Run, run_named
from foretell.protocol.records import Exit, Outcome, Receipt, Request
from foretell.protocol.rules import Phase, State
from foretell.protocol.steps import StartResult as Found
from foretell.service.model import Service
from foretell.store import artifacts

# --- run and start ----------------------------------------------------------------------------------------------------


def add_order(made: ArgumentParser) -> None:
    """Take what a start asks for."""
    made.add_argument("action", metavar="ACTION", help="the action to run, for example training")
    made.add_argument(
        "--date",
        type=parsing.date,
        metavar="D",
        help="the run's date: the end of the data that it may see, in the service's time zone (default: now)",
    )
    made.add_argument(
        "--key",
        metavar="KEY",
        help="idempotency key; the same key returns the same run instead of starting another "
        "(default: a new one; with --date it is ACTION@DATE)",
    )
    made.add_argument(
        "--input",
        type=parsing.chosen_input,
        action="append",
        default=[],
        metavar="ACTION=RUN",
        help="use the output of this run as input instead of the current model; may be repeated",
    )
    made.add_argument(
        "--trial",
        action="store_true",
        help="validate the delivery without delivering; the run never becomes a model",
    )
    made.add_argument("--future", action="store_true", help="allow a date in the future")
    made.add_argument(
        "--image", metavar="REF@sha256:…", help="run this image instead of the one in foretell.lock"
    )


def order(args: Namespace, service: Service) -> StartOptions:
    """Return what the arguments ask for."""
    inputs = dict(args.input)
    taken = (
        {item.action for item in service.actions[args.action].inputs}
        if args.action in service.actions
        else set(inputs)
    )
    for action in inputs:
        if action not in taken:
            raise UsageError(
                f'"{args.action}" has no input "{action}"',
                why=f"its inputs are {', '.join(sorted(taken))}" if taken else "it has no inputs",
                hint=f'leave out --input {action}=…, or add "{action}" to inputs of [actions.{args.action}]',
            )
    date = opening.aware(args.date, service) if args.date else None
    return StartOptions(
        date=date, key=args.key, inputs=inputs, trial=args.trial, image=args.image, future=args.future
    )


def run(args: Namespace, out: Terminal) -> int:
    """Start a run, follow it, and give its verdict."""
    controller = opening.controller(args)
    asked = controller.prepare(args.action, _asked(args, controller, out), say=_progress(out))
    with Held() as held:
        found = controller.ask(args.action, asked)
    if found.new:
        out.tell((f'started {found.run.label} on "{controller.target.name}"', "faint"))
    else:
        out.tell((_known(controller, found, asked, args, "run"), "warn"))
    follower = Follower(controller, found.run, out)
    try:
        held.let_go()
        state = controller.wait(found.run, on_look=follower.look, on_rest=follower.rest)
    except KeyboardInterrupt:
        state = _stop_and_wait(controller, found.run, follower, args, out)
    took = follower.finish()
    _sum_up(controller, found.run, state, args, out, took=took)
    if not out.lost:
        acknowledge(controller, found.run, "run")
    return state.exit_code


def _known(controller: Controller, found: Found, asked: StartOptions, args: Namespace, verb: str) -> str:
    """Say of a run that a start came to what it is, and how to have another one."""
    state, outcome = controller.check(found.run), controller.execute(get(found.run.outcome, Outcome))
    label, key = found.run.label, f'found by its key "{found.request.key}"'
    if outcome is None or not state.phase.ended:
        return f"{label} is already {state.phase}, {key}"
    snapshots = Path(found.request.snapshot or "").parent
    now = asked.code.fingerprint if asked.code else fingerprint(controller.service, snapshots)
    changed = " (the code has changed since)" if now != found.request.fingerprint else ""
    trial = " --trial" if found.request.trial else ""
    again = opening.again(args, f"{verb} {found.run.action} --date {found.request.date}{trial} --key NAME")
    how = "succeeded" if state.phase is Phase.SUCCEEDED else f"ended as {state.phase}"
    ended = f"{label} {how} at {moment(outcome.at)} UTC, {key}"
    return f"{ended}, so no new run was started{changed}; to start one: `{again}`"


def _stop_and_wait(
    controller: Controller, run: Run, follower: Follower, args: Namespace, out: Terminal
) -> State:
    """Stop a run for who pressed ^C; at the second one, leave it to its end."""
    out.tell((f"stopping {run.label}; press ^C again to exit without waiting", "warn"))
    try:
        controller.stop(run)
        return controller.wait(run, on_look=follower.look, on_rest=follower.rest)
    except KeyboardInterrupt:
        out.tell((f"not waiting: see `{opening.again(args, f'show {run.label}')}`", "warn"))
        raise


def _progress(out: Terminal) -> Callable[[str], None]:
    """Say once that an image is built, and show what the builder does in the line of progress."""
    told: list[str] = []

    def say(line: str) -> None:
        if not told:
            out.tell(("building the image", "faint"))
        told.append(line)
        out.status(line)

    return say


def _asked(args: Namespace, controller: Controller, out: Terminal) -> StartOptions:
    """Return what the arguments ask for, and tell people in passing what is done for it before it starts."""
    return replace(order(args, controller.service), tell=lambda sentence: out.tell((sentence, "faint")))


def start(args: Namespace, out: Terminal) -> int:
    """Start a run and print its name."""
    controller = opening.controller(args)
    asked = controller.prepare(args.action, _asked(args, controller, out), say=_progress(out))
    found = controller.ask(args.action, asked)
    if not found.new:
        out.tell((_known(controller, found, asked, args, "start"), "warn"))
    out.result(found.run.label)
    out.document({"run": found.run.label, "target": controller.target.name, "new": found.new})
    return 0


# --- wait, check, stop ------------------------------------------------------------------------------------------------


def _add_wait(made: ArgumentParser) -> None:
    add_run(made)
    made.add_argument(
        "--patience", type=parsing.duration, metavar="30m", help="how long to wait (default: forever)"
    )


def wait(args: Namespace, out: Terminal) -> int:
    """Wait until a run has ended."""
    controller = opening.controller(args)
    found = controller.find(args.run)
    follower = Follower(controller, found, out, log=False)
    try:
        state = controller.wait(found, patience=args.patience, on_look=follower.look)
    except KeyboardInterrupt:
        out.tell((f"stopped waiting; {found.label} continues", "warn"))
        raise
    follower.finish()
    _give(found, state, out)
    if not out.lost:
        acknowledge(controller, found, "wait")
    return 0


def check(args: Namespace, out: Terminal) -> int:
    """Return the verdict on a run."""
    controller = opening.controller(args)
    found = controller.find(args.run)
    state = controller.check(found)
    _give(found, state, out)
    if state.cause:
        out.tell(f"  cause     {state.cause}")
    if state.phase.ended and not state.phase.success and state.attempt:
        out.log(tail(controller.store, found, state.attempt))
        out.clear()
    return state.exit_code


def stop(args: Namespace, out: Terminal) -> int:
    """Cancel a run."""
    controller = opening.controller(args)
    found = controller.find(args.run)
    before = controller.check(found)
    if before.phase.ended:
        out.tell(f"{found.label} had already ended")
        state = before
    else:
        controller.stop(found, args.cause)
        state = controller.check(found)
    _give(found, state, out)
    return 0


def _add_stop(made: ArgumentParser) -> None:
    add_run(made)
    made.add_argument("--cause", default="", metavar="TEXT", help="the reason, for the record")


# --- what came of it --------------------------------------------------------------------------------------------------


def _give(run: Run, state: State, out: Terminal) -> None:
    out.result(run.label, " ", phase(state.phase))
    out.document(_verdict(run, state))


def _verdict(run: Run, state: State) -> dict[str, object]:
    return {
        "run": run.label,
        "state": state.phase,
        "ended": state.phase.ended,
        "attempt": state.attempt,
        "cause": state.cause,
        "exit_code": state.exit_code,
    }


def _sum_up(
    controller: Controller, run: Run, state: State, args: Namespace, out: Terminal, *, took: float
) -> None:
    """Say how a run ended, and what to do next."""
    request = controller.request(run)
    outcome = controller.execute(get(run.outcome, Outcome))
    receipt = controller.execute(get(run.delivery, Receipt)) if request.delivers else None
    end = controller.execute(get(run.attempt(state.attempt).exit, Exit)) if state.attempt else None
    notes = end.notes if end else ()
    found = (outcome.metrics if outcome else None) or {}
    out.result(run.label, " ", phase(state.phase))
    for name, text in (
        ("cause", state.cause),
        ("metrics", metrics(found)),
        ("rows", _rows(request, outcome, receipt)),
        ("took", duration(took)),
        *(("note", note) for note in notes),
        ("next", f"`{opening.again(args, _next(controller.service, state, request, outcome))}`"),
    ):
        if text:
            out.tell((f"  {name:10}", "faint"), text)
    tables = _undelivered(controller, request, outcome)
    for table in tables:
        out.tell((f'  to deliver "{table.file}" to a table, add these lines to foretell.toml:', "faint"))
        for text in (f"[actions.{run.action}.delivery]", f'file = "{table.file}"', table.line):
            out.tell(f"    {text}")
    delivery = {"table": receipt.table, "state": receipt.state, "rows": receipt.rows} if receipt else None
    rows = outcome.rows if outcome else None
    out.document(
        {
            **_verdict(run, state),
            "metrics": found,
            "rows": rows,
            "delivery": delivery,
            "notes": notes,
            "tables": [table.document() for table in tables],
        }
    )


def _undelivered(controller: Controller, request: Request, outcome: Outcome | None) -> list[DeclaredTable]:
    """Return the tables that a run wrote and that nobody asked it to deliver."""
    asked = request.spec.delivery or request.is_model
    if asked or outcome is None or outcome.attempt is None or outcome.manifest is None:
        return []
    run = request.run
    files = artifacts.manifest(controller.store, run.attempt(outcome.attempt), outcome.manifest).files
    if not any(is_table(file.path) for file in files):
        return []
    # loaded late: to look into a table takes DuckDB, which runs that wrote none do not wait for
    from foretell.cli import columns

    return columns.at_a_glance(controller, run, outcome)


def _rows(request: Request, outcome: Outcome | None, receipt: Receipt | None) -> str:
    if outcome is None or outcome.rows is None or request.spec.delivery is None:
        return ""
    rows = counted(outcome.rows, "row")
    if request.trial:
        return f"{rows} validated, none delivered (trial)"
    if receipt is None or receipt.state in ("rejected", "withdrawn"):
        return f"{rows}, not delivered"
    scope = f" ({request.partition})" if request.partition else ""
    return f'{rows} {"→" if receipt.state == "delivered" else "not delivered to"} "{receipt.table}"{scope}'


def _next(service: Service, state: State, request: Request, outcome: Outcome | None) -> str:
    """Return the command that most likely comes next."""
    run = request.run
    if slip := _slip(state):
        return f"withdraw {slip}"
    if not state.phase.success or outcome is None or not outcome.files:
        return f"show {run.label}"
    if request.trial:
        return f"run {run.action}"
    if request.delivers:
        several = sum(action.delivery is not None for action in service.actions.values()) > 1
        return f"predictions {run.action}" if several else "predictions"
    takers: Mapping[str, str] = {
        item.action: name for name, action in service.actions.items() for item in action.inputs
    }
    return f"run {takers[run.action]}" if run.action in takers else f"get {run.label}"


def _slip(state: State) -> str:
    """Return the run that superseded one of today and lies ahead of it; "" where that is not so."""
    found = re.search(r'"(\S+)/(\d\S+)"', state.cause) if state.phase is Phase.SUPERSEDED else None
    if found is None or run_named("", "", found[1], found[2]).date - datetime.now(UTC) < AHEAD:
        return ""
    return f"{found[1]}/{found[2]}"


VERBS = {
    "run": Verb(
        add_order,
        run,
        (
            "foretell run training",
            "foretell run application --date 2026-11-21",
            "foretell run application --input training=20261101T000000Z-1 --trial",
        ),
    ),
    "start": Verb(
        add_order,
        start,
        ("run=$(foretell start training)", "foretell start application --on production --key nightly"),
    ),
    "wait": Verb(_add_wait, wait, ('foretell wait "$run"', 'foretell wait "$run" --patience 30m')),
    "check": Verb(add_run, check, ('foretell check "$run" && echo succeeded',)),
    "stop": Verb(_add_stop, stop, ('foretell stop "$run"', 'foretell stop "$run" --cause "wrong month"')),
}
