"""`foretell tick` as cron calls it: what waits, what begins when, and how runs ended, told once."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from foretell.protocol.keys import Run
from foretell.protocol.records import FirstSight, Told
from tests.acceptance.test_cli import Said, foretell
from tests.support.stage import PREDICTIONS, Stage, eventually

MINUTELY = 'schedule = "* * * * *"'


def tick(stage: Stage, *args: str, **more: str) -> Said:
    return foretell(stage.root, "tick", *args, FORETELL_CACHE=str(stage.root.with_name("cache")), **more)


def document(stage: Stage, *args: str) -> Any:
    return tick(stage, "--json", *args).document


def told(stage: Stage, run: Run) -> Told | None:
    found = stage.read(run.told, Told)
    assert found is None or isinstance(found, Told)
    return found


def started(stage: Stage, action: str, *args: str) -> Run:
    return stage.controller.find(foretell(stage.root, "start", action, *args).out.strip())


def over(stage: Stage, run: Run) -> None:
    eventually(lambda: stage.controller.check(run).phase.ended, "it does not end", within=20)


@pytest.fixture
def minutely(stage: Stage) -> Stage:
    """An action that is due every minute, and whose command lasts until it is let go."""
    stage.action("training", f'while [ ! -e "{stage.root}/go" ]; do sleep 0.05; done; exit 7', more=MINUTELY)
    return stage


def test_runs_of_one_action_do_not_overlap(minutely: Stage) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    dates = [f"{now - timedelta(minutes=ago):%Y-%m-%dT%H:%M:00Z}" for ago in (2, 1, 0)]
    said = [tick(minutely, "--date", date) for date in dates]

    (run,) = minutely.runs("training")
    assert [one.code for one in said] == [0, 0, 0]
    assert said[0].out == f"{run.label}\n"
    for one, date in zip(said[1:], dates[1:], strict=True):
        assert one.out == ""
        shown = date.replace("Z", "+00:00")
        assert one.err.startswith(f"training of {shown} waits for {run.label} (")
    waiting = document(minutely, "--date", dates[2])
    assert [line.partition(" waits for ")[2].partition(" ")[0] for line in waiting["waiting"]] == [run.label]

    (minutely.root / "go").touch()
    over(minutely, run)
    late = document(minutely, "--date", dates[2])
    assert late["started"] == [f"training/{now:%Y%m%dT%H%M%SZ}-1"]
    assert late["ended"] == [
        {"run": run.label, "state": "failed", "cause": "the command ended with exit code 7"}
    ]
    foretell(minutely.root, "wait", late["started"][0])


def test_a_run_by_hand_holds_a_due_one_up_and_overlap_allows_both(minutely: Stage) -> None:
    by_hand = started(minutely, "training")
    assert document(minutely, "--date", "2026-06-01T00:00:00Z")["started"] == []
    minutely.action("training", "exit 7", more=f"{MINUTELY}\noverlap = true")
    assert document(minutely, "--date", "2026-06-01T00:00:00Z")["started"] == ["training/20260601T000000Z-1"]
    foretell(minutely.root, "stop", by_hand.label)


@pytest.mark.parametrize(
    ("script", "more", "state", "code"),
    [
        ("exit 7", "", "failed", 1),
        ("sleep 9", "timeout = 0.2", "timeout", 1),
        ("echo model > output/model", "", "succeeded", 0),
    ],
)
def test_an_end_that_nobody_has_seen_is_told_once(
    stage: Stage, script: str, more: str, state: str, code: int
) -> None:
    stage.action("training", script, more=more)
    run = started(stage, "training")
    over(stage, run)
    assert told(stage, run) is None
    said = tick(stage)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(f"{state:9} {run.label}")
    assert (f"next: `foretell show {run.label} --on local`" in said.err) == bool(code)
    word = told(stage, run)
    assert word
    assert word.by.startswith("tick, ")
    again = tick(stage)
    assert (again.code, again.out, again.err) == (0, "", "")


def test_rejected_rows_are_told_with_their_cause_and_a_cancelled_run_is_no_failure(stage: Stage) -> None:
    stage.action("delivers", PREDICTIONS, delivery='file = "predictions.csv"\ncolumns = "a:INT64,b:INT64"')
    stage.action("lasts", "sleep 100")
    rejected, cancelled = started(stage, "delivers"), started(stage, "lasts")
    foretell(stage.root, "stop", cancelled.label, "--cause", "wrong month")
    over(stage, rejected)

    said = tick(stage, "--json")
    ended = {one["run"]: one for one in said.document["ended"]}
    assert said.code == 1
    assert ended[rejected.label]["state"] == "rejected"
    assert 'column "a"' in ended[rejected.label]["cause"]
    assert ended[cancelled.label] == {"run": cancelled.label, "state": "cancelled", "cause": "wrong month"}
    assert set(said.document) == {"target", "at", "started", "waiting", "ended", "problems"}


def test_a_run_that_was_lost_is_ended_and_told_by_the_same_tick(stage: Stage) -> None:
    stage.action("training", "sleep 100", more="losses = 0")
    run = started(stage, "training")
    eventually(lambda: stage.begun().total() == 1, "no command", within=20)
    subprocess.run(["kill", "-9", *map(str, stage.guard_and_agent(run))], check=True)

    said = tick(stage, "--json")
    assert [(one["run"], one["state"]) for one in said.document["ended"]] == [(run.label, "lost")]
    assert said.code == 1


def test_who_waits_for_a_run_has_seen_its_end(stage: Stage) -> None:
    stage.action("training", "exit 7")
    foretell(stage.root, "run", "training")
    waited = started(stage, "training")
    foretell(stage.root, "wait", waited.label)
    checked = started(stage, "training")
    over(stage, checked)
    foretell(stage.root, "check", checked.label)

    by = {run: word.by.partition(",")[0] for run in stage.runs("training") if (word := told(stage, run))}
    assert sorted(by.values()) == ["run", "wait"]
    assert [one["run"] for one in document(stage)["ended"]] == [checked.label]


def test_a_follower_that_was_killed_has_told_nobody(stage: Stage) -> None:
    stage.action("trains", "sleep 1; exit 3")
    with stage.spawn("cli", "run", "trains") as follower:
        eventually(lambda: stage.begun().total() == 1, "no command", within=20)
        follower.kill()
    (run,) = stage.runs("trains")
    over(stage, run)
    assert [one["run"] for one in document(stage)["ended"]] == [run.label]


def test_who_is_killed_between_telling_and_noting_it_tells_it_again(stage: Stage) -> None:
    stage.action("trains", "exit 3")
    run = started(stage, "trains")
    over(stage, run)
    tell = ("cli", "tick", "--json")
    kill = ("cli", "before", r"create .*/told/tick\.json", "self")
    with stage.spawn(*tell, kills=[kill]) as killed:
        out, _ = killed.communicate(timeout=60)
    assert killed.returncode == -9
    assert run.label in out
    assert told(stage, run) is None
    assert [one["run"] for one in document(stage)["ended"]] == [run.label]
    assert document(stage)["ended"] == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("at", [r"create .*/training/seen\.json", r"create .*/request\.json", "launch"])
def test_a_tick_that_is_killed_is_gone_on_with(stage: Stage, when: str, at: str) -> None:
    stage.action("training", "echo model > output/model", more='schedule = "0 0 1 1 *"')
    stage.action("application", "true", more='after = ["training"]\nschedule = "0 0 1 1 *"')
    dated = [] if "seen" in at else ["--date", "2026-06-01T00:00:00Z"]
    assert stage.act("cli", "tick", *dated, kills=[("cli", when, at, "self")]) == "killed"
    said = tick(stage, *dated)
    assert said.code == 0
    sights = list(stage.store.rglob("seen.json"))
    assert len(sights) == (0 if dated else 2)
    for run in stage.runs("training"):
        assert stage.act("wait", run.label) == "succeeded"
    assert all(count == 1 for count in stage.begun().values())


def test_the_steps_of_the_readme_are_followed_by_a_quiet_tick(stage: Stage) -> None:
    stage.action("training", "echo model > output/model", more='schedule = "0 0 1 * *"')
    stage.action("application", "cat output/model", more='schedule = "0 7 * * *"\ninputs = ["training"]')
    foretell(stage.root, "run", "training")
    foretell(stage.root, "run", "application")
    first = tick(stage)
    assert (first.code, first.out) == (0, "")
    lines = first.err.splitlines()
    begins = [line.partition(" begins at 20")[0] for line in lines]
    assert sorted(begins) == ["the schedule of application", "the schedule of training"]
    again = tick(stage)
    assert (again.code, again.out, again.err) == (0, "", "")
    assert len(stage.runs("training")) == len(stage.runs("application")) == 1
    for action in ("training", "application"):
        sight = stage.read(f"toy/1/{action}/seen.json", FirstSight)
        assert isinstance(sight, FirstSight)


def test_a_date_that_lies_ahead_is_refused_as_by_every_start(stage: Stage) -> None:
    stage.action("training", "true", more='schedule = "0 0 1 * *"')
    said = tick(stage, "--date", "2126-11-02")
    assert (said.code, stage.runs("training")) == (2, [])
    assert tick(stage, "--date", "2126-11-02", "--future").out == "training/21261101T000000Z-1\n"
    foretell(stage.root, "wait", "training/21261101T000000Z-1")


def test_an_application_waits_for_its_first_model_in_plain_words(stage: Stage) -> None:
    wait = f'while [ ! -e "{stage.root}/go" ]; do sleep 0.05; done; echo model > output/model'
    stage.action("training", wait, more='schedule = "0 0 1 * *"')
    stage.action("application", "cat output/model", more=f'{MINUTELY}\ninputs = ["training"]')
    date = ("--date", "2026-11-26T06:00:00Z")
    said = tick(stage, *date)
    assert (said.code, said.out) == (0, "training/20261101T000000Z-1\n")
    assert (
        "application of 2026-11-26T06:00:00+00:00 waits for training/20261101T000000Z-1 (starting)"
        in said.err
    )
    (stage.root / "go").touch()
    over(stage, stage.runs("training")[0])
    assert document(stage, *date)["started"] == ["application/20261126T060000Z-1"]


def test_an_old_model_is_told_when_a_run_starts_with_it_and_by_models(stage: Stage) -> None:
    stage.action("training", "echo model > output/model; exit ${CODE:-0}", more='schedule = "0 0 * * *"')
    stage.action("application", "cat output/model", more=f'{MINUTELY}\ninputs = ["training"]')
    foretell(stage.root, "run", "training", "--date", "2026-11-01")
    failed = foretell(stage.root, "run", "training", "--date", "2026-11-03", CODE="7")
    assert failed.code == 1
    (stage.root / ".foretell" / "tick.log").touch()
    by_mail = []
    for minute in (0, 1):
        by_mail.append(cron(stage, "--date", f"2026-11-03T12:0{minute}:00Z").out)
        over(stage, stage.runs("application")[0])
    assert "uses an old model: " in by_mail[0]
    assert "the command ended with exit code 7" in by_mail[0]
    assert "uses an old model: " not in by_mail[1]
    listed = foretell(stage.root, "models", "--json").document["models"]
    assert [(model["action"], model["old"]) for model in listed] == [("training", True)]
    assert "older than twice the period" in foretell(stage.root, "models").err


# --- under cron -------------------------------------------------------------------------------------------------------


def cron(stage: Stage, *args: str) -> Said:
    """Tick as the line for cron does: what is on standard output is what cron sends by mail."""
    log = str(stage.root / ".foretell" / "tick.log")
    return tick(stage, "--log", log, *args)


def logged(stage: Stage) -> list[str]:
    """The lines of the log, without the time."""
    lines = (stage.root / ".foretell" / "tick.log").read_text().splitlines()
    for line in lines:
        datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return [line[20:] for line in lines]


def test_under_cron_a_failure_is_all_that_is_mailed_and_the_log_has_it_all(minutely: Stage) -> None:
    date = ("--date", "2026-11-26T06:00:00Z")
    (minutely.root / ".foretell").mkdir()
    first = cron(minutely, *date)
    waits = [cron(minutely, "--date", "2026-11-26T06:01:00Z") for _ in range(3)]
    assert {(one.code, one.out, one.err) for one in (first, *waits)} == {(0, "", "")}
    (run,) = minutely.runs("training")
    assert logged(minutely)[0] == f"{run.label} started for 2026-11-26T06:00:00+00:00: schedule * * * * *"
    assert len(logged(minutely)) <= 3  # that it waits is not said every minute, but when its state changes

    (minutely.root / "go").touch()
    over(minutely, run)
    told = cron(minutely, *date)
    bad = f"failed    {run.label}: the command ended with exit code 7"
    assert (told.code, told.err) == (1, "")
    assert told.out.splitlines()[0] == bad
    assert bad in logged(minutely)


def test_under_cron_a_problem_is_mailed_when_it_is_new(stage: Stage) -> None:
    stage.action("training", "exit 1", more='schedule = "0 0 1 * *"')
    stage.action("application", "true", more=f'{MINUTELY}\ninputs = ["training"]')
    (stage.root / ".foretell").mkdir()
    date = ("--date", "2026-11-26T06:00:00Z")
    cron(stage, *date)
    over(stage, stage.runs("training")[0])
    said = [cron(stage, *date) for _ in range(3)]
    assert [one.code for one in said] == [1, 3, 3]
    assert "application of 2026-11-26T06:00:00+00:00 cannot be started: " in said[0].out
    assert (said[1].out, said[2].out) == ("", "")
    assert sum("cannot be started" in line for line in logged(stage)) == 1


def test_a_log_that_cannot_be_written_is_told(stage: Stage, tmp_path: Path) -> None:
    stage.action("training", "true", more=MINUTELY)
    said = tick(stage, "--log", str(tmp_path / "nowhere" / "tick.log"))
    assert said.code == 2
    assert "cannot write to the log" in said.err
