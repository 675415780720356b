"""The seed's whole day on Google Cloud: build, push, train, apply; a month of days; two at once; and a day too early."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.acceptance.test_seed import make
from tests.standins.containers.engine import Engine, running
from tests.support.production import Production
from tests.support.theatre import ROWS, Theatre

NEEDED = "requirements.txt"
DAY = datetime(2026, 10, 1, 6, tzinfo=UTC)
EARLIER = datetime(2026, 9, 1, 6, tzinfo=UTC)
"""Tests share a bucket, and a date that has succeeded there is not run again: each has days of its own."""
SEED_ROWS = [f"{number:04}" for number in range(1, 9)]
PARTITION = 'mode = "partition"\npartition = "day"\n'


def rows_of(production: Production) -> list[dict[str, object]]:
    """The delivered rows, as the command line shows them."""
    shown = json.loads(production.foretell("predictions", "--json").stdout)
    found: list[dict[str, object]] = shown["rows"]
    return found


def must_have_left_nothing_but_the_record(production: Production, *actions: str) -> None:
    """Every machine is gone, and each run is on record with how it ended."""
    production.must_leave_nothing()
    listed = json.loads(production.foretell("runs", "--json").stdout)
    told = sorted((run["action"], run["state"]) for run in listed["runs"])
    assert told == sorted((action, "succeeded") for action in actions)
    assert len(production.cloud.compute.past) == len(actions)
    assert not production.cloud.stand_in.complaints


def test_a_services_whole_day(production: Production) -> None:
    production.command("training", "echo learned > output/model")
    production.command(
        "application",
        r'[ "$(cat output/model)" = learned ] && printf "a,b\nx,1\ny,2\n" > output/predictions.csv',
        more='inputs = ["training"]\n[actions.application.delivery]\nfile = "predictions.csv"\n'
        'columns = "a:STRING,b:INT64"\n',
    )
    production.build()
    for action in ("training", "application"):
        production.foretell("run", action)
    assert sorted((row["a"], row["b"]) for row in rows_of(production)) == ROWS
    must_have_left_nothing_but_the_record(production, "training", "application")


def test_the_day_of_a_service_laid_out_as_in_the_seed_articles(
    production: Production, engine: Engine, tmp_path: Path
) -> None:
    """Its two repositories, one a submodule of the other, and its service file with a target more."""
    service = make(tmp_path / "seed")
    needed = [file.read_text().split() for file in (service / "source" / NEEDED, service / NEEDED)]
    engine.fetch([requirement for file in needed for requirement in file])
    (service / ".python-version").write_text(running())
    production.adopt(service)
    production.build()
    for action in ("training", "application"):
        production.foretell("run", action)
    rows = sorted(rows_of(production), key=lambda row: str(row["player_id"]))
    assert [row["player_id"] for row in rows] == SEED_ROWS
    assert [row["player_id"] for row in rows if row["label"]] == ["0002", "0004", "0005", "0007"]
    must_have_left_nothing_but_the_record(production, "training", "application")


def test_two_runs_at_once_have_a_machine_each(theatre: Theatre) -> None:
    theatre.conductor.tell("application", "wait")
    runs = [theatre.start("application", date=EARLIER + timedelta(days=day)) for day in range(2)]
    for run in runs:
        theatre.conductor.await_run(run.label)
    assert len(theatre.compute.alive) == 2
    theatre.conductor.tell("application", "succeed")
    waiters = [threading.Thread(target=theatre.wait, args=(run,)) for run in runs]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join()
    for run in runs:
        assert theatre.production.controller.check(run).phase.success  # the later date may be delivered first
    assert theatre.rows() == ROWS
    theatre.production.must_leave_nothing()
    theatre.conductor.must_not_overlap()


def test_a_run_a_day_for_a_month_with_a_backfill_in_the_middle(theatre: Theatre) -> None:
    """Each day's rows stand once, those of the day that was run again come from the run that came last."""
    theatre.set_delivery(PARTITION)
    days = [DAY + timedelta(days=day) for day in range(30)]
    for day in (*days[:15], *days[20:], *days[15:20]):
        run = theatre.play("application", date=day)
        assert theatre.production.controller.check(run).phase == "succeeded"
    counted = Counter(str(row[-1]) for row in theatre.rows())
    assert counted == {f"{day:%Y-%m-%d}": len(ROWS) for day in days}
    assert len(theatre.compute.past) == len(days)
    theatre.production.must_leave_nothing()
    again = theatre.play("application", date=days[0])
    assert again.n == 1, "a day that has succeeded is not run again"
    assert len(theatre.compute.past) == len(days)


def test_applying_before_anything_was_trained_starts_no_machine(theatre: Theatre, bucket: str) -> None:
    production = theatre.production
    production.bucket = bucket
    theatre.write()
    refused = production.foretell("run", "application", code=2)
    assert "training" in refused.stderr
    assert not production.cloud.compute.past
    assert not production.cloud.stand_in.seen("compute.instances.insert")
