"""
The simulation by hand: python -m tests.simulation COMMAND

random N [FIRST]          N random worlds, from seed FIRST (0)
faults 1|2 [SCENE ...]    every placing of one or two faults in small scenes (all of them)
mutants [N]               each mutant in N random worlds (300), and as what it is caught
show SEED [MUTANT]        one random world, with everything that happened in it
"""

from __future__ import annotations

import os
import sys
import time

from tests.simulation.explore import Tally, explore_scene, explore_seeds, play_seed
from tests.simulation.mutants import MUTANTS
from tests.simulation.scenes import SCENES

PROCESSES = os.cpu_count() or 1


def main(arguments: list[str]) -> int:
    """Carry out a command; 1 when a rule of the product is broken."""
    match arguments:
        case ["random", count, *first]:
            return _report(explore_seeds(int(first[0]) if first else 0, int(count), processes=PROCESSES))
        case ["faults", "1" | "2" as depth, *names]:
            return _faults(int(depth), names or list(SCENES))
        case ["mutants", *count]:
            return _mutants(int(count[0]) if count else 300)
        case ["show", seed, *mutant]:
            print(play_seed(int(seed), mutant[0] if mutant else None, trace=True).told())
            return 0
        case _:
            print(__doc__)
            return 2


def _faults(depth: int, names: list[str]) -> int:
    total = Tally()
    for name in names:
        began = time.monotonic()
        tally = explore_scene(name, depth, processes=PROCESSES)
        print(f"{name}: {tally.worlds} worlds, {time.monotonic() - began:.1f} s", flush=True)
        total.add(tally)
    return _report(total)


def _mutants(count: int) -> int:
    for name in MUTANTS:
        print(f"== {name}\n{explore_seeds(0, count, mutant=name, processes=PROCESSES).told()}", flush=True)
    return 0


def _report(tally: Tally) -> int:
    print(tally.told())
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
