"""One image for every part that a command can play, on machines that boot; and what must be true of a run in the end."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from foretell import warehouses
from foretell.controller.resolve import StartOptions
from foretell.errors import UsageError
from foretell.protocol.keys import Run
from foretell.protocol.records import Receipt
from foretell.protocol.rules import State
from tests.standins.google.compute import Machine
from tests.support.conductor import Conductor
from tests.support.production import Production, eventually

ROWS = [("x", 1), ("y", 2)]
DELIVERY = """\
inputs = ["training"]
[actions.application.delivery]
file = "predictions.csv"
columns = "a:STRING,b:INT64"
"""


class Theatre:
    """A service whose two actions do what the conductor says, by an image that is built once a session."""

    def __init__(self, production: Production, conductor: Conductor) -> None:
        self.production = production
        self.conductor = conductor
        self.compute = production.cloud.compute
        self.hypervisor = production.hypervisor
        self.stand_in = production.cloud.stand_in
        self.keys: dict[str, str] = {"training": "", "application": ""}
        self.delivery = ""
        self.write()

    def write(self) -> None:
        """Write the service file as it stands."""
        production = self.production
        for action, more in self.keys.items():
            head = f'command = "python3 play.py {action}"\n{more}\n'
            production.actions[action] = head + (DELIVERY + self.delivery if action == "application" else "")
        (production.root / "play.py").write_text(self.conductor.script)
        production.write()

    def set(self, *, times: dict[str, str] | None = None, more: str = "", **platform: object) -> None:
        """Change durations, keys of both actions (`more`), and keys of the platform."""
        self.production.times |= times or {}
        self.production.platform |= platform
        self.keys = dict.fromkeys(self.keys, more) if more else self.keys
        self.write()

    def set_delivery(self, more: str) -> None:
        """Add keys to the delivery."""
        self.delivery = more
        self.write()

    # --- runs -----------------------------------------------------------------------------------------------------

    def start(self, action: str, *, image: str | None = None, date: datetime | None = None) -> Run:
        controller = self.production.controller
        return controller.start(action, controller.prepare(action, StartOptions(image=image, date=date)))

    def wait(self, run: Run, *, patience: float = 150) -> State:
        return self.production.controller.wait(run, patience=patience)

    def play(self, action: str, *, date: datetime | None = None) -> Run:
        """Run to the end."""
        run = self.start(action, date=date)
        self.wait(run)
        return run

    def begin(self, action: str) -> tuple[Run, Machine]:
        """Start, and wait until the command has begun; it waits for a word."""
        self.conductor.tell(action, "wait", "succeed")
        run = self.start(action)
        self.conductor.await_attempt(action, 1)
        return run, self.production.machine(run)

    # --- what must be true ----------------------------------------------------------------------------------------

    def must_have(self, run: Run, phase: str, cause: str = "", *, attempts: int | None = None) -> None:
        """One outcome, of this kind and cause; rows once; nothing left in Compute Engine; every command begun once."""
        production = self.production
        state = production.controller.check(run)
        assert (state.phase, cause in state.cause) == (phase, True), f"{state}\n{production.tell(run)}"
        launches = production.launches(run)
        assert attempts is None or len(launches) == attempts, production.tell(run)
        self.conductor.must_not_overlap()
        production.must_leave_nothing()
        self.must_have_rows_once(run)

    def must_have_rows_once(self, run: Run) -> None:
        request = self.production.request(run)
        if not request.delivers:
            return
        rows, receipts = self.table()
        mine = [receipt for receipt in receipts if receipt.uid == request.uid]
        if self.production.outcome(run).kind == "produced":
            assert [receipt.state for receipt in mine] == ["delivered"]
            assert rows == ROWS
            assert self.production.record(run.delivery, Receipt) == mine[0]
        else:
            assert not mine

    def rows(self) -> Sequence[tuple[object, ...]]:
        return self.table()[0]

    def table(self) -> tuple[Sequence[tuple[object, ...]], Sequence[Receipt]]:
        """The table's rows, and the ledger rows of the runs that stand in it."""
        settings = self.production.controller.target.warehouse
        try:
            found = warehouses.connect(settings).query("predictions", limit=None)
        except UsageError:
            return [], []
        return sorted(found.rows, key=str), found.receipts

    def until_gone(self, *, within: float = 60) -> None:
        """Wait until no machine is left, without doing anything about it."""
        eventually(
            lambda: not self.compute.machines and not self.compute.disks,
            lambda: f"left: {list(self.compute.machines)}\n{self.production.tell()}",
            within=within,
        )


class Prepared:
    """What is made once a session: the directory of a service whose image is pushed, and a bucket with a model."""

    def __init__(self) -> None:
        self.root: Path | None = None
        self.bucket = ""

    def copy_to(self, root: Path) -> None:
        assert self.root
        shutil.copytree(self.root, root, dirs_exist_ok=True)
