"""A service of quick commands in Airflow's folder: each action a graph whose command ends when the test lets it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from foretell.controller import history, tidy
from foretell.protocol import keys
from foretell.protocol.effects import SLOT
from foretell.protocol.keys import Run
from foretell.protocol.records import Launch, Outcome, Receipt, Request
from foretell.protocol.rules import Phase
from tests.standins.airflow.components import ENDED, Components
from tests.support.stage import DELIVERY, PREDICTIONS, ROWS, Stage, eventually

DAGS = "from foretell.airflow import dags\n\nglobals().update(dags(__file__))\n"
YEARLY = 'schedule = "0 0 1 1 *"'
WAIT = 'while [ ! -e "{gate}" ]; do sleep 0.2; done\n'
APPEND = 'mode = "append"'
"""The way of delivery that shows rows which came twice."""
END = 300.0


class Flight(NamedTuple):
    """A run of a graph: the graph's name, and Airflow's id of the run."""

    dag: str
    id: str


class Fleet:
    """The service `stage.name`; its graphs are NAME-ACTION, each with runs that wait for the action's gate."""

    def __init__(self, shared: Components, name: str) -> None:
        self.shared = shared
        self.stage = Stage(shared.dags / name, name=name)
        self._gates = shared.dags.parent / f"{name}.gates"
        self._gates.mkdir()
        (self.stage.root / "dags.py").write_text(DAGS)

    # --- what there is to run -----------------------------------------------------------------------------

    def action(
        self, name: str, script: str = "", *, more: str = "", delivery: str = "", plan: str = ""
    ) -> None:
        """
        Add an action that waits for its gate, then does `script`, and makes a model unless it delivers.

        `more`, `delivery` and `plan` are lines of its tables; rows go to a table of its own.
        """
        what = PREDICTIONS if delivery else "echo model > output/model"
        airflow = f"[actions.{name}.airflow]\nretry_delay = 2\n{plan}\n"
        base = DELIVERY.partition("\n")[0] if "columns" in delivery else DELIVERY
        told = f'{base}\ntable = "{name}"\n{delivery}\n{airflow}' if delivery else ""
        more = more if "schedule" in more or "after" in more else f"{YEARLY}\n{more}"
        more = more if delivery else f"{more}\n{airflow}"
        gate = WAIT.format(gate=self._gate(name))
        self.stage.action(name, f"{gate}{script}\n{what}", more=more, delivery=told)

    def _gate(self, action: str) -> Path:
        return self._gates / action

    def open(self, *actions: str) -> None:
        for action in actions:
            self._gate(action).touch()

    def shut(self, *actions: str) -> None:
        for action in actions:
            self._gate(action).unlink(missing_ok=True)

    def fly(self, *actions: str, date: str | None = None) -> dict[str, Flight]:
        """Start a run of each by hand, of a date or of now."""
        dags = {action: f"{self.stage.name}-{action}" for action in actions}
        return {
            action: Flight(dag, self.shared.trigger(dag, logical_date=date)) for action, dag in dags.items()
        }

    # --- where a run is -----------------------------------------------------------------------------------

    def runs(self, flight: Flight) -> list[Run]:
        """Give the runs in the store that a graph's run has asked for, newest first."""
        action = flight.dag.removeprefix(f"{self.stage.name}-")
        return [run for run in self.stage.runs(action) if self._is_of(run, flight)]

    def _is_of(self, run: Run, flight: Flight) -> bool:
        request = self.stage.read(run.request, Request)
        return isinstance(request, Request) and keys.original(request.key) == f"{flight.dag}/{flight.id}"

    def run(self, flight: Flight) -> Run:
        (run,) = self.runs(flight)
        return run

    def outcome(self, run: Run) -> Outcome | None:
        found = self.stage.read(run.outcome, Outcome)
        return found if isinstance(found, Outcome) else None

    def has_begun(self, flight: Flight) -> bool:
        """Whether the command of the newest run has begun, and its trigger waits for it."""
        runs = self.runs(flight)
        return bool(runs) and any(runs[0].id in line for line in self.stage.begun())

    def wait_begun(self, *flights: Flight) -> None:
        self.shared.until(lambda: all(map(self.has_begun, flights)), "commands that have begun")

    def wait_deferred(self, *flights: Flight) -> None:
        for flight in flights:
            self.shared.wait_task(*flight, "wait", "deferred")

    def wait_outcome(self, flight: Flight, within: float = 60) -> None:
        """Wait, without asking Airflow, until a run is decided."""
        run = self.run(flight)
        eventually(lambda: self.outcome(run) is not None, f"{run.label} is not decided", within=within)

    # --- what must be true --------------------------------------------------------------------------------

    def must_land(self, flight: Flight, phase: Phase, state: str | None = None, runs: int = 1) -> None:
        """
        One outcome in the store and the same in Airflow, every task of the graph ended.

        `state` is Airflow's where a person has overruled what became of it.
        """
        state = state or ("success" if phase is Phase.SUCCEEDED else "failed")
        assert self.shared.wait_run(*flight, patience=END) == state, self.tell(flight)
        tasks = self.shared.states(*flight)
        assert set(tasks.values()) <= ENDED, tasks
        found = self.runs(flight)
        assert len(found) == runs, self.tell(flight)
        assert self.stage.controller.check(found[0]).phase is phase, self.tell(flight)

    def wait_still(self) -> None:
        """Wait until no run of any action is under way."""
        dags = [f"{self.stage.name}-{action}" for action in self.stage.service.actions]
        ended = {"success", "failed"}
        self.shared.until(
            lambda: all(set(self.shared.runs(dag).values()) <= ended for dag in dags), "an end", END
        )

    def wait_known(self) -> None:
        """Wait until Airflow knows the graphs of every action."""
        self.shared.wait_dags(*(f"{self.stage.name}-{action}" for action in self.stage.service.actions))

    def must_be_clean(self) -> None:
        """Nothing lives, nothing is left to do, no command ran twice, and every run's rows are there once."""
        stage, controller = self.stage, self.stage.controller
        found = [run for action in stage.service.actions for run in stage.runs(action)]
        before = {run: (stage.store / run.outcome).read_bytes() for run in found}
        stage.must_be_dead(machine for run in found for machine in stage.machines(run))
        told = tidy.tidy(controller)
        assert (told.ended, told.open, told.stopped, told.failed) == ([], [], [], [])
        assert {run: (stage.store / run.outcome).read_bytes() for run in found} == before
        assert stage.left_behind() == [], stage.left_behind_in_full()
        assert all(count == 1 for count in stage.begun().values()), stage.begun()
        for action, spec in stage.service.actions.items():
            if spec.delivery:
                self._must_have_rows_once(action, spec.delivery.table)

    def _must_have_rows_once(self, action: str, table: str) -> None:
        delivered = 0
        for run in self.stage.runs(action):
            request, outcome = (
                self.stage.read(run.request, Request),
                self.stage.read(run.outcome, Outcome),
            )
            receipt = self.stage.read(run.delivery, Receipt)
            assert isinstance(request, Request)
            assert isinstance(outcome, Outcome)
            assert isinstance(receipt, Receipt) is (outcome.kind == "produced")
            if isinstance(receipt, Receipt):
                (row,) = self.stage.ledger(request.uid)
                assert row == ("delivered", run.label, outcome.attempt, len(ROWS))
                delivered += 1
        if delivered:
            assert self.stage.rows(table) == sorted(ROWS * delivered)

    def attempts(self, run: Run) -> int:
        """Count the launches on record."""
        number = 0
        while isinstance(self.stage.read(run.attempt(number + 1).launch, SLOT), Launch):
            number += 1
        return number

    def tell(self, flight: Flight) -> str:
        """What a failed test shows: the tasks, their logs, and what the store has."""
        parts = [f"{flight}: {self.shared.runs(flight.dag)}, {self.shared.states(*flight)}"]
        for task, seen in self.shared.tasks(*flight).items():
            for number in range(1, int(seen["try_number"] or 0) + 1):
                parts.append(f"--- {task} {number}\n{self.shared.log(*flight, task, number)[-3000:]}")
        for run in self.runs(flight):
            story = history.story(self.stage.controller, run)
            parts.append(f"--- {run.label}: {story.line.state}")
        return "\n".join(parts)
