"""airflow: a local Airflow for the service at hand."""

from __future__ import annotations

import os
import signal
import time
from argparse import ArgumentParser, Namespace
from types import FrameType
from typing import NoReturn

from foretell.airflow import local
from foretell.airflow.local import LocalAirflow
from foretell.cli import opening
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb, number
from foretell.cli.wording import duration
from foretell.errors import UsageError
from foretell.scaffold import DAGS
from foretell.service.model import Service

HOME = ".foretell/airflow"
PAUSE = 0.5
"""Seconds between two looks whether every component is still up."""


def _add_airflow(made: ArgumentParser) -> None:
    made.add_argument("what", nargs="?", choices=["up"], metavar="up", help="start it; ^C ends it")
    made.add_argument(
        "--port", type=number, metavar="N", help="port of the web interface (default: 8080, or a free one)"
    )


def airflow(args: Namespace, out: Terminal) -> int:
    """Bring Airflow up, and keep it up until ^C."""
    if args.what is None:
        raise UsageError(
            '`foretell airflow` needs the argument "up"',
            hint="`foretell airflow up` starts a separate Airflow for this service; "
            f"an existing Airflow reads {DAGS}, which `foretell init` writes",
        )
    version = local.must_be_installed()
    controller = opening.controller(args)
    service, target = controller.service, controller.target.name
    port = local.free_port(args.port)
    up = LocalAirflow(service.root / HOME, service.root, target, port, os.environ)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupt)
    began = time.monotonic()
    try:
        up.start(out.status)
        graphs = up.wait_ready(_scheduled(service), out.status)
        out.clear()
        out.result(up.url)
        told = f'Airflow {version} runs "{service.name}" on "{target}" after {duration(time.monotonic() - began)}'
        out.tell((told, "good"))
        _tell_graphs(up, graphs, out)
        while True:
            up.tend(lambda text: out.tell((text, "warn")))
            time.sleep(PAUSE)
    except KeyboardInterrupt:
        return 0
    finally:
        _end(up, out)


def _scheduled(service: Service) -> int:
    return sum(bool(action.schedule or action.after) for action in service.actions.values())


def _tell_graphs(up: LocalAirflow, graphs: list[str], out: Terminal) -> None:
    for graph in graphs:
        out.tell(f"  {up.url}/dags/{graph}")
    for problem in up.problems():
        out.tell((problem.strip(), "bad"))
    if not graphs:
        out.tell(("  no action has a schedule or runs after another", "warn"))
    out.tell((f"^C ends it and the runs that it started; its database and logs stay in {HOME}", "faint"))


def _end(up: LocalAirflow, out: Terminal) -> None:
    """End it whole: another ^C does not leave half of it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    out.status("stopping Airflow")
    up.end()
    out.clear()
    signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Take a terminal that is closed, or a polite kill, for a ^C."""
    del number, frame
    raise KeyboardInterrupt


VERBS = {
    "airflow": Verb(
        _add_airflow, airflow, ("foretell airflow up", "foretell airflow up --port 8081 --on docker")
    )
}
