"""Saving and loading an output, hashed, verified and durable, against `cp -r` on the same file system."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import timing
from bench.timing import Usage
from foretell.protocol.keys import Attempt
from foretell.protocol.records import StoreId, encode
from foretell.store import Store, artifacts, contents
from foretell.store.directory import STORE_RECORD

ROUNDS = 5
MANY, SMALL = 2000, 4096
LARGE = 2**30
ATTEMPT = Attempt("bench/1/training/2026-11/20261121T060000Z-1/attempts/1", 1)


def main() -> None:
    """Print a table for each of the two outputs."""
    print(timing.machine())
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as place:
        for name, make in (("2,000 files of 4 KiB", fill_with_many), ("one file of 1 GiB", fill_with_one)):
            home = Path(place, name.replace(" ", "-"))
            output = home / "output"
            output.mkdir(parents=True)
            make(output)
            print(f"\n{name}\n\n{_compared(home, output)}")
            shutil.rmtree(home)


def fill_with_many(output: Path) -> None:
    """Write 2,000 files of 4 KiB, in 20 folders."""
    for number in range(MANY):
        folder = output / f"{number % 20:02d}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number:04d}").write_bytes(os.urandom(SMALL))


def fill_with_one(output: Path) -> None:
    """Write one file of 1 GiB."""
    with (output / "model").open("wb") as file:
        for _ in range(LARGE // 2**20):
            file.write(os.urandom(2**20))


def _compared(home: Path, output: Path) -> str:
    """Measure; a copy that is to be loaded stands in a store of its own."""
    store = _store(home / "kept")
    manifest = artifacts.save(store, ATTEMPT, contents.survey(output))
    contestants = {
        "`cp -r`": partial(_go, home / "cp", lambda to: _copy(output, to)),
        "`cp -r`, then `sync`": partial(_go, home / "cp", lambda to: _copy(output, to, sync=True)),
        "`artifacts.save`": partial(_go, home / "saved", lambda to: _save(output, to)),
        "`artifacts.load`": partial(
            _go, home / "loaded", lambda to: artifacts.load(store, manifest.files, to)
        ),
    }
    results = timing.in_turn(contestants, rounds=ROUNDS)
    bare, durable, *_ = contestants
    rows = [
        [
            name,
            timing.spread((usage.wall for usage in usages), 3),
            timing.spread(timing.ratios(results, name, bare)),
            timing.spread(timing.ratios(results, name, durable)),
        ]
        for name, usages in results.items()
    ]
    return timing.table(["", "seconds", f"against {bare}", f"against {durable}"], rows)


def _go(to: Path, work: Callable[[Path], object]) -> Usage:
    """Begin with an empty place, and with nothing of others left to be written."""
    shutil.rmtree(to, ignore_errors=True)
    os.sync()
    return timing.call(lambda: work(to))


def _copy(output: Path, to: Path, *, sync: bool = False) -> None:
    subprocess.run(["cp", "-r", output, to], check=True)
    if sync:
        os.sync()


def _save(output: Path, to: Path) -> None:
    artifacts.save(_store(to), ATTEMPT, contents.survey(output))


def _store(place: Path) -> Store:
    store = Store(place.as_uri())
    store.create(STORE_RECORD, encode(StoreId(id="bench")), durable=False)
    return store


if __name__ == "__main__":
    main()
