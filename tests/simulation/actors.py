"""
Those who act on runs, each a thin shell around the product's own talks.

An agent is `lifecycle.live` with a pulse and a watchdog; a waiter, a start and a sweep are a `Reconciler` each.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, NamedTuple

from foretell.agent import lifecycle
from foretell.agent.lifecycle import Left
from foretell.errors import StoreError
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.platforms.process.settings import ProcessSettings
from foretell.protocol import effects, models, steps, withdrawal
from foretell.protocol.effects import Create, End, Sleep
from foretell.protocol.keys import Run
from foretell.protocol.reconciler import Reconciler
from foretell.protocol.records import Exit, Launch, Outcome, Pin, Receipt, Request, Withdrawn
from foretell.protocol.rules import Wait
from foretell.service.delivery import Column, Delivery, Mode
from foretell.service.model import Action, Target
from foretell.system import times
from foretell.warehouses.duckdb.settings import DuckDBSettings
from tests.simulation.judge import Judge
from tests.simulation.machines import Agent, Command, Machines
from tests.simulation.warehouse import Warehouse
from tests.simulation.world import Process, Talk, World
from tests.support.records import request

VERSION = "1"
DATES = tuple(datetime(2026, *day, tzinfo=UTC) for day in ((6, 29), (6, 30), (7, 1), (7, 2), (8, 1)))
FAULTS: tuple[Literal["failed", "timeout", "rejected"], ...] = ("failed", "timeout", "rejected")
FILES = ("model.bin", "predictions.csv")
GROWTHS = 2
LADDER = ComputeEngineSettings(
    project="p", zones=("z",), machine_type=("small", "middle", "large"), spot=True, preemptions=2
)
RESTART = 30.0
"""Seconds after which a waiter or start that died is started again."""
DELAYS = (0.5, 5.0, 60.0, 600.0)
"""Seconds from what a trigger comes to until a worker does it."""
CHECK = 2.0
"""Seconds between two looks of the watchdog."""


class Plan(NamedTuple):
    """What a run is to be, and what its command will do: `bad` is the probability that it fails."""

    action: str = "application"
    service: str = "service"
    table: str | None = "table"
    mode: Mode = "replace"
    retries: int = 0
    bad: float = 0.0
    input: str | None = None
    trial: bool = False
    long: float = 25.0
    """Seconds of the command, where that is not left to chance."""

    def first(self, date: datetime) -> Run:
        return Run(self.service, VERSION, self.action, date, 1)


class Cast:
    """The actors of one world, its platform, its warehouse and its judge."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machines = Machines(world, self.boot)
        self.warehouse = Warehouse(world)
        self.judge = Judge(world, self.machines, self.warehouse)
        self.plans: dict[tuple[str, str], Plan] = {}
        self.waiters: list[Process] = []
        self.started: list[Any] = []
        """Called with (run, request) whenever a start has made or found its run."""
        world.watcher = self.judge
        world.on_end["waiter"] = world.on_end["start"] = self._restart
        world.on_end["withdraw"] = self._regretted
        self.warehouse.committed = self.judge.committed
        world.nested[lifecycle.Command] = lambda agent, _: self._command(agent)
        world.nested[lifecycle.Upload] = lambda agent, wish: self._upload(agent, wish.end)

    def _restart(self, process: Process) -> None:
        if self.world.hazards.restart and process.again:
            self.world.after(RESTART, process.again)

    # --- agents --------------------------------------------------------------------------------------------

    def boot(self, agent: Agent) -> None:
        world = self.world
        me = lifecycle.Agent(
            request=agent.machine.request,
            number=agent.number,
            nonce=agent.nonce,
            boot=agent.boot,
            host="host",
            clock=agent.local,
            now=world.stamp,
        )

        def leave(left: Left) -> None:
            agent.left = left
            agent.dying = True
            self.judge.left(agent)
            agent.die()

        def beat_arrived(sent: float) -> None:
            agent.ok = max(agent.ok, sent)
            agent.beat_at = world.now

        def claimed() -> None:
            agent.claimed, agent.beat_at = True, world.now
            pulse = lifecycle.pulse(me, sign=lambda: (agent.stage, 0), alive=beat_arrived)
            world.spawn(agent, pulse, leave)

        if world.rules.self_fencing:
            world.spawn(agent, self._watchdog(agent), leave)
        world.spawn(agent, lifecycle.live(me, claimed=claimed), leave)

    def _watchdog(self, agent: Agent) -> Talk:
        fence = self.world.times.fence
        while (silent := agent.local() - agent.ok) <= fence:
            yield Sleep(max(CHECK, fence - silent))
        self.world.stats["fenced"] += 1
        return Left.FENCED

    def _command(self, agent: Agent) -> Talk:
        world = self.world
        plan = self.plans[agent.run.service, agent.run.action]
        agent.stage = "command"
        self.judge.command_begins(agent)
        bad = plan.bad >= 1 if world.script is not None else world.rng.random() < plan.bad
        command = Command(agent, world.now)
        self.machines.commands.append(command)
        long = plan.long if world.script is not None else world.rng.uniform(5, world.rng.choice((100, 450)))
        while long > 0:
            yield Sleep(min(20, long))
            long -= 20
        command.end = world.now
        agent.stage = "upload"
        if (
            self.world.hazards.hungry
            and agent.machine.launch.growths_left > GROWTHS - self.world.hazards.hungry
        ):
            return Exit(nonce=agent.nonce, fault="failed", cause="out of memory", signal=9, oom=True)
        if not bad:
            return Exit(nonce=agent.nonce)
        fault = FAULTS[0] if world.script is not None else world.rng.choice(FAULTS)
        return Exit(nonce=agent.nonce, fault=fault, cause="bad luck", code=1)

    def _upload(self, agent: Agent, _: Exit) -> Talk:
        attempt = agent.run.attempt(agent.number)
        for file in FILES:
            yield from create_file(attempt.output(file), file.encode())
        yield from create_file(attempt.manifest, " ".join(FILES).encode())
        return Outcome(
            kind="produced",
            attempt=agent.number,
            by=agent.nonce,
            manifest="digest",
            files=len(FILES),
            at=self.world.stamp(),
        )

    # --- those who look ------------------------------------------------------------------------------------

    def witness(self, process: Process, request: Request) -> Reconciler:
        return Reconciler(
            request,
            clock=process.local,
            mint=process.mint,
            now=self.world.stamp,
            certain=self.machines.certain,
        )

    def new_waiter(self, run: Run, name: str) -> None:
        process = Process(self.world, name, "waiter")
        self.waiters.append(process)
        self.world.spawn(process, self._wait(process, run), lambda seen: self._returned(process, seen))
        process.again = lambda: self.new_waiter(run, name.rstrip("'") + "'")

    def _wait(self, process: Process, run: Run) -> Talk:
        poll = self.world.hazards.poll
        while (request := (yield from effects.get(run.request, Request))) is None:
            yield Sleep(poll)
        while True:
            looker = self.witness(process, request)
            if self.world.hazards.relayed:
                looker = yield from self._relayed(process, looker)
            else:
                yield from looker.watch(lambda _: poll, lambda _: False)
            if not looker.receipt_due:
                return looker
            yield Sleep(poll)

    def _relayed(self, process: Process, looker: Reconciler) -> Talk:
        """Look until something is due, and later have it done by a witness that has seen nothing; give the last one."""
        while True:
            yield Sleep(self.world.hazards.poll)
            try:
                step = yield from looker.look()
            except StoreError:
                continue
            if isinstance(step, Wait):
                continue
            self.world.stats[f"relayed {type(step).__name__}"] += 1
            yield Sleep(self.world.rng.choice(DELAYS))
            other = self.witness(process, looker.request)
            if (yield from other.advance(step)):
                return other
            looker = self.witness(process, looker.request)

    def _returned(self, process: Process, looker: Reconciler) -> None:
        process.returned = True
        self.judge.returned(process, looker)

    def sweep(self, process: Process, runs: Iterable[Run]) -> Talk:
        """Watch open runs long enough to judge by one's own clock, then end what should not be alive."""
        times = self.world.times
        for run in runs:
            request = yield from effects.get(run.request, Request)
            if request is None:
                continue
            end = process.local() + times.lease + 4 * times.poll
            looker = self.witness(process, request)
            yield from looker.watch(lambda _: times.poll, partial(self._over, process, end))
        for machine in list(self.machines.named.values()):
            if machine.up and (yield from self._should_not_live(machine.run, machine.number)):
                yield from effects.call(End(machine.request, machine.launch))

    @staticmethod
    def _over(process: Process, end: float, _: Reconciler) -> bool:
        return process.local() >= end

    def _should_not_live(self, run: Run, number: int) -> Talk:
        outcome = yield from effects.get(run.outcome, Outcome)
        if outcome and (outcome.kind != "produced" or (yield from effects.get(run.delivery, Receipt))):
            return True
        later = yield from effects.get(run.attempt(number + 1).launch, effects.SLOT)
        return isinstance(later, Launch) or (later is not None and outcome is not None)

    # --- starts --------------------------------------------------------------------------------------------

    def new_start(self, key: str, date: datetime, plan: Plan, *, again: bool = False) -> None:
        self.plans[plan.service, plan.action] = plan
        process = Process(self.world, f"start-{key}", "start")
        process.again = lambda: self.new_start(key, date, plan, again=again)
        self.world.spawn(process, self._start(process, key, date, plan, again=again))

    def _start(self, process: Process, key: str, date: datetime, plan: Plan, *, again: bool) -> Talk:
        pins: tuple[Pin, ...] = ()
        if plan.input:
            answer = yield from self.lookup(plan.service, plan.input, date)
            if answer:
                pins = (Pin(action=plan.input, run=answer.run.folder, digest="digest", path="output"),)
        wanted = steps.Place(plan.first(date), key)
        found = yield from steps.find(wanted, again=again)
        if isinstance(found, steps.Place):
            mine = self.request_of(process, *found, plan, pins)
            asked = yield from steps.submit(wanted, mine, again=again)
        else:
            asked = steps.StartResult(found, new=False)
        for follow in self.started:
            follow(asked.run, asked.request)
        yield from self.witness(process, asked.request).round()

    def request_of(self, process: Process, run: Run, key: str, plan: Plan, pins: tuple[Pin, ...]) -> Request:
        column = Column(name="x", type="STRING", source="x")
        delivery = plan.table and Delivery(
            file="predictions.csv", table=plan.table, columns=(column,), mode=plan.mode
        )
        return request(
            run,
            key=key,
            uid=process.mint(),
            date=times.sortable(run.date),
            inputs=pins,
            spec=Action(
                name=plan.action, command=("model",), retries=plan.retries, delivery=delivery or None
            ),
            target=Target(
                name="simulation",
                store="file:///store",
                platform=LADDER if self.machines.ladder else ProcessSettings(),
                warehouse=DuckDBSettings(path="warehouse"),
                times=self.world.times,
            ),
            partition=f"{run.date:%Y-%m-%d}" if plan.mode == "partition" else None,
            trial=plan.trial,
        )

    # --- people --------------------------------------------------------------------------------------------

    def other(self, name: str, talk: Any, *arguments: Any, kind: str = "other") -> None:
        """Let somebody do one thing; `kind` "other" never crashes."""
        process = Process(self.world, name, kind)
        self.world.spawn(process, talk(process, *arguments))

    def stop(self, process: Process, run: Run) -> Talk:
        if request := (yield from effects.get(run.request, Request)):
            yield from steps.cancel(request, process.mint(), self.world.stamp(), "stopped")

    def regret(self, run: Run, late: float) -> None:
        """Let somebody take a run back, and die of it perhaps; a waiter comes by so many seconds after that."""
        process = Process(self.world, "withdraw", "withdraw")
        process.again = lambda: self.world.after(late, self.new_waiter, run, "late")
        self.world.spawn(process, self.withdraw(process, run), lambda _: self._regretted(process))

    @staticmethod
    def _regretted(process: Process) -> None:
        if process.again:
            process.again()

    def withdraw(self, process: Process, run: Run) -> Talk:
        request = yield from effects.get(run.request, Request)
        word = yield from withdrawal.withdraw(run, Withdrawn(nonce=process.mint(), by="a person", table=True))
        outcome = yield from effects.get(run.outcome, Outcome)
        if word and request and request.delivers and outcome and outcome.kind == "produced":
            patience = self.world.times.deliver
            yield from withdrawal.revoke(request, outcome, clock=process.local, patience=patience)

    def lookup(self, service: str, action: str, date: datetime) -> Talk:
        """Ask which model is current, and have the answer judged."""
        before = self.judge.models_now()
        answer = yield from models.current(service, VERSION, action, date)
        self.judge.answered(before, answer.model, (service, action, date))
        return answer.model

    def ask_for_model(self, _: Process, service: str, action: str, date: datetime) -> Talk:
        yield from self.lookup(service, action, date)


def create_file(key: str, data: bytes) -> Talk:
    """Upload one file of an output; "exists" in a claimed folder is ours."""
    pause = 0.5
    while True:
        try:
            yield Create(key, data)
        except StoreError as error:
            yield Sleep(pause, error)
            pause = min(pause * 2, 15)
        else:
            return
