"""The judge: sees every write, every commit and every end, and names the rule that is broken."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any, NamedTuple

from foretell.agent.lifecycle import Left
from foretell.errors import ForetellError
from foretell.protocol.effects import SLOT
from foretell.protocol.keys import Run, run_of
from foretell.protocol.models import Model
from foretell.protocol.reconciler import Reconciler
from foretell.protocol.records import Closed, Exit, Host, Launch, Outcome, Receipt, Request
from foretell.protocol.rules import Phase, first
from tests.simulation.machines import DEADLINE, Agent, Command, Machines
from tests.simulation.replacing import decode, read
from tests.simulation.warehouse import Commit, Rows, Warehouse
from tests.simulation.world import Process, World

NEVER = 1e99
NEGATIVE = ("failed", "timeout", "rejected", "lost")


class Broken(NamedTuple):
    """One violation: the rule by its name, when, and what shows it."""

    rule: str
    when: float
    what: str


class Known(NamedTuple):
    """What was true when a question was asked."""

    succeeded: frozenset[str]
    withdrawn: frozenset[str]


class Judge:
    """Every rule by its name, P1 to P10."""

    def __init__(self, world: World, machines: Machines, warehouse: Warehouse) -> None:
        self.world = world
        self.machines = machines
        self.warehouse = warehouse
        self.broken: list[Broken] = []
        self.runs: dict[str, tuple[Run, Request]] = {}
        self.decided_at: dict[str, float] = {}
        self.superseded_at: dict[tuple[str, int], float] = {}
        self.succeeded_at: dict[str, float] = {}
        self.withdrawn_at: dict[str, float] = {}
        self.asked_withdrawn: dict[tuple[str, Process], float] = {}
        """When somebody last read whether a run is withdrawn."""
        self.heard: defaultdict[str, set[Process]] = defaultdict(set)
        """Who has read which host's word."""
        self.closed_knowing: set[str] = set()
        """The hosts' words that whoever closed the run after them had read."""
        self.waiting: dict[Process, bool] = {}
        self._replaced: defaultdict[str, list[Rows]] = defaultdict(list)
        self._handlers = {
            "request.json": self._request,
            "outcome.json": self._outcome,
            "launch.json": self._launch,
            "delivery.json": self._delivery,
            "withdrawn.json": self._withdrawn,
        }

    def breaks(self, rule: str, *what: object) -> None:
        self.broken.append(Broken(rule, round(self.world.now, 1), " ".join(map(str, what))))
        self.world.say("JUDGE", "VIOLATION", rule, *what)

    def read(self, key: str, kind: type[Any]) -> Any:
        return read(self.world.store, key, kind)

    # --- every write ---------------------------------------------------------------------------------------

    def wrote(self, process: Process, key: str, data: bytes) -> None:
        """See a write before it is there."""
        handler = self._handlers.get(key.rsplit("/", 1)[1])
        if handler:
            handler(process, key, data)

    def served(self, process: Process, key: str, *, found: bool) -> None:
        """See a read."""
        if found and key.endswith("/host.json"):
            self.heard[key].add(process)
        elif key.endswith("/withdrawn.json"):
            self.asked_withdrawn[key.rsplit("/", 1)[0], process] = self.world.now

    def escaped(self, process: Process, error: ForetellError) -> None:
        self.breaks("no error ends a talk", process.name, error.what)

    def _request(self, _: Process, key: str, data: bytes) -> None:
        request = decode(data, Request, key)
        run = run_of(key.rsplit("/", 1)[0])
        self.runs[run.folder] = (run, request)

    def _outcome(self, _: Process, key: str, data: bytes) -> None:
        outcome = decode(data, Outcome, key)
        folder = key.rsplit("/", 1)[0]
        run = run_of(folder)
        there = self.world.store.get(key)
        if there is not None and there != data:
            self.breaks("P1 outcome changed", run.id, decode(there, Outcome, key).kind, "to", outcome.kind)
        self.decided_at.setdefault(folder, self.world.now)
        number = outcome.attempt
        if outcome.kind in NEGATIVE and number and self._replaced_by_launch(run, number):
            self.breaks("P4 superseded verdict", run.id, outcome.kind, "of attempt", number)
        if outcome.kind == "produced" and number:
            self._complete(run, number)
        self._note_success(run, outcome=outcome)

    def _replaced_by_launch(self, run: Run, number: int) -> bool:
        return isinstance(self.read(run.attempt(number + 1).launch, SLOT), Launch)

    def _complete(self, run: Run, number: int) -> None:
        manifest = self.world.store.get(run.attempt(number).manifest)
        files = manifest.decode().split() if manifest else []
        if not files or any(self.world.store.get(run.attempt(number).output(f)) != f.encode() for f in files):
            self.breaks("P2 manifest names a missing file", run.id, number)

    def _launch(self, process: Process, key: str, data: bytes) -> None:
        if key in self.world.store:
            return
        slot = decode(data, SLOT, key)
        run = run_of(key.split("/attempts/", maxsplit=1)[0])
        elder = int(key.split("/")[-2]) - 1
        self.superseded_at[run.folder, elder] = self.world.now
        host = run.attempt(elder).host
        if process in self.heard[host]:
            self.closed_knowing.add(host)
        fault = slot.outcome.kind if isinstance(slot, Closed) else slot.after
        if fault == "lost" and not self._lied(run):
            for agent in self.machines.agents:
                if agent.run == run and agent.number == elder and self._healthy(agent):
                    self.breaks("P9 a healthy attempt was declared lost", run.id, elder)

    def _lied(self, run: Run) -> bool:
        return any(
            self.machines.named[name].run == run for name in self.machines.lied if name in self.machines.named
        )

    def _healthy(self, agent: Agent) -> bool:
        at_work = agent.alive and agent.claimed and not agent.dying and agent.stage in ("command", "upload")
        fresh = self.world.now - agent.beat_at < self.world.times.fence - self.world.times.beat
        return at_work and fresh and not agent.ever_paused and not agent.ever_cut

    def _delivery(self, _: Process, key: str, data: bytes) -> None:
        receipt = decode(data, Receipt, key)
        run = run_of(key.rsplit("/", 1)[0])
        states = self.warehouse.states(receipt.uid)
        if receipt.state not in states:
            self.breaks("P7 delivery.json without ledger", run.id, receipt.state)
        if receipt.state == "rejected" and "delivered" in states:
            self.breaks("P3 refused on paper, delivered in fact", run.id)
        self._note_success(run, receipt=receipt)

    def _withdrawn(self, _: Process, key: str, __: bytes) -> None:
        self.withdrawn_at.setdefault(key.rsplit("/", 1)[0], self.world.now)

    def _note_success(
        self, run: Run, *, outcome: Outcome | None = None, receipt: Receipt | None = None
    ) -> None:
        outcome = outcome or self.read(run.outcome, Outcome)
        if run.folder in self.succeeded_at or not outcome or outcome.kind != "produced":
            return
        request = self.runs[run.folder][1]
        if request.trial:
            return  # it is never a model
        if request.delivers:
            receipt = receipt or self.read(run.delivery, Receipt)
            if not receipt or receipt.state in ("rejected", "withdrawn"):
                return
        self.succeeded_at[run.folder] = self.world.now

    # --- the warehouse -------------------------------------------------------------------------------------

    def committed(self, process: Process, commit: Commit) -> None:
        place, rows = commit.scope, commit.rows
        table = self.warehouse.tables[place]
        self._withdrawals(process, commit)
        for uid, times in Counter(old.uid for old in table).items():
            if times > 1:
                self.breaks("P3 delivered twice", place, uid)
        for old in table:
            outcome = self.read(f"{old.run}/outcome.json", Outcome)
            if not outcome or outcome.kind != "produced" or outcome.attempt != old.attempt:
                self.breaks("P3 rows not of the outcome", place, old)
        if rows and rows.mode == "append":
            if sum(old.owner == rows.owner and old.order[0] == rows.order[0] for old in table) > 1:
                self.breaks("P3 one date twice", place, rows.uid)
        elif rows:
            self._replacing(place, rows)

    def _replacing(self, place: str, rows: Rows) -> None:
        if len(self.warehouse.tables[place]) > 1:
            self.breaks("P3 two runs in a replaced scope", place)
        for earlier in self._replaced[place]:
            if earlier.owner != rows.owner:
                self.breaks("P3 two owners replace each other", place)
            elif (
                earlier.uid != rows.uid
                and earlier.order > rows.order
                and self.warehouse.state(earlier.uid) != "withdrawn"
            ):
                self.breaks("P3 older replaced newer", place, rows.order, earlier.order)
        self._replaced[place].append(rows)

    def _withdrawals(self, process: Process, commit: Commit) -> None:
        """A withdrawn run holds nobody up, and is not delivered by who could know."""
        entry, rows = commit.entry, commit.rows
        if entry and entry.state == "superseded":
            newer = [
                other
                for other in self.warehouse.ledger
                if other.scope == entry.scope
                and other.state == "delivered"
                and other.rows.order > entry.rows.order
            ]
            if not newer:
                self.breaks("P3 superseded by a withdrawn run", commit.scope, entry.uid)
        if rows:
            asked = self.asked_withdrawn.get((rows.run, process))
            if asked is None or asked > self.withdrawn_at.get(rows.run, NEVER):
                self.breaks("P3 a withdrawn run was delivered", commit.scope, rows.uid)

    # --- agents and waiters --------------------------------------------------------------------------------

    def left(self, agent: Agent) -> None:
        """See an agent leave by its own will."""
        claim = self.read(agent.run.attempt(agent.number).claim, dict)
        outcome = self.read(agent.run.outcome, Outcome)
        if agent.left is Left.QUIET and claim and claim.get("nonce") == agent.nonce:
            self.breaks("P10 owner of the claim leaves", agent.run.id, agent.number)
        mine = outcome is not None and outcome.by == agent.nonce and outcome.kind == "produced"
        undelivered = agent.machine.request.delivers and agent.run.delivery not in self.world.store
        if agent.left is Left.DONE and mine and undelivered and not agent.shipped:
            self.breaks("P10 owner of the outcome leaves", agent.run.id, agent.number)

    def command_begins(self, agent: Agent) -> None:
        for command in self.machines.commands:
            if command.agent.run == agent.run and command.agent.number == agent.number:
                self.breaks("P6 one attempt, two commands", agent.run.id, agent.number)
        for pin in agent.machine.request.inputs:
            withdrawn = self.withdrawn_at.get(pin.run, NEVER)
            if withdrawn < self.world.now - 60 and not agent.ever_paused and not agent.ever_cut:
                self.breaks("P8 applied a withdrawn model", agent.run.id, pin.run)

    def returned(self, process: Process, looker: Reconciler) -> None:
        """See a waiter return with a verdict: it must be the truth, and a success must have its proof."""
        run, state = looker.run, looker.state
        outcome = self.read(run.outcome, Outcome)
        if outcome is None or not state.phase.ended:
            self.breaks("P7 an end without proof", process.name, run.id, state.phase)
            return
        receipt = self.read(run.delivery, Receipt) if looker.request.delivers else None
        told = receipt.state if receipt and outcome.kind == "produced" else outcome.kind
        truth = {"produced": "succeeded", "delivered": "succeeded"}.get(told, told)
        if state.phase != truth:
            self.breaks("P1 a waiter tells another outcome", process.name, truth, state.phase)
        states = self.warehouse.states(looker.request.uid)
        if outcome.kind == "produced" and "rejected" in states and state.phase is not Phase.REJECTED:
            self.breaks("P1 a waiter tells another outcome", process.name, "rejected", state.phase)
        proof = {Phase.SUCCEEDED: "delivered", Phase.SUPERSEDED: "superseded"}.get(state.phase)
        if proof and looker.request.delivers and proof not in states:
            self.breaks("P7 success without ledger", process.name, run.id)

    # --- which model is current ----------------------------------------------------------------------------

    def models_now(self) -> Known:
        return Known(frozenset(self.succeeded_at), frozenset(self.withdrawn_at))

    def answered(self, before: Known, model: Model | None, question: tuple[str, str, datetime]) -> None:
        service, action, date = question
        must = [
            run.order
            for folder in before.succeeded - self.withdrawn_at.keys()
            for run in (run_of(folder),)
            if (run.service, run.action) == (service, action) and run.date <= date
        ]
        if must and (model is None or model.run.order < max(must)):
            self.breaks("P8 a newer model was missed", model and model.run.id, "for", max(must))
        if model is None:
            return
        if model.run.date > date:
            self.breaks("P8 the future leaked", model.run.id, "as of", date)
        if model.run.folder in before.withdrawn:
            self.breaks("P8 a withdrawn model was chosen", model.run.id)
        if model.run.folder not in self.succeeded_at:
            self.breaks("P8 a model without success", model.run.id)

    # --- the end -------------------------------------------------------------------------------------------

    def close(self, waiters: list[Process]) -> list[Broken]:
        """Judge the world as it stands at its end."""
        for waiter in waiters:
            if waiter.alive and not waiter.returned:
                self.breaks("P5 waiter never ends", waiter.name)
        for name in self.machines.unrecorded:
            self.breaks("P6 a machine without a record", name)
        self._machines_ended()
        self._overlaps()
        for run, request in self.runs.values():
            self._ended(run, request)
            self._budget(run, request)
        keys = Counter(
            (request.key, run.service, run.action, run.date) for run, request in self.runs.values()
        )
        for key, times in keys.items():
            if times > 1:
                self.breaks("P6 one start, two runs", key)
        return self.broken

    def _machines_ended(self) -> None:
        for machine in self.machines.named.values():
            life = (machine.died or self.world.now) - machine.born
            if not self.machines.certain and life > DEADLINE + self.world.times.grace:
                self.breaks("P5 machine beyond its deadline", machine.launch.machine)
            if self.machines.certain and machine.up:
                self.breaks("P5 machine alive for ever", machine.launch.machine)

    def _overlaps(self) -> None:
        commands = self.machines.commands
        for one, two in itertools.combinations(commands, 2):
            if one.agent.run == two.agent.run and not one.agent.ever_paused and not two.agent.ever_paused:
                overlap = min(self._end(one), self._end(two)) - max(one.start, two.start)
                if overlap > 1 and not self._lied(one.agent.run):
                    self.breaks("P4 two commands of one run at a time", one.agent.run.id, round(overlap))
        for command in commands:
            agent = command.agent
            place = (agent.run.folder, agent.number)
            decided = min(self.decided_at.get(agent.run.folder, NEVER), self.superseded_at.get(place, NEVER))
            late = self._end(command) > max(decided, command.start) + 120
            if late and not agent.ever_paused and not agent.ever_cut:
                self.breaks("P4 a command runs on after the decision", agent.run.id, agent.number)

    def _end(self, command: Command) -> float:
        return self.world.now if command.end is None else command.end

    def _ended(self, run: Run, request: Request) -> None:
        outcome = self.read(run.outcome, Outcome)
        receipt = self.read(run.delivery, Receipt)
        if not outcome:
            self.breaks("P5 no outcome", run.id)
        elif outcome.kind == "produced" and request.delivers and not receipt:
            self.breaks("P5 never delivered nor refused", run.id)
        rows = [old for table in self.warehouse.tables.values() for old in table if old.uid == request.uid]
        state = self.warehouse.state(request.uid)
        if rows and receipt and receipt.state != "delivered" and state != "withdrawn":
            self.breaks("P3 refused on paper, delivered in fact", run.id)
        if run.folder not in self.withdrawn_at or not receipt:
            return
        if state not in ("withdrawn", "rejected"):
            self.breaks("P3 withdrawn on paper, not in the ledger", run.id, state)
        if any(old.mode == "append" for old in rows):
            self.breaks("P3 rows of a withdrawn append", run.id)

    def _budget(self, run: Run, request: Request) -> None:
        outcome = self.read(run.outcome, Outcome)
        if not outcome or outcome.kind not in NEGATIVE:
            return
        attempts = itertools.takewhile(
            lambda number: isinstance(self.read(run.attempt(number).launch, SLOT), Launch), itertools.count(1)
        )
        slots = [self.read(run.attempt(number).launch, SLOT) for number in attempts]
        exits = [self.read(run.attempt(number).exit, Exit) for number in range(1, len(slots) + 1)]
        whole, last = first(request).budgets, slots[-1]
        grown, taken = whole.growths_left - last.growths_left, whole.spots_left - last.spots_left
        failed = sum(1 for end in exits if end and end.fault) - grown
        final = any(end and end.final for end in exits)
        retries, losses = request.spec.retries, request.spec.losses
        if outcome.kind != "lost" and not final and failed < retries + 1:
            self.breaks("P5 retries withheld", run.id, failed, "of", retries + 1)
        if outcome.kind == "lost" and len(exits) < losses + 1:
            self.breaks("P5 replacements withheld", run.id, len(exits), "of", losses + 1)
        if len(exits) > 1 + losses + retries + grown + taken or min(grown, taken) < 0:
            self.breaks("P5 too many attempts", run.id, len(exits))
        self._ladder(run, outcome, last, len(slots))

    def _ladder(self, run: Run, outcome: Outcome, last: Launch, number: int) -> None:
        """A larger machine, or one that is not taken away, is tried before it is said that none could."""
        end = self.read(run.attempt(number).exit, Exit)
        claim = self.read(run.attempt(number).claim, dict)
        host = self.read(run.attempt(number).host, Host)
        if outcome.kind == "failed" and end and end.oom and last.growths_left:
            self.breaks("P5 a larger machine withheld", run.id, last.growths_left)
        told = host and claim and host.reason == "preempted" and host.boot == claim.get("boot")
        # only what was there when the closer last read it could be heeded
        if (
            outcome.kind == "lost"
            and told
            and last.spots_left
            and run.attempt(number).host in self.closed_knowing
        ):
            self.breaks("P5 a steadier machine withheld", run.id, last.spots_left)
