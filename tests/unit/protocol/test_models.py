"""Which model is current: the newest that succeeded, of no future, at a cost that does not grow with history (P8)."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foretell.errors import StoreError
from foretell.protocol import effects, models
from foretell.protocol.effects import Folders, Get, Sleep
from foretell.protocol.keys import Run
from foretell.protocol.models import Answer, Model
from foretell.protocol.records import File, Manifest, Outcome, Receipt, Request, Withdrawn, encode
from foretell.service.delivery import Delivery
from foretell.service.model import Action
from foretell.store import Store
from foretell.store.directory import STORE_RECORD
from tests.support.records import request

JUNE = datetime(2026, 6, 15, 6, tzinfo=UTC)


class History:
    """A store with runs of one action in it, and what is asked of it."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root.as_uri())
        self.store.create(STORE_RECORD, b"{}")
        self.asked: Counter[str] = Counter()
        self.failures = 0

    def perform(self, op: object) -> object:
        match op:
            case Get(key):
                self.asked["get"] += 1
                return self.store.get(key)
            case Folders(prefix):
                if self.failures:
                    self.failures -= 1
                    raise StoreError("no answer")
                self.asked["list"] += 1
                return self.store.folders(prefix)
            case Sleep():
                return None
            case _:
                raise AssertionError(op)

    def add(self, date: datetime, end: str = "produced", *, n: int = 1, **asked: bool) -> Run:
        """A run that ended so: an outcome's kind, "open", "undelivered", or a state of delivery."""
        run = Run("toy", "1", "training", date, n)
        kind = end if end in {"failed", "timeout", "lost", "cancelled"} else "produced"
        delivers = end in {"undelivered", "delivered", "superseded", "rejected"}
        self.write(run.request, asked_for(run, delivers=delivers, **asked))
        if end != "open":
            self.write(
                run.outcome,
                Outcome(kind=kind, attempt=1, by="x", cause="it broke" if kind == "failed" else ""),
            )  # type: ignore[arg-type]
        if end in {"delivered", "superseded", "rejected"}:
            self.write(run.delivery, receipt(run, end))
        return run

    def write(self, key: str, record: object) -> None:
        self.store.create(key, encode(record), durable=False)  # type: ignore[arg-type]

    def current(self, as_of: datetime = JUNE) -> Answer:
        return effects.execute(models.current("toy", "1", "training", as_of), self)  # type: ignore[arg-type]


def asked_for(run: Run, *, delivers: bool, trial: bool = False) -> Request:
    delivery = Delivery(file="x", table="t", columns=()) if delivers else None
    spec = Action(name=run.action, command=("true",), delivery=delivery)
    return request(run, key=run.id, uid=run.id, spec=spec, trial=trial)


def receipt(run: Run, state: str) -> Receipt:
    fields = {"uid": run.id, "table": "t", "scope": "t", "owner": "o", "run": run.label}
    return Receipt(state=state, attempt=1, rows=1, cause="no such column", **fields)  # type: ignore[arg-type]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "store")


def days(number: float) -> datetime:
    return JUNE - timedelta(days=number)


def test_without_runs_there_is_no_model(history: History) -> None:
    assert history.current() == Answer(None, ())


def test_a_run_without_files_is_no_model(history: History) -> None:
    older = history.add(days(2))
    for number, files in ((0.5, ("model",)), (1, ())):
        run = Run("toy", "1", "training", days(number), 1)
        saved = tuple(File(path=name, key=name, sha256="", size=1) for name in files)
        history.write(run.request, asked_for(run, delivers=False))
        # the number of files is 0 in both, as a record has it that does not name one: the manifest says what there is
        history.write(run.outcome, Outcome(kind="produced", attempt=1, by="x", manifest="digest"))
        history.write(run.attempt(1).manifest, Manifest(files=saved, directories=("hollow",)))
    assert history.current(days(0)).model.run == Run("toy", "1", "training", days(0.5), 1)
    answer = history.current(days(1))
    assert answer.model.run == older
    assert [passed.reason for passed in answer.passed] == ["it kept nothing"]


def test_the_newest_date_wins_whenever_it_ended(history: History) -> None:
    newest = history.add(days(1))
    history.add(days(2))
    answer = history.current()
    assert isinstance(answer.model, Model)
    assert answer.model.run == newest


def test_of_one_date_the_larger_number_wins(history: History) -> None:
    for n in (10, 9, 2):
        history.add(days(1), n=n)
    model = history.current().model
    assert model
    assert model.run.n == 10


def test_a_model_of_the_future_is_not_seen(history: History) -> None:
    history.add(JUNE + timedelta(milliseconds=1))
    history.add(JUNE + timedelta(days=40))
    exactly = history.add(JUNE)
    answer = history.current()
    assert answer.model
    assert answer.model.run == exactly
    assert answer.passed == ()


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("open", "it has not ended"),
        ("failed", "failed: it broke"),
        ("timeout", "timeout"),
        ("lost", "lost"),
        ("cancelled", "cancelled"),
        ("undelivered", "its delivery is not finished"),
        ("rejected", "its delivery was rejected: no such column"),
    ],
)
def test_what_did_not_succeed_is_passed_over(history: History, end: str, reason: str) -> None:
    older = history.add(days(2))
    newer = history.add(days(1), end)
    answer = history.current()
    assert answer.model
    assert answer.model.run == older
    assert answer.passed == ((newer, reason),)


@pytest.mark.parametrize("end", ["delivered", "superseded"])
def test_what_was_delivered_is_a_model(history: History, end: str) -> None:
    run = history.add(days(1), end)
    model = history.current().model
    assert model
    assert model.run == run


def test_a_trial_is_no_model(history: History) -> None:
    history.add(days(1), trial=True)
    answer = history.current()
    assert answer.model is None
    assert answer.passed[0].reason == "it is a trial"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (Withdrawn(nonce="x", by="ann@host", reason="leaks"), "withdrawn by ann@host: leaks"),
        (Withdrawn(nonce="x"), "withdrawn"),
    ],
)
def test_a_withdrawn_run_is_no_model(history: History, word: Withdrawn, reason: str) -> None:
    run = history.add(days(1))
    history.write(run.withdrawn, word)
    assert history.current().passed == ((run, reason),)


def test_a_run_whose_request_was_pruned_is_no_model(history: History) -> None:
    run = history.add(days(1))
    history.store.remove(run.request)
    assert history.current().passed == ((run, "it was pruned"),)


def test_other_things_in_the_store_are_no_runs(history: History) -> None:
    history.store.create("toy/1/training/2026-06/notes/readme.txt", b"")
    history.store.create("toy/1/training/backup/x/y", b"")
    run = history.add(days(1))
    model = history.current().model
    assert model
    assert model.run == run


def test_a_listing_that_fails_is_asked_again(history: History) -> None:
    run = history.add(days(1))
    history.failures = 3
    model = history.current().model
    assert model
    assert model.run == run


@pytest.mark.parametrize("date", [JUNE, JUNE.replace(microsecond=120_000), datetime(1999, 1, 1, tzinfo=UTC)])
def test_a_run_is_found_by_its_folder(history: History, date: datetime) -> None:
    run = history.add(date)
    assert effects.execute(models.newest("toy", "1", "training", None), history) == [run]  # type: ignore[arg-type]


def test_the_newest_are_listed_first_and_no_more_than_asked_for(history: History) -> None:
    runs = [history.add(days(number)) for number in (0, 20, 40, 400)]
    for limit in (1, 2, 3, 4, 5):
        found = effects.execute(models.newest("toy", "1", "training", limit), history)  # type: ignore[arg-type]
        assert found == runs[:limit]


def test_the_cost_does_not_grow_with_history(history: History) -> None:
    newest = history.add(JUNE)
    history.current()
    few, history.asked = history.asked, Counter()
    for number in range(1, 3000):
        history.add(days(number / 12))
    assert history.current().model == models.Model(*asked_of(history, newest))
    assert history.asked == few == {"list": 2, "get": 3}


def asked_of(history: History, run: Run) -> tuple[Request, Outcome]:
    asked = effects.execute(effects.ask(run.request, Request), history)  # type: ignore[arg-type]
    outcome = effects.execute(effects.ask(run.outcome, Outcome), history)  # type: ignore[arg-type]
    assert asked
    assert outcome
    history.asked.subtract({"get": 2})
    return asked, outcome
