"""Runs that were taken back: what follows for a key, for whoever waits, and for the rows in their place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from foretell import StartOptions
from foretell.controller import tidy
from foretell.controller.resolve import must_not_lie_ahead
from foretell.errors import UsageError
from foretell.protocol import effects, keys, models, steps
from foretell.protocol.keys import Run
from foretell.protocol.records import Outcome, Receipt, Request, Withdrawn
from foretell.protocol.rules import (
    EXIT_CODES,
    Deliver,
    Finish,
    Observations,
    Phase,
    Records,
    Revoke,
    next_step,
    observe,
)
from tests.support.past import NOON, Past

TOML = """
    name = "toy"
    [actions.application]
    command = "true"
    [actions.application.delivery]
    file = "predictions.csv"
    mode = "{mode}"
    {more}
    columns = "a:STRING"
"""
WORD = Withdrawn(nonce="w", by="ann@host", table=True)


def service(root: Path, mode: str = "replace") -> Past:
    more = 'partition = "day"' if mode == "partition" else ""
    return Past(root / "service", TOML.format(mode=mode, more=more))


def request_of(past: Past, run: Run) -> Request:
    return past.controller.request(run)


# --- what is due ------------------------------------------------------------------------------------------------------


def records(past: Past, run: Run) -> Records:
    """Everything that a waiter reads of a run, as it does."""
    witness = past.controller.witness(request_of(past, run))
    past.controller.execute(witness.look())
    return witness.records


@pytest.mark.parametrize("end", ["delivered", "superseded", "undelivered"])
def test_a_withdrawal_that_the_ledger_may_not_know_is_due_at_once(tmp_path: Path, end: str) -> None:
    past = service(tmp_path)
    run = past.add(NOON, end, action="application")
    assert not isinstance(next_step(records(past, run), Observations()), Revoke)
    past.write(run.withdrawn, WORD)
    assert isinstance(next_step(records(past, run), Observations()), Revoke)


def test_a_withdrawal_that_the_ledger_knows_is_over(tmp_path: Path) -> None:
    past = service(tmp_path)
    run = past.add(NOON, "delivered", action="application")
    delivered = past.controller.execute(effects.get(run.delivery, Receipt))
    past.write(run.withdrawn, WORD)
    past.write(run.withdrawal, replace(delivered, state="withdrawn"))
    assert isinstance(next_step(records(past, run), Observations()), Finish)
    assert past.controller.check(run).phase is Phase.SUCCEEDED, "what it was is not taken back"


def test_the_word_of_an_older_foretell_was_about_the_model_and_no_row_goes_by_itself(tmp_path: Path) -> None:
    past = service(tmp_path, "append")
    run = past.add(NOON, "delivered", action="application")
    past.write(run.withdrawn, replace(WORD, table=False))
    assert isinstance(next_step(records(past, run), Observations()), Finish)
    assert tidy.tidy(past.controller) == tidy.Tidied()
    assert past.controller.execute(effects.get(run.withdrawal, Receipt)) is None


def test_of_a_model_nothing_but_the_word_is_needed(tmp_path: Path) -> None:
    past = Past(tmp_path / "service")
    run = past.add(NOON)
    past.write(run.withdrawn, WORD)
    assert isinstance(next_step(records(past, run), Observations()), Finish)


@pytest.mark.parametrize(
    ("state", "phase", "code"),
    [
        ("delivered", "succeeded", 0),
        ("superseded", "superseded", 0),
        ("rejected", "rejected", 5),
        ("withdrawn", "withdrawn", 6),
    ],
)
def test_the_first_word_about_the_row_is_how_a_run_ended(
    tmp_path: Path, state: str, phase: str, code: int
) -> None:
    past = service(tmp_path)
    run = past.add(NOON, "undelivered", action="application")
    found = records(past, run)
    assert not isinstance(next_step(found, Observations()), Deliver), "its agent may be about to"
    receipt = Receipt(uid="u", state=state, table="t", scope="t", owner="o", run=run.label, attempt=1, rows=0)
    told = observe(
        Records(request=found.request, launches=found.launches, outcome=found.outcome, delivery=receipt),
        Observations(),
    )
    assert (told.phase, told.exit_code, told.phase.ended, told.phase.success) == (
        phase,
        code,
        True,
        code == 0,
    )


def test_what_succeeded_is_what_exits_with_0() -> None:
    assert {phase for phase in Phase if phase.success} == {
        phase for phase, code in EXIT_CODES.items() if code == 0
    }
    assert Phase.SUPERSEDED.success
    assert not Phase.WITHDRAWN.success


# --- its key ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["delivered", "superseded", "undelivered"])
def test_the_key_of_a_withdrawn_run_begins_another(tmp_path: Path, end: str) -> None:
    past = service(tmp_path)
    key = keys.key("application", NOON)
    run = past.add(NOON, end, action="application", key=key)
    request = request_of(past, run)

    def ask() -> steps.StartResult:
        wanted = steps.Place(run, key)
        found = past.controller.execute(steps.find(wanted, again=True))
        if isinstance(found, Request):
            return steps.StartResult(found, new=False)
        mine = replace(request, n=found.run.n, key=found.key)
        return past.controller.execute(steps.submit(wanted, mine, again=True))

    assert (ask().run, ask().new) == (run, False)
    past.write(run.withdrawn, WORD)
    first, second = ask(), ask()
    assert (first.run.n, first.new, first.request.key) == (2, True, f"{key}#2")
    assert (second.run, second.new) == (first.run, False)


# --- what stands in its place -----------------------------------------------------------------------------------------


def substitute(past: Past, run: Run) -> Run | None:
    model = past.controller.execute(models.substitute(request_of(past, run)))
    return model.run if model else None


def test_the_newest_other_success_stands_in_the_place_of_a_withdrawn_run(tmp_path: Path) -> None:
    past = service(tmp_path)
    past.add(NOON - timedelta(days=40), "delivered", action="application")
    wanted = past.add(NOON - timedelta(days=2), "superseded", action="application")
    past.add(NOON - timedelta(days=1), "rejected", action="application")
    past.write(past.add(NOON, "superseded", action="application").withdrawn, WORD)
    slip = past.add(NOON + timedelta(days=300), "delivered", action="application")
    past.write(slip.withdrawn, WORD)
    assert substitute(past, slip) == wanted


def test_a_partition_is_only_filled_by_a_run_of_its_own(tmp_path: Path) -> None:
    past = service(tmp_path, "partition")
    own = [past.add(NOON, "delivered", action="application", n=n) for n in (1, 2)]
    past.add(NOON + timedelta(days=1), "delivered", action="application")
    past.write(own[1].withdrawn, WORD)
    assert substitute(past, own[1]) == own[0]
    past.write(own[0].withdrawn, WORD)
    assert substitute(past, own[1]) is None


def test_nothing_stands_in_the_place_of_appended_rows(tmp_path: Path) -> None:
    past = service(tmp_path, "append")
    past.add(NOON - timedelta(days=1), "delivered", action="application")
    assert substitute(past, past.add(NOON, "delivered", action="application")) is None


# --- dates that lie ahead ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "future", "refused"), [(4, False, False), (6, False, True), (6, True, False)]
)
def test_a_date_may_lie_five_minutes_ahead(minutes: int, future: bool, refused: bool) -> None:
    asked = StartOptions(date=datetime.now(UTC) + timedelta(minutes=minutes), future=future)
    if not refused:
        must_not_lie_ahead(asked)
        return
    with pytest.raises(UsageError, match=r"lies 0\.1 hours ahead") as caught:
        must_not_lie_ahead(asked)
    assert "--future" in caught.value.hint


def test_a_run_without_an_outcome_is_not_withdrawn(tmp_path: Path) -> None:
    past = service(tmp_path)
    run = past.add(NOON, "open", action="application")
    with pytest.raises(UsageError, match="has not ended"):
        past.controller.withdraw(run, "")
    assert past.controller.execute(effects.get(run.withdrawn, Withdrawn)) is None
    assert past.controller.execute(effects.get(run.outcome, Outcome)) is None
