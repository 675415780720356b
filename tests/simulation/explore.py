"""Many worlds in several processes, and what was found in them."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from foretell.protocol.records import Outcome
from tests.simulation.mutants import MUTANTS
from tests.simulation.scenes import SCENES, Played, places, random_world, small_world
from tests.simulation.world import Fault

FAULTS = tuple(fault for fault in Fault if fault)
CHUNK = 100
PROCESSES = 2


class Tally:
    """What was played, and where each rule was broken: by seed, or by scene and script."""

    def __init__(self) -> None:
        self.worlds = 0
        self.steps = 0
        self.stats: Counter[str] = Counter()
        self.broken: dict[str, list[Any]] = {}

    def note(self, where: object, played: Played) -> None:
        self.worlds += 1
        self.steps += played.world.steps
        self.stats.update(played.world.stats)
        self.stats["machines"] += len(played.cast.machines.named)
        self.stats["commands"] += len(played.cast.machines.commands)
        for run, _ in played.cast.judge.runs.values():
            outcome = played.cast.judge.read(run.outcome, Outcome)
            self.stats[f"runs {outcome.kind if outcome else 'open'}"] += 1
        self.stats.update(f"ledger {entry.state}" for entry in played.cast.warehouse.ledger)
        for rule in played.rules:
            self.broken.setdefault(rule, []).append(where)

    def add(self, other: Tally) -> None:
        self.worlds += other.worlds
        self.steps += other.steps
        self.stats.update(other.stats)
        for rule, found in other.broken.items():
            self.broken.setdefault(rule, []).extend(found)

    def told(self) -> str:
        """A summary for a terminal."""
        figures = ", ".join(f"{count} {name}" for name, count in sorted(self.stats.items()))
        lines = [f"{self.worlds} worlds, {self.steps} steps ({figures})"]
        for rule, found in sorted(self.broken.items(), key=lambda item: -len(item[1])):
            lines.append(f"  {len(found):6}  {rule}: {', '.join(map(str, sorted(found, key=str)[:6]))}")
        return "\n".join(lines if self.broken else [*lines, "  no rule is broken"])


class Place(NamedTuple):
    """A first fault in a scene; with `depth` 2, every second one after it is tried too."""

    scene: str
    request: int
    depth: int


def play_seeds(seeds: Iterable[int], mutant: str | None = None) -> Tally:
    """Play the random worlds of some seeds."""
    tally = Tally()
    for seed in seeds:
        try:
            tally.note(seed, play_seed(seed, mutant))
        except Exception as error:
            # a bug of the code under test, not a broken rule: whoever reads its traceback needs the seed
            error.add_note(f"in the random world of seed {seed}")
            raise
    return tally


def play_seed(seed: int, mutant: str | None = None, *, trace: bool = False) -> Played:
    """Play one random world, of the product or of a mutant of it."""
    if mutant is None:
        return random_world(seed, trace=trace)
    left_out = MUTANTS[mutant]
    with left_out.applied() as rules:
        return random_world(seed, rules, change=left_out.change, trace=trace)


def play_place(place: Place) -> Tally:
    """Place each fault at one request of a scene, and perhaps each further one after it."""
    tally = Tally()
    scene = SCENES[place.scene]
    for fault in FAULTS:
        script = {place.request: fault}
        once = small_world(scene, script)
        tally.note((place.scene, script), once)
        if place.depth < 2:
            continue
        for request in places(once, place.request, limit=1):
            for further in FAULTS:
                twice = {**script, request: further}
                tally.note((place.scene, twice), small_world(scene, twice))
    return tally


def explore_seeds(first: int, worlds: int, *, mutant: str | None = None, processes: int = PROCESSES) -> Tally:
    """Play the random worlds of `worlds` seeds."""
    seeds = range(first, first + worlds)
    chunks = [seeds[at : at + CHUNK] for at in range(0, worlds, CHUNK)]
    return _gather(partial(play_seeds, mutant=mutant), chunks, processes)


def explore_scene(name: str, depth: int, *, processes: int = PROCESSES) -> Tally:
    """Play a scene without a fault and with every placing of up to `depth` of them."""
    calm = small_world(SCENES[name], {})
    first = places(calm, limit=None if depth == 1 else 2)
    tally = _gather(play_place, [Place(name, request, depth) for request in first], processes)
    tally.note((name, {}), calm)
    return tally


def _gather(play: Callable[[Any], Tally], parts: list[Any], processes: int) -> Tally:
    total = Tally()
    for tally in _played(play, parts, processes):
        total.add(tally)
    return total


def _played(play: Callable[[Any], Tally], parts: list[Any], processes: int) -> Iterator[Tally]:
    if processes == 1:
        yield from map(play, parts)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(play, parts)
        pool.close()
        pool.join()
