"""Each date has its own run: today's failure is not made green by yesterday's success, nor a day's model by another's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import duckdb
import pytest

from foretell.protocol import keys
from foretell.protocol.keys import Run
from foretell.protocol.records import Request
from foretell.protocol.rules import Phase
from tests.standins.airflow.components import Components
from tests.support.fleet import APPEND, Fleet, Flight
from tests.support.stage import ROWS

pytestmark = pytest.mark.airflow

YESTERDAY, TODAY = "2026-05-04T06:00:00Z", "2026-05-05T06:00:00Z"
SAYS_SO = """\
echo "Well done"
case "$FORETELL_DATE" in 2026-05-05*) echo "no such column: age" >&2; exit 1;; esac
"""
"""The seed of the lie: a log of today that has yesterday's word for success in it."""

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 30)
MODELS = ("2026-02-20", "2026-03-15")
PARTITION = 'mode = "partition"\npartition = "day"'
COLUMNS = 'columns = {a = "STRING", b = "INT64", model = {type = "STRING", from = "@model"}}'


def test_a_success_of_yesterday_does_not_make_a_failure_of_today_green(shared: Components) -> None:
    fleet = Fleet(shared, "lie")
    fleet.action("daily", SAYS_SO, delivery=APPEND)
    fleet.action("training", SAYS_SO)
    fleet.action("follower", more='after = ["training"]\ninputs = ["training"]', delivery=APPEND)
    fleet.open("daily", "training", "follower")
    fleet.wait_known()
    yesterday, today = (fleet.fly("daily", date=date)["daily"] for date in (YESTERDAY, TODAY))
    training = fleet.fly("training", date=TODAY)["training"]
    fleet.must_land(yesterday, Phase.SUCCEEDED)
    fleet.must_land(today, Phase.FAILED)
    said = shared.log(*today, "check")
    first = next(line for line in said.splitlines() if line.startswith("daily/"))
    assert first == f"{fleet.run(today).label} failed: the command ended with exit code 1"
    assert "\n  no such column: age" in said
    fleet.must_land(training, Phase.FAILED)
    assert shared.runs("lie-follower") == {}  # what comes after a training comes after its success
    fleet.must_be_clean()


def test_a_backfill_gives_each_day_its_run_its_model_and_its_partition(shared: Components) -> None:
    fleet = Fleet(shared, "backfill")
    fleet.action("training")
    fleet.open("training", "application")
    fleet.wait_known()
    models = {day: fleet.fly("training", date=f"{day}T12:00:00Z")["training"] for day in MODELS}
    for flight in models.values():
        fleet.must_land(flight, Phase.SUCCEEDED)
    # not before there are models, for the newest tick is due as soon as Airflow knows the graph
    fleet.action(
        "application",
        more='schedule = "0 7 * * *"\ninputs = ["training"]',
        delivery=f"{PARTITION}\n{COLUMNS}",
    )
    fleet.wait_known()

    dag = "backfill-application"
    body = {
        "dag_id": dag,
        "from_date": f"{FIRST}T00:00:00Z",
        "to_date": f"{LAST}T23:59:00Z",
        "max_active_runs": 6,
    }
    _backfill(shared, body)
    days = [FIRST + timedelta(number) for number in range((LAST - FIRST).days + 1)]
    ids = shared.until(lambda: len(found := _of_backfill(shared, dag)) == len(days) and found, "30 runs")
    flown = {fleet.run(flight).date: flight for flight in _landed(fleet, dag, ids)}
    assert sorted(flown) == [datetime(day.year, day.month, day.day, 7, tzinfo=UTC) for day in days]

    runs = {MODELS[0]: fleet.run(models[MODELS[0]]), MODELS[1]: fleet.run(models[MODELS[1]])}
    expected = []
    for moment, flight in flown.items():
        model = runs[MODELS[moment.date() > date.fromisoformat(MODELS[1])]]
        assert _pinned(fleet, fleet.run(flight)) == [model]
        expected += [(*row, model.id, moment.date()) for row in ROWS]
    assert _rows(fleet) == sorted(expected)
    for other in set(shared.runs(dag)) - set(ids):  # that of the newest tick, which nobody asked for
        fleet.must_land(Flight(dag, other), Phase.SUCCEEDED)
    fleet.must_be_clean()


def _backfill(shared: Components, body: dict[str, object]) -> None:
    """Ask for a backfill until it is there: Airflow refuses it where SQLite is busy, and its database always is."""

    def asked() -> bool:
        try:
            shared.call("POST", "backfills", body)
        except AssertionError as error:
            if "locked" in str(error) or "there is" in str(error):
                return bool(shared.get(f"backfills?dag_id={body['dag_id']}")["backfills"])
            raise
        return True

    shared.until(asked, "a backfill")


def _of_backfill(shared: Components, dag: str) -> list[str]:
    return [run for run in shared.runs(dag) if run.startswith("backfill")]


def _landed(fleet: Fleet, dag: str, ids: list[str]) -> list[Flight]:
    flights = [Flight(dag, name) for name in ids]
    for flight in flights:
        fleet.must_land(flight, Phase.SUCCEEDED)
    return flights


def _pinned(fleet: Fleet, run: Run) -> list[Run]:
    request = fleet.stage.read(run.request, Request)
    assert isinstance(request, Request)
    return [keys.run_of(pin.run) for pin in request.inputs]


def _rows(fleet: Fleet) -> list[tuple[object, ...]]:
    warehouse = fleet.stage.root / ".foretell" / "warehouse.duckdb"
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        query = "SELECT a, b, model, day FROM application WHERE day <= ?"
        return sorted(connection.execute(query, [LAST]).fetchall())
