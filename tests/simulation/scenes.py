"""What worlds are played: random ones of a seed, and small ones in which faults are placed by a script."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from foretell.protocol import keys
from foretell.protocol.keys import Run
from foretell.protocol.records import Request
from foretell.service.delivery import Mode
from foretell.service.times import Times
from tests.simulation.actors import DATES, Cast, Plan
from tests.simulation.judge import Broken
from tests.simulation.replacing import remembering
from tests.simulation.world import RULES, Fault, Hazards, Rules, World

TIMES = Times(beat=10, fence=60, kill=5, lease=100, stale=60, boot=150, poll=15, deliver=400, grace=60)
MODES: tuple[Mode, ...] = ("replace", "replace", "append", "partition")
AFTERWARDS = 600.0
"""Seconds after a run's start when it has ended, faults or not."""
SPARSE = Times(beat=12, fence=60, kill=5, lease=100, stale=72, boot=150, poll=25, deliver=400, grace=60)
"""Fewer beats and rounds, for worlds in which every request is a place for a fault."""


class Played(NamedTuple):
    """A world after its end, and the rules broken in it."""

    world: World
    cast: Cast
    broken: list[Broken]

    @property
    def rules(self) -> set[str]:
        return {broken.rule for broken in self.broken}

    def told(self) -> str:
        """The whole history, for the reader of a failure."""
        return "\n".join([str(self.world.hazards), *(self.world.trace or []), *map(str, self.broken)])


# --- random worlds ----------------------------------------------------------------------------------------


def hazards_of(rng: random.Random) -> Hazards:
    """Draw what will go wrong in a world."""
    platform = rng.choice(("vm", "vm", "process"))
    return Hazards(
        platform=platform,
        fault=rng.choice((0.0, 0.005, 0.02, 0.05)),
        commit_fault=rng.choice((0, 0, 0.3)),
        duplicate=rng.choice((0, 0.15)),
        hang=rng.choice((0, 0.1)),
        cut=rng.choice((0, 0.3)),
        cut_for_ever=rng.random() < 0.3,
        pause=rng.choice((0, 0.2)),
        preempt=rng.choice((0, 0.2)),
        probe_error=rng.choice((0, 0.1)),
        probe_lie=rng.choice((0, 0, 0.03)),
        stop_fails=rng.random() < 0.25 and platform == "vm",
        refused_until=rng.choice((60.0, 400.0)) if rng.random() < 0.15 else -1.0,
        rejected_until=rng.choice((200.0, 400.0, 1e9)) if rng.random() < 0.15 else -1.0,
        store_down=_outage(rng, 0.3),
        warehouse_down=_outage(rng, 0.4),
        poll=rng.choice((3.0, 15.0)) if platform == "process" else 15.0,
        told=rng.choice((0, 0, 0.7)) if platform == "vm" else 0.0,
        hungry=rng.choice((0, 0, 0, 1, 2, 3)) if platform == "vm" else 0,
        regret=0.3,
    )


def _outage(rng: random.Random, probability: float) -> tuple[tuple[float, float], ...]:
    if rng.random() >= probability:
        return ()
    begin = rng.uniform(0, 500)
    return ((begin, begin + rng.choice((15, 40, 80, 200, 600))),)


def random_world(
    seed: int, rules: Rules = RULES, *, change: Mapping[str, Any] | None = None, trace: bool = False
) -> Played:
    """Play the world of a seed. `change` replaces some hazards, or how its runs are (`many`, `mode`)."""
    rng = random.Random(seed * 7919 + 1)
    change = dict(change or {})
    many, mode = rng.random() < 0.4, rng.choice(MODES)
    many, mode = change.pop("many", many), change.pop("mode", mode)
    hazards = hazards_of(rng)._replace(**change)
    world = World(seed, hazards, rules, TIMES)
    world.trace = [] if trace else None
    with remembering():
        cast = Cast(world)
        Crowd(cast, rng, many=many, mode=mode)
        Regret(cast, random.Random(seed * 7919 + 2))
        return play(cast, until=5000, end=11000)


def play(cast: Cast, *, until: float, end: float) -> Played:
    """Let a world go its way, then let it come to rest, and judge."""
    world = cast.world
    world.run(until)
    world.calm = True
    if not world.hazards.cut_for_ever:
        for agent in cast.machines.agents:
            agent.cuts = []
    world.run(end)
    return Played(world, cast, cast.judge.close(cast.waiters))


class Crowd:
    """Who does what in a random world."""

    def __init__(self, cast: Cast, rng: random.Random, *, many: bool, mode: Mode) -> None:
        self.cast = cast
        self.mode = mode
        self.world = cast.world
        self.rng = rng
        self._followed: set[Run] = set()
        cast.started.append(self._follow)
        if many:
            self._many_runs()
        else:
            self._one_run()

    def _later(self, low: float, high: float, what: Any, *arguments: object) -> None:
        self.world.after(self.rng.uniform(low, high), what, *arguments)

    def _follow(self, run: Run, _: Request) -> None:
        """Have waiters, and sometimes a stop or a janitor, come to a run."""
        if run in self._followed:
            return
        self._followed.add(run)
        cast, rng = self.cast, self.rng
        for index in range(rng.choice((1, 1, 2, 3))):
            self._later(0, 60, cast.new_waiter, run, f"W{index}@{run.action[:3]}{run.date:%m%d}-{run.n}")
        if rng.random() < 0.2:
            self._later(0, 500, lambda: cast.other("stop", cast.stop, run, kind="stop"))
        if rng.random() < 0.3:
            self._later(0, 300, lambda: cast.other("sweep", cast.sweep, [run], kind="sweep"))

    def _one_run(self) -> None:
        rng, cast = self.rng, self.cast
        plan = Plan(
            table=rng.choice(("table", "table", None)),
            mode=self.mode,
            trial=rng.random() < 0.1,
            retries=rng.choice((0, 0, 1, 2)),
            bad=rng.choice((0, 0.2, 0.6)),
        )
        cast.new_start("k", DATES[1], plan)
        if rng.random() < 0.4:
            self._later(0, 30, cast.new_start, "k", DATES[1], plan)
        if rng.random() < 0.2:
            for _ in range(rng.choice((1, 2))):
                self._later(500, 2500, lambda: cast.new_start("k", DATES[1], plan, again=True))

    def _many_runs(self) -> None:
        rng, cast = self.rng, self.cast
        training = Plan("training", table=None, mode="append", bad=0.2)
        applying = Plan("application", mode=self.mode, input="training")
        scoring = applying._replace(action="scoring") if rng.random() < 0.2 else applying
        for index in range(rng.randint(1, 3)):
            plan = training._replace(trial=rng.random() < 0.1)
            self._later(0, 500, cast.new_start, f"t{index}", DATES[rng.choice((1, 1, 2, 3))], plan)
        for index in range(rng.randint(2, 3)):
            plan = scoring if index == 1 else applying
            self._later(100, 800, cast.new_start, f"a{index}", DATES[rng.choice((2, 2, 3, 4))], plan)
        for _ in range(6):
            question = ("service", "training", DATES[rng.choice((1, 2, 3))])
            self._later(200, 3000, cast.other, "lookup", cast.ask_for_model, *question)
        if rng.random() < 0.4:
            self._later(300, 900, self._withdraw_one)

    def _withdraw_one(self) -> None:
        models = [run for run in self.cast.judge.succeeded_at if "/training/" in run]
        if models:
            self.cast.other("withdraw", self.cast.withdraw, keys.run_of(self.rng.choice(models)))


class Regret:
    """Who takes runs back in a random world, and may die of it; a waiter comes by after that."""

    def __init__(self, cast: Cast, rng: random.Random) -> None:
        self.cast = cast
        self.rng = rng
        if rng.random() < cast.world.hazards.regret:
            for _ in range(rng.choice((1, 1, 2, 3))):
                cast.world.after(rng.uniform(40, 1500), self._withdraw_one)

    def _withdraw_one(self) -> None:
        """Take back a run of any state, most likely the newest that is decided."""
        cast, rng = self.cast, self.rng
        found = sorted(cast.judge.decided_at) if rng.random() < 0.9 else sorted(cast.judge.runs)
        if not found:
            cast.world.after(rng.uniform(40, 400), self._withdraw_one)
            return
        run = keys.run_of(found[-1] if rng.random() < 0.5 else rng.choice(found))
        cast.regret(run, rng.uniform(0, 900))


# --- small worlds, in which every fault is placed everywhere ----------------------------------------------


class Scene(NamedTuple):
    """A small world without chance."""

    plan: Plan
    platform: str = "vm"
    waiters: int = 1
    stop: float | None = None
    withdraw: float | None = None
    """When somebody takes the run back; a waiter comes by long after it."""
    sweep: float | None = None
    starts: int = 1
    keys: int = 1
    rejected_until: float = -1.0
    restart: bool = True


SCENES = {
    "ok, delivery, 2 waiters": Scene(Plan(mode="replace"), waiters=2),
    "bad, one retry": Scene(Plan(table=None, retries=1, bad=1)),
    "ok, stop while running": Scene(Plan(mode="append"), stop=20),
    "ok, delivery, certain probe": Scene(Plan(mode="replace"), platform="process"),
    "ok, append, waiter + sweep": Scene(Plan(mode="append"), sweep=30),
    "bad, no retry, 2 waiters": Scene(Plan(table=None, bad=1), waiters=2),
    "ok, stop at the end": Scene(Plan(mode="append"), stop=36),
    "two starts, rejecting table": Scene(Plan(mode="append"), waiters=2, starts=2, rejected_until=60),
    "rejecting table": Scene(Plan(mode="append"), rejected_until=60),
    "two runs of one date, replace": Scene(Plan(mode="replace"), keys=2),
    "ok, withdrawn while delivering": Scene(Plan(mode="replace"), withdraw=43),
    "ok, append, withdrawn at the end": Scene(Plan(mode="append"), withdraw=46),
}


def small_world(
    scene: Scene, script: Mapping[int, Fault], rules: Rules = RULES, *, trace: bool = False
) -> Played:
    """Play a scene with the faults of a script: number of the request -> fault."""
    hazards = Hazards(
        platform=scene.platform, rejected_until=scene.rejected_until, restart=scene.restart, poll=SPARSE.poll
    )
    world = World(0, hazards, rules, SPARSE, script)
    world.trace = [] if trace else None
    with remembering():
        cast = Cast(world)
        followed: set[Run] = set()

        def follow(run: Run, _: Request) -> None:
            if run in followed:
                return
            followed.add(run)
            for index in range(scene.waiters):
                world.after(3 + 7 * index, cast.new_waiter, run, f"W{index}")
            if scene.stop is not None:
                world.after(scene.stop, lambda: cast.other("stop", cast.stop, run, kind="stop"))
            if scene.withdraw is not None:
                world.after(
                    scene.withdraw, lambda: cast.other("withdraw", cast.withdraw, run, kind="withdraw")
                )
                world.after(AFTERWARDS, cast.new_waiter, run, "late")
            if scene.sweep is not None:
                world.after(scene.sweep, lambda: cast.other("sweep", cast.sweep, [run], kind="sweep"))

        cast.started.append(follow)
        for key in range(scene.keys):
            for start in range(scene.starts):
                world.at(0.1 * start + 4 * key, cast.new_start, f"k{key}", DATES[1], scene.plan)
        return play(cast, until=1500, end=3200)


def places(
    played: Played, after: int = -1, *, who: str = "", what: str = "", limit: int | None = None
) -> list[int]:
    """Give the requests of `who` asking for `what`, each a place for a fault; at most `limit` alike."""
    seen: dict[tuple[str, str], int] = {}
    found = []
    for index, (name, wish) in enumerate(played.world.points):
        seen[name, wish] = seen.get((name, wish), 0) + 1
        fits = name.startswith(who) and what in wish
        if index > after and fits and (limit is None or seen[name, wish] <= limit):
            found.append(index)
    return found
