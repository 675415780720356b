"""What happened, as it is told: lines, stories, logs, files, estimates."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from foretell.controller import history
from foretell.controller.history import LogReader
from foretell.errors import CorruptError, UnknownRunError, UsageError
from foretell.protocol.keys import Run, run_named
from foretell.protocol.records import Claimed, Closed, Host, Launch, Outcome
from tests.support.past import NOON, Past


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path / "service")


def test_nothing_has_happened_where_nothing_was_started(past: Past) -> None:
    assert history.lines(past.controller, None, 30) == []
    assert not (past.root / ".foretell").exists()


def test_an_action_that_is_none_is_told(past: Past) -> None:
    with pytest.raises(UsageError, match='unknown action "trainig"') as told:
        history.lines(past.controller, "trainig", 30)
    assert told.value.hint == "use one of: training, application"


def test_lines_are_the_newest_of_all_actions(past: Past) -> None:
    old = past.add(NOON - timedelta(days=40))
    model = past.add(NOON - timedelta(days=1))
    user = past.add(NOON, "delivered", action="application")
    assert [line.run for line in history.lines(past.controller, None, None)] == [user, model, old]
    assert [line.run for line in history.lines(past.controller, None, 2)] == [user, model]
    assert [line.run for line in history.lines(past.controller, "training", 1)] == [model]


@pytest.mark.parametrize(
    ("end", "phase", "seconds"),
    [
        ("open", "requested", None),
        ("produced", "succeeded", 10),
        ("failed", "failed", 10),
        ("cancelled", "cancelled", 10),
    ],
)
def test_a_line_says_how_it_stands(past: Past, end: str, phase: str, seconds: float | None) -> None:
    past.add(NOON, end)
    (line,) = history.lines(past.controller, None, None)
    assert (line.state.phase, line.seconds) == (phase, seconds)


@pytest.mark.parametrize(
    ("end", "phase", "seconds"),
    [
        ("undelivered", "delivering", 10),
        ("delivered", "succeeded", 11),
        ("superseded", "superseded", 11),
        ("rejected", "rejected", 11),
    ],
)
def test_a_line_of_a_delivery_says_how_it_stands(past: Past, end: str, phase: str, seconds: float) -> None:
    past.add(NOON, end, action="application")
    (line,) = history.lines(past.controller, None, None)
    assert (line.state.phase, line.seconds) == (phase, seconds)


def test_a_folder_without_a_request_is_no_run(past: Past) -> None:
    run = past.add(NOON)
    past.store.remove(run.request)
    assert history.lines(past.controller, None, None) == []
    with pytest.raises(UnknownRunError):
        history.story(past.controller, run)


def test_a_story_tells_every_attempt_and_the_stages_in_their_order(past: Past) -> None:
    run = past.add(NOON, "delivered", action="application")
    story = history.story(past.controller, run)
    assert list(story.stages.items()) == [
        ("queued", 0.1),
        ("environment", 1.0),
        ("command", 2.0),
        ("output", 3.0),
        ("delivery", 1.0),
    ]
    (only,) = story.attempts
    assert isinstance(only.claim, Claimed)
    assert only.exit
    assert story.manifest
    assert [file.path for file in story.manifest.files] == ["model"]


def test_a_story_of_a_lost_run_tells_of_the_hosts(past: Past) -> None:
    run = past.add(NOON, "running")
    past.write(run.attempt(1).host, Host(boot="b", cause="the kernel killed it"))
    past.write(
        run.attempt(2).launch,
        Launch(nonce="2", machine="m-2-x", after="lost", failures_left=0, losses_left=0),
    )
    past.write(
        run.attempt(3).launch, Closed(outcome=Outcome(kind="lost", attempt=2, by="x", cause="lost twice"))
    )
    story = history.story(past.controller, run)
    assert [attempt.number for attempt in story.attempts] == [1, 2]
    assert story.attempts[0].host
    assert story.attempts[0].host.cause == "the kernel killed it"
    assert (story.line.state.phase, story.stages) == ("ending", {})


def test_an_estimate_is_the_median_of_successes(past: Past) -> None:
    assert history.estimate(past.controller, "training") is None
    for day, took in enumerate([10, 20, 900]):
        past.add(NOON - timedelta(days=day), took=took)
    past.add(NOON + timedelta(days=1), "failed", took=1)
    assert history.estimate(past.controller, "training") == 20


def test_the_users_of_a_model_are_found(past: Past) -> None:
    model, other = past.add(NOON), past.add(NOON, n=2)
    user = past.add(NOON, "delivered", action="application", inputs=(model,))
    assert [line.run for line in history.users(past.controller, model)] == [user]
    assert history.users(past.controller, other) == []


# --- logs -----------------------------------------------------------------------------------------------------------


def test_a_log_is_read_as_it_grows(past: Past) -> None:
    run = past.add(NOON, "running")
    reader = LogReader(past.store, run)
    assert list(reader.read()) == []
    past.log(run, 1, 0, (1, b"a"), (2, b"b"))
    past.log(run, 1, 1, (1, b"c"))
    assert list(reader.read()) == [(1, b"a"), (2, b"b"), (1, b"c")]
    assert list(reader.read()) == []
    past.log(run, 1, 2, (1, b"\xff\x00"))
    assert list(reader.read()) == [(1, b"\xff\x00")]


def test_a_log_goes_on_with_the_next_attempt(past: Past) -> None:
    run = past.add(NOON, "running")
    past.log(run, 1, 0, (1, b"first"))
    past.write(run.attempt(2).claim, Claimed(nonce="2", boot="c"))
    past.log(run, 2, 0, (1, b"second"))
    assert list(LogReader(past.store, run).read()) == [(1, b"first"), (1, b"second")]
    assert list(LogReader(past.store, run, 1).read()) == [(1, b"first")]
    assert list(LogReader(past.store, run, 2).read()) == [(1, b"second")]


def test_a_log_that_was_cut_is_told(past: Past) -> None:
    run = past.add(NOON, "running")
    past.store.create(run.attempt(1).log(0), b"\x01\x00\x00\x00\x00\x00\x00\x09half")
    with pytest.raises(CorruptError, match="a part of the log is cut"):
        list(LogReader(past.store, run).read())


# --- files ----------------------------------------------------------------------------------------------------------


def printed(past: Past, n: int, *parts: bytes) -> Run:
    run = past.add(NOON, "running", n=n)
    for number, part in enumerate(parts):
        past.log(run, 1, number, (2, part))
    return run


def test_the_end_of_a_log_is_some_lines_and_no_more_than_a_screen_of_bytes(past: Past) -> None:
    few = printed(past, 1, b"a\nb\n")
    assert history.tail(past.store, few, 1) == b"a\nb\n"
    many = printed(past, 2, *(f"line {number}\n".encode() for number in range(1000)))
    assert history.tail(past.store, many, 1).splitlines() == [
        f"line {number}".encode() for number in range(980, 1000)
    ]
    endless = printed(past, 3, b"first\n", b"y" * 5_000_000, "é".encode() * 3000, b"end\n")
    end = history.tail(past.store, endless, 1)
    assert len(end) <= 4000 + len(history.CUT)
    assert end.decode().startswith("… é")
    assert end.endswith(b"\xc3\xa9end\n")


def test_a_bar_of_progress_is_as_many_lines_as_it_has_states(past: Past) -> None:
    bar = b"".join(b"\r%3d%% %s" % (number, b"#" * 60) for number in range(101))
    run = printed(past, 1, b"begun\n" + bar, b"\nTraceback\nValueError: x\n")
    end = history.tail(past.store, run, 1)
    assert end.endswith(b"100% " + b"#" * 60 + b"\nTraceback\nValueError: x\n")
    assert len(end.splitlines()) == 20
    assert b"begun" not in end


def test_the_files_of_a_run_are_fetched(past: Past, tmp_path: Path) -> None:
    run = past.add(NOON)
    history.fetch(past.controller, run, tmp_path / "to" / "here")
    assert (tmp_path / "to" / "here" / "model").read_bytes() == b"model"
    assert (tmp_path / "to" / "here" / "hollow").is_dir()


@pytest.mark.parametrize(("end", "why"), [("failed", "it ended as failed"), ("open", "it has not ended")])
def test_a_run_without_files_is_told(past: Past, tmp_path: Path, end: str, why: str) -> None:
    run = past.add(NOON, end)
    with pytest.raises(UsageError, match="has no files") as told:
        history.fetch(past.controller, run, tmp_path / "to")
    assert told.value.why == why
    assert not (tmp_path / "to").exists()


def test_a_run_that_is_not_there_is_told(past: Past, tmp_path: Path) -> None:
    with pytest.raises(UnknownRunError, match="unknown run"):
        history.fetch(past.controller, run_named("toy", "1", "training", "20260615T120000Z-1"), tmp_path)
