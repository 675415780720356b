"""A service of quick commands, the processes that act on it, and what must be true of a run in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

import duckdb

from foretell import load
from foretell.controller import history, tidy
from foretell.controller.controller import Controller
from foretell.protocol import effects, models
from foretell.protocol.keys import Run
from foretell.protocol.records import Launch, Outcome, Receipt, Request, decode
from foretell.service.model import Service
from foretell.system.processes import marker, survivors

KILLER = Path(__file__).with_name("killer.py")
TIMES = {
    "beat": "0.2s",
    "fence": "6s",
    "kill": "1s",
    "lease": "9s",
    "stale": "2s",
    "boot": "20s",
    "poll": "0.1s",
    "deliver": "20s",
    "grace": "5s",
}
ROWS = [("x", 1), ("y", 2)]
PREDICTIONS = r'printf "a,b\nx,1\ny,2\n" > output/predictions.csv'
DELIVERY = 'file = "predictions.csv"\ncolumns = "a:STRING,b:INT64"'


class Stage:
    """A service directory, and verbs on it by processes of their own."""

    def __init__(self, root: Path, *, name: str = "toy", times: dict[str, str] | None = None) -> None:
        self.root = root
        self.name = name
        self.trace = root.with_name(f"{root.name}.trace")
        self.pids = root.with_name(f"{root.name}.pids")
        self._times = {**TIMES, **(times or {})}
        self._actions: dict[str, str] = {}
        self._target: list[str] = []
        self._warehouse: str = ""
        self._flags = root.with_name(f"{root.name}.flags")
        self._flags.mkdir(parents=True)
        self._planned = 0
        self.root.mkdir(parents=True)

    def action(self, name: str, script: str, *, more: str = "", delivery: str = "") -> None:
        """Add an action whose command is a shell script; every run of it leaves a line in the trace."""
        begun = f'echo "{name} $FORETELL_RUN $FORETELL_ATTEMPT" >> "{self.trace}"'
        (self.root / f"{name}.sh").write_text(f"{begun}\n{dedent(script)}\n")
        table = f"[actions.{name}]\ncommand = '/bin/sh {name}.sh'\n{more}\n"
        if delivery:
            table += f"[actions.{name}.delivery]\n{delivery}\n"
        self._actions[name] = table
        self.write()

    def target(self, text: str) -> None:
        """Add keys to [targets.local]."""
        self._target.append(text)
        self.write()

    def warehouse(self, path: Path) -> None:
        """Deliver to another file than the service's own."""
        self._warehouse = f'[targets.local.warehouse]\npath = "{path}"\n'
        self.write()

    def write(self) -> None:
        times = "\n".join(f'{key} = "{value}"' for key, value in self._times.items())
        target = "\n".join(
            ["[targets.local]", *self._target, self._warehouse, "[targets.local.times]", times]
        )
        text = "\n".join([f'name = "{self.name}"', *self._actions.values(), target])
        (self.root / "foretell.toml").write_text(text)

    @property
    def service(self) -> Service:
        return load(self.root)

    @property
    def controller(self) -> Controller:
        service = self.service
        return Controller(service, service.targets["local"])

    @property
    def store(self) -> Path:
        return self.root / ".foretell" / "store"

    # --- processes --------------------------------------------------------------------------------------------

    def spawn(self, verb: str, *args: str, kills: Sequence[Sequence[str]] = ()) -> subprocess.Popen[str]:
        """Have a process of its own do a verb; `kills` are (who, when, at, victim), see killer.Strike."""
        plans = [[*kill, str(self._flags / f"{self._planned + number}")] for number, kill in enumerate(kills)]
        self._planned += len(kills)
        environ = {**os.environ, "KILLS": json.dumps(plans), "KILLER_PYTHON": sys.executable}
        return subprocess.Popen(
            [sys.executable, "-I", str(KILLER), verb, str(self.root), *args],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def act(self, verb: str, *args: str, kills: Sequence[Sequence[str]] = (), within: float = 60) -> str:
        """Do a verb and give what it printed last; "killed" where it was."""
        with self.spawn(verb, *args, kills=kills) as process:
            try:
                out, errors = process.communicate(timeout=within)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"{verb} does not end\n{self.tell()}") from None
        if process.returncode == -9:
            return "killed"
        assert process.returncode == 0, f"{verb}: {errors}\n{self.tell()}"
        return out.strip().splitlines()[-1] if out.strip() else ""

    def must_be_struck(self) -> None:
        """Every planned kill happens."""
        eventually(lambda: len(list(self._flags.iterdir())) == self._planned, "a moment does not come")

    # --- what there is ----------------------------------------------------------------------------------------

    def runs(self, action: str) -> list[Run]:
        controller = self.controller
        return controller.execute(models.newest(self.name, "1", action, None)) if controller.exists() else []

    def read(self, key: str, kind: type) -> object:
        """Read a record, None where there is none."""
        path = self.store / key
        return decode(path.read_bytes(), kind, key) if path.exists() else None

    def machines(self, run: Run) -> list[str]:
        """The machine of every launch on record."""
        names = []
        while isinstance(slot := self.read(run.attempt(len(names) + 1).launch, effects.SLOT), Launch):
            names.append(slot.machine)
        return names

    def records(self, run: Run) -> dict[str, bytes]:
        """Every object of a run but its logs and beats."""
        folder = self.store / run.folder
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.parent.name != "log" and path.name != "beat.json"
        }

    def processes(self, run: Run) -> list[int]:
        """Every process of the run's machines."""
        return [pid for machine in self.machines(run) for pid in survivors(marker(machine))]

    def guard_and_agent(self, run: Run) -> tuple[int, int]:
        """The processes of the run's first machine."""
        guard = int((self.root / ".foretell" / "machines" / self.machines(run)[0] / "lock").read_text())
        return guard, int(Path(f"/proc/{guard}/task/{guard}/children").read_text())

    def begun(self) -> Counter[str]:
        """How often a command began, by "action run attempt"."""
        return Counter(self.trace.read_text().splitlines() if self.trace.exists() else [])

    def rows(self, table: str = "predictions") -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.root / ".foretell" / "warehouse.duckdb"), read_only=True) as connection:
            return connection.execute(f"SELECT a, b FROM {table} ORDER BY ALL").fetchall()

    def ledger(self, uid: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(self.root / ".foretell" / "warehouse.duckdb"), read_only=True) as connection:
            query = "SELECT state, run, attempt, rows FROM foretell.ledger WHERE uid = ?"
            return connection.execute(query, [uid]).fetchall()

    def tell(self) -> str:
        """What a failed test shows: every record, and the last words of every agent."""
        parts = []
        for path in sorted((self.root / ".foretell").rglob("*")):
            if path.suffix == ".json" or path.name == "agent.err":
                parts.append(f"--- {path.relative_to(self.root)}\n{path.read_text(errors='replace')[:1500]}")
        return "\n".join(parts)

    # --- what must be true ------------------------------------------------------------------------------------

    def finish(self, run: Run, verb: str) -> str:
        """Bring a run to its end, by `wait` or by as many calls of `tidy` as a cron job would make."""
        if verb == "wait":
            return self.act("wait", run.label)
        for _ in range(100):
            self.act("tidy")
            state = self.controller.check(run)
            if state.phase.ended:
                return str(state.phase)
            time.sleep(0.1)
        raise AssertionError(f"tidy does not end it\n{self.tell()}")

    def must_be_settled(self, run: Run, phase: str) -> None:
        """One outcome, rows once, whole files, nothing alive, nothing left to do."""
        assert self.controller.check(run).phase == phase, self.tell()
        decided = (self.store / run.outcome).read_bytes()
        self.must_be_dead(self.machines(run))
        told = tidy.tidy(self.controller)
        assert (told.ended, told.open, told.stopped, told.failed) == ([], [], [], [])
        assert (self.store / run.outcome).read_bytes() == decided
        assert self.left_behind() == [], self.left_behind_in_full()
        assert all(count == 1 for count in self.begun().values()), self.begun()
        self._must_have_whole_files(run)
        self._must_have_rows_once(run)

    def _must_have_whole_files(self, run: Run) -> None:
        outcome = self.read(run.outcome, Outcome)
        assert isinstance(outcome, Outcome)
        if outcome.kind == "produced":
            manifest = history.fetch(self.controller, run, self.root.with_name(f"{run.id}.fetched"))
            assert len(manifest.files) == outcome.files

    def _must_have_rows_once(self, run: Run) -> None:
        request, outcome = self.read(run.request, Request), self.read(run.outcome, Outcome)
        receipt = self.read(run.delivery, Receipt)
        assert isinstance(request, Request)
        assert isinstance(outcome, Outcome)
        if request.delivers and outcome.kind == "produced":
            assert isinstance(receipt, Receipt)
            assert self.ledger(request.uid) == [(receipt.state, run.label, outcome.attempt, receipt.rows)]
            assert self.rows() == ROWS
        else:
            assert receipt is None

    def must_be_dead(self, machines: Iterable[str]) -> None:
        """Nothing of these machines lives; a guard is given a moment to clear its directory."""
        for machine in machines:
            eventually(lambda machine=machine: not survivors(marker(machine)), f"{machine} lives")
        # a process that ends loses its environment before its files, and so its lock a moment later
        target = self.service.targets["local"]
        alive = self.controller.platform(target.platform).alive
        eventually(lambda: not alive(self.name), "a machine's lock is held")

    def left_behind(self) -> list[str]:
        """What is left of machines."""
        place = self.root / ".foretell" / "machines"
        return sorted(path.name for path in place.iterdir()) if place.is_dir() else []

    def left_behind_in_full(self) -> list[str]:
        """Every file of what is left, for the message of a test that fails."""
        place = self.root / ".foretell" / "machines"
        return sorted(str(path.relative_to(place)) for path in place.rglob("*"))

    def must_show_no_half_model(self, action: str) -> None:
        """Whatever is current now can be read in full."""
        controller = self.controller
        if controller.exists():
            answer = controller.execute(models.current(self.name, "1", action, datetime.now(UTC)))
            if answer.model:
                history.fetch(controller, answer.model.run, self.root.with_name("current"))


def eventually(holds: Callable[[], bool], message: str, *, within: float = 5.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, message
        time.sleep(0.02)


def must_be_gone(pids: Iterable[int], *, within: float = 5.0) -> None:
    """None of these processes lives."""
    for pid in pids:
        eventually(lambda pid=pid: not lives(pid), f"{pid} lives", within=within)


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
