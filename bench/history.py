"""What a long history costs: `foretell runs` and `foretell models` on stores with one run an hour."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bench import timing
from bench.timing import Contestant
from foretell import load
from foretell.protocol.keys import Run, machine
from foretell.protocol.records import (
    Beat,
    Claimed,
    Exit,
    Launch,
    Manifest,
    Outcome,
    Record,
    Request,
    StoreId,
    encode,
)
from foretell.service.model import Service
from foretell.store.directory import STORE_RECORD
from foretell.system.times import rfc3339

MODEL = Path(__file__).parent / "model"
ROUNDS = 15
SHORT, LONG, LONGEST = 100, 10_000, 100_000
NEWEST = datetime(2026, 11, 21, 6, tzinfo=UTC)


def main() -> None:
    """Print one table."""
    print(timing.machine())
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as place:
        contestants = {
            f"`foretell {verb}` among {count:,} runs": _foretell(
                _service(Path(place, str(count)), count), verb
            )
            for verb, count in (("runs", SHORT), ("runs", LONG), ("models", SHORT), ("models", LONGEST))
        }
        results = timing.in_turn(contestants, rounds=ROUNDS)
    rows = []
    for number, (name, usages) in enumerate(results.items()):
        base = list(results)[number // 2 * 2]
        rows.append(
            [
                name,
                timing.spread((usage.wall for usage in usages), 3),
                timing.spread(timing.ratios(results, name, base)),
            ]
        )
    print(f"\n{timing.table(['', 'seconds', 'against 100 runs'], rows)}")


def _foretell(home: Path, verb: str) -> Contestant:
    foretell = Path(sys.executable).with_name("foretell")
    return partial(timing.command, [foretell, verb], cwd=home, env=timing.environment())


def _service(home: Path, count: int) -> Path:
    """Make a service whose training has run every hour."""
    if home.exists():
        return home
    shutil.copytree(MODEL, home)
    service = load(home / "foretell.toml")
    store = home / ".foretell" / "store"
    store.mkdir(parents=True)
    (store / STORE_RECORD).write_bytes(encode(StoreId(id="bench")))
    for age in range(count):
        run = Run(service.name, service.version, "training", NEWEST - timedelta(hours=age), 1)
        # Everything on record of the newest; of the older ones, what makes them runs that have succeeded.
        for key, record in _records(service, run, everything=age < LONG):
            path = store / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(record))
    return home


def _records(service: Service, run: Run, *, everything: bool) -> Iterator[tuple[str, Record]]:
    """Give a succeeded run as a real one leaves it."""
    at = rfc3339(run.date)
    uid = f"{run.date:%Y%m%d%H}"
    attempt = run.attempt(1)
    yield (
        run.request,
        Request(
            key=f"{run.action}@{at}",
            uid=uid,
            service=run.service,
            version=run.version,
            action=run.action,
            date=at,
            n=run.n,
            store="bench",
            spec=service.actions[run.action],
            target=service.targets["local"],
            source=service.source,
            fingerprint="0" * 64,
            is_model=True,
            asked_at=at,
            asked_by="bench",
        ),
    )
    yield run.outcome, Outcome(kind="produced", attempt=1, by=uid, manifest="0" * 64, at=at)
    if everything:
        name = machine(run.service, run.action, 1, uid)
        yield attempt.launch, Launch(nonce=uid, machine=name, failures_left=0, losses_left=2, at=at)
        yield attempt.claim, Claimed(nonce=uid, boot=uid, at=at)
        yield attempt.beat, Beat(nonce=uid, seq=1, at=at)
        yield attempt.exit, Exit(nonce=uid, code=0, at=at)
        yield attempt.manifest, Manifest(files=())


if __name__ == "__main__":
    main()
