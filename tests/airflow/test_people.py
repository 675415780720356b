"""What people do to a run in Airflow, and what becomes of it in the store: the two always agree."""

from __future__ import annotations

import pytest

from tests.airflow.toy import Toy
from tests.standins.airflow.components import Components

pytestmark = pytest.mark.airflow

DAG = "toy-training"


@pytest.fixture(scope="module")
def toy(shared: Components) -> Toy:
    found = Toy(shared.dags / "toy")
    shared.wait_dags(DAG, "toy-application")
    return found


def begin(shared: Components, toy: Toy) -> str:
    """Start a training that waits at the gate, and wait until Airflow waits for it; give its run."""
    toy.shut()
    before = len(toy.began("training"))
    run = shared.trigger(DAG)
    toy.wait_begun("training", before + 1)
    shared.wait_task(DAG, run, "wait", "deferred")
    return run


def ended_red(shared: Components, toy: Toy, run: str) -> None:
    """The run has failed, and in the store it is cancelled, with nothing of it alive."""
    assert shared.wait_run(DAG, run) == "failed"
    assert shared.wait_task(DAG, run, "stop") == "failed"
    assert shared.runs(DAG)[run] == "failed"
    assert toy.runs("training")[-1][1] == "cancelled"
    assert not toy.alive()


def test_a_task_marked_failed_ends_the_machine(shared: Components, toy: Toy) -> None:
    run = begin(shared, toy)
    shared.mark(DAG, run, "wait", "failed")
    ended_red(shared, toy, run)


def test_a_run_marked_failed_ends_the_machine_and_stays_red(shared: Components, toy: Toy) -> None:
    run = begin(shared, toy)
    shared.mark(DAG, run, None, "failed")
    ended_red(shared, toy, run)


def test_a_wait_marked_success_does_not_make_an_open_run_green(shared: Components, toy: Toy) -> None:
    run = begin(shared, toy)
    shared.mark(DAG, run, "wait", "success")
    ended_red(shared, toy, run)
    assert shared.states(DAG, run)["check"] == "failed"


def test_a_run_marked_success_does_not_make_an_open_run_green(shared: Components, toy: Toy) -> None:
    run = begin(shared, toy)
    shared.mark(DAG, run, None, "success")
    ended_red(shared, toy, run)


def test_clearing_wait_goes_on_with_the_run(shared: Components, toy: Toy) -> None:
    run = begin(shared, toy)
    before = toy.runs("training")
    shared.clear(DAG, run, "wait")
    shared.until(lambda: shared.tasks(DAG, run)["wait"]["try_number"] == 2, "the second try of wait")
    shared.wait_task(DAG, run, "wait", "deferred")
    assert toy.alive()
    toy.open()
    assert shared.wait_run(DAG, run) == "success"
    assert toy.runs("training") == [*before[:-1], (before[-1][0], "succeeded")]


def test_clearing_start_stops_the_run_and_begins_another_of_its_date(shared: Components, toy: Toy) -> None:
    run = begin(shared, toy)
    (old, _), begun = toy.runs("training")[-1], len(toy.began("training"))
    shared.clear(DAG, run, "start")
    toy.wait_begun("training", begun + 1)
    toy.open()
    assert shared.wait_run(DAG, run) == "success"
    assert toy.runs("training")[-2:] == [(old, "cancelled"), (old.replace("Z-1", "Z-2"), "succeeded")]
    assert not toy.alive()


def test_a_failure_says_why_in_its_first_line_and_cannot_be_painted_green(
    shared: Components, toy: Toy
) -> None:
    toy.open()
    toy.fail("training")
    try:
        run = shared.trigger(DAG)
        assert shared.wait_run(DAG, run) == "failed"
    finally:
        toy.fail("training", bad=False)
    states = shared.states(DAG, run)
    assert (states["start"], states["wait"], states["check"]) == ("success", "success", "failed")
    said = shared.log(DAG, run, "check")
    first = next(line for line in said.splitlines() if line.startswith("training/"))
    assert first.endswith("failed: the command ended with exit code 7")
    assert "\n  no luck" in said
    assert shared.xcom(DAG, run, "check")["cause"] == "the command ended with exit code 7"
    shared.mark(DAG, run, "check", "success")
    shared.until(lambda: shared.runs(DAG)[run] == "failed", "a run that stays red")
    assert shared.states(DAG, run)["stop"] == "failed"


def test_an_application_without_a_model_is_red_with_the_reason_in_its_first_line(shared: Components) -> None:
    toy = Toy(shared.dags / "fresh", name="fresh")
    toy.fail("training")
    shared.wait_dags("fresh-training", "fresh-application")
    run = shared.trigger("fresh-training")
    assert shared.wait_run("fresh-training", run) == "failed"
    run = shared.trigger("fresh-application")
    assert shared.wait_run("fresh-application", run) == "failed"
    said = shared.log("fresh-application", run, "start")
    (reason,) = [line for line in said.splitlines() if line.startswith('"application" needs a model')]
    assert reason.endswith("is none: failed: the command ended with exit code 7")
    assert toy.runs("application") == []


def test_what_is_cleared_after_its_success_leaves_its_rows_there_once(shared: Components) -> None:
    toy = Toy(shared.dags / "again", name="again")
    dag = "again-application"
    shared.wait_dags("again-training", dag)
    assert shared.wait_run("again-training", shared.trigger("again-training")) == "success"
    (run,) = shared.until(lambda: list(shared.runs(dag)), "the application")
    assert shared.wait_run(dag, run) == "success"
    first = toy.runs("application")
    assert toy.count("predictions") == 2

    shared.clear(dag, run, "wait")
    shared.until(lambda: shared.tasks(dag, run)["wait"]["try_number"] == 2, "the second try of wait")
    assert shared.wait_run(dag, run) == "success"
    assert toy.runs("application") == first
    assert toy.count("predictions") == 2

    shared.clear(dag, run, "start")
    shared.until(lambda: shared.tasks(dag, run)["start"]["try_number"] == 2, "the second try of start")
    assert shared.wait_run(dag, run) == "success"
    assert [state for _, state in toy.runs("application")] == ["succeeded", "succeeded"]
    assert toy.count("predictions") == 2
    assert not toy.alive()


def test_a_run_whose_graph_is_deleted_goes_on_to_its_end_by_itself(shared: Components) -> None:
    toy = Toy(shared.dags / "gone", name="gone")
    dag = "gone-training"
    shared.wait_dags(dag)
    toy.shut()
    run = shared.trigger(dag)
    toy.wait_begun("training")
    shared.wait_task(dag, run, "wait", "deferred")
    shared.call("DELETE", f"dags/{dag}")
    shared.until(lambda: dag in {one["dag_id"] for one in shared.get("dags?limit=1000")["dags"]}, "the graph")
    assert shared.runs(dag) == {}
    assert [state for _, state in toy.runs("training")] == ["running"]
    toy.open()
    shared.until(lambda: [state for _, state in toy.runs("training")] == ["succeeded"], "its success")
    shared.until(lambda: not toy.alive(), "its machine's end")
    assert len(toy.began("training")) == 1
