"""What copies cost: a snapshot and a working directory of a large file and of many small ones, against `cp -r`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import timing
from bench.artifacts import fill_with_many, fill_with_one
from bench.timing import Usage
from foretell.sources.copying import copy_directory
from foretell.sources.digests import SETTLED
from foretell.sources.snapshot import freeze
from foretell.sources.tree import scan

ROUNDS = 5


def main() -> None:
    """Print a table for each of the two directories."""
    parser = argparse.ArgumentParser(prog="python -m bench.copies", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    print(timing.machine())
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as place:
        for name, fill in (("2,000 files of 4 KiB", fill_with_many), ("one file of 1 GiB", fill_with_one)):
            home = Path(place, name.replace(" ", "-"))
            root = home / "service"
            root.mkdir(parents=True)
            fill(root)
            time.sleep(2 * SETTLED / 1e9)  # a file that has just been written is not remembered
            print(f"\n{name}\n\n{_compared(home, root, rounds)}")
            shutil.rmtree(home)


def _compared(home: Path, root: Path, rounds: int) -> str:
    kept = home / "kept-before" / "snapshots"
    _, snapshot = freeze(scan(root, []), kept)
    contestants = {
        "`cp -r`": partial(
            _go, home / "cp", lambda to: subprocess.run(["cp", "-r", root, to / "x"], check=True)
        ),
        "first start: the snapshot": partial(
            _go, home / "new", lambda to: freeze(scan(root, []), to / "snapshots")
        ),
        "next start: nothing changed": partial(_go, home / "old", lambda _: freeze(scan(root, []), kept)),
        "next start: another file changed": partial(_go, home / "other", lambda _: _changed(root, kept)),
        "the working directory": partial(_go, home / "work", lambda to: copy_directory(snapshot, to)),
    }
    results = timing.in_turn(contestants, rounds=rounds)
    bare = next(iter(contestants))
    rows = [
        [
            name,
            timing.spread((usage.wall for usage in usages), 3),
            timing.spread(timing.ratios(results, name, bare)),
        ]
        for name, usages in results.items()
    ]
    return timing.table(["", "seconds", f"against {bare}"], rows)


def _changed(root: Path, snapshots: Path) -> None:
    (root / "main.py").write_bytes(os.urandom(100))
    freeze(scan(root, []), snapshots)


def _go(to: Path, work: Callable[[Path], object]) -> Usage:
    """Begin with an empty place, and with nothing of others left to be written."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    os.sync()
    return timing.call(lambda: work(to))


if __name__ == "__main__":
    main()
