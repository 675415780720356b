"""
A Foretell process that is killed at a named moment: a verb of the library, or the guard and agent it starts.

`python -I killer.py VERB DIRECTORY ...` is a verb; `python -I killer.py -I -m foretell.agent.guard ...` is a guard, for
whoever starts a guard takes this program for its interpreter. KILLS is a JSON list of strikes, see `Strike`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

DATE = datetime(2026, 11, 21, 6, tzinfo=UTC)
"""What a start asks for: without a number of days to add, the key of all of one action is the same. It may lie ahead."""
HERE = Path(__file__).resolve()


class Strike(NamedTuple):
    """
    Kill `victim` ("self", "guard", "both") with SIGKILL in the process `who`, `when` ("before", "after") a moment.

    A moment is what is about to be done, as text: "create .../claim.json", "sql COMMIT", "launch", "command", and so on;
    `at` is searched in it. Each strike happens once, whatever processes carry it: `flag` is the file that says it did.
    """

    who: str
    when: str
    at: str
    victim: str
    flag: str


def strikes() -> list[Strike]:
    return [Strike(*fields) for fields in json.loads(os.environ.get("KILLS", "[]"))]


def strike(who: str, when: str, moment: str) -> None:
    for plan in strikes():
        if (plan.who, plan.when) == (who, when) and re.search(plan.at, moment) and _first(plan.flag):
            _kill(plan.victim)


def _first(flag: str) -> bool:
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def _kill(victim: str) -> None:
    if victim in ("guard", "both"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(os.getppid(), signal.SIGKILL)
    if victim in ("self", "both"):
        os.kill(os.getpid(), signal.SIGKILL)


# --- moments ------------------------------------------------------------------------------------------------------


def around(owner: Any, name: str, who: str, say: Callable[..., str]) -> None:
    """Have a function of `owner` be a moment: what it is about to do is told by `say`, of its arguments."""
    original = getattr(owner, name)

    def watched(*args: Any, **named: Any) -> Any:
        strike(who, "before", say(*args))
        result = original(*args, **named)
        strike(who, "after", say(*args))
        return result

    setattr(owner, name, watched)


class WatchedConnection:
    """A DuckDB connection whose statements are moments."""

    def __init__(self, connection: Any, who: str) -> None:
        self._connection = connection
        self._who = who

    def execute(self, sql: str, *values: Any) -> Any:
        moment = f"sql {' '.join(sql.split())}"
        strike(self._who, "before", moment)
        result = self._connection.execute(sql, *values)
        strike(self._who, "after", moment)
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def __enter__(self) -> WatchedConnection:
        self._connection.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.__exit__(*error)


def arm(who: str) -> None:
    """Make the moments of this process."""
    from foretell import warehouses
    from foretell.store import Store, artifacts

    around(Store, "create", who, lambda _, key, *rest: f"create {key}")
    around(Store, "create_file", who, lambda _, key, *rest: f"create {key}")
    around(Store, "put", who, lambda _, key, *rest: f"put {key}")
    artifacts.PART = 1024  # so that files take the way of large ones as well
    warehouses.connect = lambda settings, *_: _watched_warehouse(settings, who)


def _watched_warehouse(settings: Any, who: str) -> Any:
    import duckdb  # late, as the product does

    from foretell.warehouses.duckdb.warehouse import DuckDBWarehouse

    def connect(*args: Any, **named: Any) -> Any:
        return WatchedConnection(duckdb.connect(*args, **named), who)

    return DuckDBWarehouse(settings, connect=connect)


# --- roles --------------------------------------------------------------------------------------------------------


def guard(argv: list[str]) -> int:
    from foretell.agent import command
    from foretell.agent import guard as post

    become, testify = post._become_agent, post._testify

    def become_agent(*args: Any) -> None:
        arm("agent")
        around(command, "run", "agent", lambda *_: "command")
        strike("agent", "before", "life")
        become(*args)

    def say_so(*args: Any) -> None:
        arm("guard")
        testify(*args)

    post._become_agent, post._testify = become_agent, say_so
    around(post, "_wait", "guard", lambda *_: "wait for the agent")
    around(post, "_clear", "guard", lambda *_: "clear")
    strike("guard", "before", "life")
    return post.main(argv)


def verb(who: str, root: str, *args: str) -> object:
    from foretell import Controller, StartOptions, load
    from foretell.cli.main import main as main_of_cli
    from foretell.controller import tick, tidy

    arm(who)
    sys.executable = str(HERE.with_name("interpreter.sh"))
    service = load(root)
    controller = Controller(service, service.targets["local"])
    platform = type(controller.platform(controller.target.platform))
    around(platform, "launch", who, lambda *_: "launch")
    around(platform, "stop", who, lambda *_: "stop")
    match who:
        case "start":
            return controller.start(args[0], StartOptions(date=asked_date(*args[1:]), future=True)).label
        case "run":
            run = controller.start(args[0], StartOptions(date=asked_date(*args[1:]), future=True))
            print(run.label, flush=True)
            return controller.wait(run).phase
        case "tick":
            found = tick.tick(controller, DATE, dated=True)
            return [f"{one.due.key} {one.new} {one.problem}" for one in found.done]
        case "cli":
            os.chdir(root)
            return main_of_cli(list(args))
        case "wait":
            return controller.wait(controller.find(args[0])).phase
        case "stop":
            return controller.stop(controller.find(args[0])).kind
        case "withdraw":
            return controller.withdraw(controller.find(args[0]), "").receipt.state
        case "tidy":
            done = tidy.tidy(controller)
            return "; ".join(f"{name} {getattr(done, name)}" for name in done.__struct_fields__)
        case _:
            raise AssertionError(who)


def asked_date(day: str = "0") -> datetime:
    return DATE + timedelta(days=int(day))


def main() -> int:
    if sys.argv[1:4] == ["-I", "-m", "foretell.agent.guard"]:
        return guard(sys.argv[4:])
    print(verb(*sys.argv[1:]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
