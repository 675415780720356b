"""`foretell --help` against an interpreter that does nothing."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from bench import timing

ROUNDS = 30
BARE = "`python -c pass`"
LINES = {
    BARE: ("python", "-c", "pass"),
    "`foretell --help`": ("foretell", "--help"),
    "`foretell run --help`": ("foretell", "run", "--help"),
}


def main() -> None:
    """Print one table."""
    print(timing.machine())
    bin_ = Path(sys.executable).parent
    contestants = {
        name: partial(timing.command, [bin_ / program, *rest], cwd=bin_, env=timing.environment())
        for name, (program, *rest) in LINES.items()
    }
    results = timing.in_turn(contestants, rounds=ROUNDS, warmup=2)
    rows = [
        [
            name,
            timing.spread((usage.wall for usage in usages), 3),
            timing.spread(timing.ratios(results, name, BARE)),
        ]
        for name, usages in results.items()
    ]
    print(f"\n{timing.table(['', 'seconds', 'ratio'], rows)}")


if __name__ == "__main__":
    main()
