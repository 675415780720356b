"""A run taken back: a slip of the date cleared away, appended rows removed, and deaths in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from foretell import StartOptions, start
from foretell.errors import UsageError, WarehouseError
from foretell.protocol.keys import Run
from foretell.protocol.records import Receipt, Withdrawn
from tests.acceptance.test_cli import foretell
from tests.support.stage import DELIVERY, PREDICTIONS, ROWS, Stage

FUTURE = (datetime.now(UTC) + timedelta(days=200)).strftime("%Y-%m-%d")
TODAY = 'printf "a,b\\n%s,1\\n" "$FORETELL_DATE" > output/predictions.csv'
APPEND = """
file = "predictions.csv"
mode = "append"
table = "log"
[actions.appends.delivery.columns]
a = "STRING"
b = "INT64"
run = {type = "STRING", from = "@run"}
"""


@pytest.fixture
def applying(stage: Stage) -> Stage:
    stage.action("replaces", TODAY, delivery=DELIVERY)
    stage.action("appends", PREDICTIONS, delivery=APPEND)
    stage.action("piles", PREDICTIONS, delivery=f"{DELIVERY}\nmode = 'append'\ntable = 'pile'")
    return stage


def states(stage: Stage) -> dict[str, str]:
    with duckdb.connect(str(stage.root / ".foretell" / "warehouse.duckdb"), read_only=True) as connection:
        return dict(connection.execute("SELECT run, state FROM foretell.ledger").fetchall())


def dates(stage: Stage) -> list[object]:
    return [day for day, _ in stage.rows()]


# --- dates that lie ahead ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_date_ahead_is_refused_before_anything_is_written(applying: Stage) -> None:
    for verb in ("run", "start", "plan"):
        said = foretell(applying.root, verb, "replaces", "--date", FUTURE)
        assert (said.code, said.out) == (2, "")
        assert "ahead" in said.err
        assert "--future" in said.err
    with pytest.raises(UsageError, match="ahead"):
        start(applying.service, "replaces", asked=StartOptions(date=datetime.now(UTC) + timedelta(minutes=6)))
    assert not (applying.root / ".foretell").exists()


def test_a_clock_may_be_wrong_by_some_minutes_and_a_scheduler_may_be_early(applying: Stage) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=4)
    assert applying.controller.start("replaces", StartOptions(date=soon)).date > datetime.now(UTC)
    ahead = datetime.now(UTC) + timedelta(days=2)
    assert applying.controller.start("replaces", StartOptions(date=ahead, future=True)).date > datetime.now(
        UTC
    )


@pytest.mark.slow
def test_a_slip_of_the_date_is_withdrawn_and_the_table_is_right_again(applying: Stage) -> None:
    slip = foretell(applying.root, "run", "replaces", "--date", FUTURE, "--future", "--json").document["run"]
    today = foretell(applying.root, "run", "replaces", "--json")
    assert (today.code, today.document["state"]) == (0, "superseded")
    assert dates(applying) == [f"{FUTURE}T00:00:00+00:00"]
    told = foretell(applying.root, "run", "replaces").err
    assert f"foretell withdraw {slip}" in told
    withdrawn = foretell(applying.root, "withdraw", slip, "--reason", "a slip", "--json")
    newest = applying.runs("replaces")[1].label
    assert withdrawn.code == 0
    assert withdrawn.document["delivery"] == {"table": "predictions", "state": "withdrawn", "rows": 1}
    assert withdrawn.document["repeat"] == newest
    assert states(applying)[slip] == "withdrawn"
    assert dates(applying) == [f"{FUTURE}T00:00:00+00:00"], "the rows stay until the next delivery"
    assert "withdrawn" in foretell(applying.root, "predictions", "replaces").err
    repeated = foretell(applying.root, *withdrawn.document["next"].split()[1:], "--json")
    assert (repeated.code, repeated.document["state"]) == (0, "succeeded")
    assert dates(applying) == [applying.runs("replaces")[1].date.isoformat(timespec="milliseconds")]
    again = foretell(applying.root, "run", "replaces", "--date", FUTURE, "--future", "--json").document
    assert (again["run"], again["state"]) == (slip.removesuffix("1") + "2", "succeeded"), "its key is free"


@pytest.mark.slow
def test_every_verb_says_that_a_run_is_superseded(applying: Stage) -> None:
    foretell(applying.root, "run", "replaces", "--date", "2026-11-20")
    run = foretell(applying.root, "run", "replaces", "--date", "2026-11-19", "--json").document["run"]
    for verb in ("check", "wait", "show"):
        said = foretell(applying.root, verb, run, "--json")
        assert (said.code, said.document["state"]) == (0, "superseded")
        assert "superseded" in foretell(applying.root, verb, run).out
    listed = foretell(applying.root, "runs", "--json").document["runs"]
    assert {one["run"]: one["state"] for one in listed}[run] == "superseded"
    assert "foretell withdraw" not in foretell(applying.root, "run", "replaces", "--date", "2026-11-18").err


# --- appends ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_rows_of_a_withdrawn_append_go_and_its_date_can_run_again(applying: Stage) -> None:
    first = foretell(applying.root, "run", "appends", "--date", "2026-11-19", "--json").document["run"]
    wrong = foretell(applying.root, "run", "appends", "--date", "2026-11-20", "--json").document["run"]
    said = foretell(applying.root, "withdraw", wrong)
    assert said.code == 0
    assert 'removed from "log"' in said.err
    assert applying.rows("log") == ROWS
    again = foretell(applying.root, "run", "appends", "--date", "2026-11-20", "--json").document
    assert (again["run"], again["state"]) == (wrong.removesuffix("1") + "2", "succeeded")
    assert applying.rows("log") == sorted([*ROWS, *ROWS])
    assert states(applying) == {first: "delivered", wrong: "withdrawn", again["run"]: "delivered"}


@pytest.mark.slow
def test_an_append_whose_rows_cannot_be_told_is_not_withdrawn_at_all(applying: Stage) -> None:
    run = foretell(applying.root, "run", "piles", "--date", "2026-11-19", "--json").document["run"]
    before = applying.records(applying.runs("piles")[0])
    said = foretell(applying.root, "withdraw", run)
    assert (said.code, said.out) == (2, "")
    assert '`from = "@run"`' in said.err
    assert applying.records(applying.runs("piles")[0]) == before
    assert applying.rows("pile") == ROWS


# --- before the delivery, and deaths in between ---------------------------------------------------------------------


def undelivered(stage: Stage, action: str) -> Run:
    """Have a run produce its rows, and its agent die before it delivers them."""
    stage.act("start", action, kills=[("agent", "after", r"create .*/outcome\.json", "both")])
    stage.must_be_struck()
    (run,) = stage.runs(action)
    stage.must_be_dead(stage.machines(run))
    return run


@pytest.mark.slow
def test_a_run_that_is_withdrawn_before_its_delivery_is_never_delivered(applying: Stage) -> None:
    run = undelivered(applying, "appends")
    said = foretell(applying.root, "withdraw", run.label)
    assert said.code == 0
    assert 'not in "log", and never delivered to it from now on' in said.err
    waited = foretell(applying.root, "wait", run.label, "--json").document
    assert (waited["state"], waited["exit_code"]) == ("withdrawn", 6)
    assert foretell(applying.root, "check", run.label).code == 6
    assert states(applying) == {run.label: "withdrawn"}
    with pytest.raises(duckdb.CatalogException):
        applying.rows("log")
    assert foretell(applying.root, "run", "appends", "--date", "2026-11-21T06:00Z").code == 0
    assert applying.rows("log") == ROWS


KILLED = (
    r"create .*/withdrawn\.json",
    r"sql UPDATE foretell\.lock",
    r'sql DELETE FROM "main"',
    r"sql UPDATE foretell\.ledger",
    r"sql COMMIT",
    r"create .*/withdrawal\.json",
)


@pytest.mark.slow
def test_killed_anywhere_while_it_withdraws_whoever_comes_goes_on(applying: Stage) -> None:
    for day, (moment, verb) in enumerate(zip(KILLED, 2 * ("tidy", "wait", "withdraw"), strict=True)):
        when = "after" if moment.startswith("create .*/withdrawn") else "before"
        label = applying.act("start", "appends", str(-day))
        applying.act("wait", label)
        killed = applying.act("withdraw", label, kills=[("withdraw", when, moment, "self")])
        assert killed == "killed", moment
        applying.act(verb, *([] if verb == "tidy" else [label]))
        assert states(applying)[label] == "withdrawn", moment
        run = applying.controller.find(label)
        assert isinstance(applying.read(run.withdrawal, Receipt), Receipt)
        assert applying.rows("log") == [], moment
        assert applying.act("withdraw", label) == "withdrawn"
        assert applying.act("tidy").startswith("ended []")


@pytest.mark.slow
def test_a_warehouse_that_does_not_answer_is_told_later(
    applying: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.controller.controller.PATIENCE_OF_A_VERB", 0.5)
    label = applying.act("start", "replaces")
    applying.act("wait", label)
    file = applying.root / ".foretell" / "warehouse.duckdb"
    kept = file.read_bytes()
    file.write_bytes(b"not a database" * 1000)
    run = applying.controller.find(label)
    with pytest.raises(WarehouseError, match="is withdrawn, and its table does not know it yet"):
        applying.controller.withdraw(run, "")
    assert isinstance(applying.read(run.withdrawn, Withdrawn), Withdrawn)
    file.write_bytes(kept)
    assert applying.controller.wait(run).phase == "succeeded"
    assert states(applying) == {label: "withdrawn"}
