"""kill -9 before and after every write of the protocol: in the end one outcome, rows once, nothing half, nothing alive."""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

import pytest

from foretell.protocol.keys import Run
from foretell.protocol.records import Exit
from tests.support.stage import Stage, eventually, must_be_gone

pytestmark = pytest.mark.slow


class Life(NamedTuple):
    """An action, the moments of its agent, and how its runs end."""

    action: str
    phase: str
    moments: tuple[str, ...]


class Scene(NamedTuple):
    """What befell an action before, and the moments of whoever goes on with its run."""

    action: str
    phase: str
    before: tuple[str, ...]
    moments: tuple[str, ...]


COMMIT = (
    r"sql BEGIN",
    r"sql UPDATE foretell\.lock",
    r'sql INSERT INTO "main"',
    r"sql INSERT INTO foretell\.ledger",
    r"sql COMMIT",
    r"create .*Z-1/delivery\.json",
)
AGENT = (
    Life(
        "delivers",
        "succeeded",
        (
            r"life",
            r"create .*/attempts/1/claim\.json",
            r"put .*/beat\.json",
            r"^command$",
            r"create .*/log/000000",
            r"create .*/attempts/1/exit\.json",
            r"create .*/output/predictions\.csv",
            r"create .*/delivery/000000\.parquet",
            r"create .*/manifest\.json",
            r"create .*/outcome\.json",
            *COMMIT,
        ),
    ),
    Life(
        "trains", "succeeded", (r"create .*/model\.txt", r"create .*/large\.bin", r"create .*/outcome\.json")
    ),
    Life(
        "fails", "failed", (r"create .*/exit\.json", r"create .*/2/launch\.json", r"create .*/outcome\.json")
    ),
    Life(
        "mends",
        "succeeded",
        (r"create .*/2/claim\.json", r"create .*/2/exit\.json", r"create .*/manifest\.json"),
    ),
)
WITNESS = (
    Scene(
        "delivers", "succeeded", ("agent", "after", r"create .*/outcome\.json", "self"), (*COMMIT, "^stop$")
    ),
    Scene(
        "trains",
        "succeeded",
        ("agent", "before", "^command$", "both"),
        (r"create .*/2/launch\.json", "^launch$", "^stop$"),
    ),
    Scene("mends", "succeeded", (), (r"create .*/2/launch\.json", "^launch$", "^stop$")),
    Scene(
        "fails",
        "failed",
        ("agent", "after", r"create .*/exit\.json", "self"),
        (r"create .*/2/launch\.json", r"create .*/outcome\.json", "^stop$"),
    ),
    Scene(
        "trains",
        "lost",
        ("refused",),
        (
            r"create .*/1/claim\.json",
            r"create .*/2/launch\.json",
            r"create .*/4/launch\.json",
            r"create .*/outcome\.json",
        ),
    ),
)


def named(*parts: str) -> str:
    return " ".join(parts).replace("\\", "").replace(".*/", "")


@pytest.mark.parametrize(
    ("life", "moment", "when", "victim"),
    [
        pytest.param(life, moment, when, victim, id=named(life.action, victim, when, moment))
        for life in AGENT
        for moment in life.moments
        for when in ("before", "after")
        for victim in ("self", "guard", "both")
        if (moment, when) != ("life", "after")
    ],
)
def test_agent_or_its_guard_is_killed(toy: Stage, life: Life, moment: str, when: str, victim: str) -> None:
    kills = [("agent", when, moment, victim)]
    toy.act("start", life.action, kills=[] if life.action == "mends" else kills)
    (run,) = toy.runs(life.action)
    if life.action == "mends":
        toy.act("wait", run.label, kills=kills)
    toy.must_be_struck()
    toy.must_show_no_half_model(life.action)
    assert toy.finish(run, "tidy" if victim == "guard" else "wait") == life.phase
    toy.must_be_settled(run, life.phase)


@pytest.mark.parametrize(
    ("agent", "when", "moment"),
    [
        ("ends", "before", "^life$"),
        ("ends", "before", "^wait for the agent$"),
        ("ends", "after", "^wait for the agent$"),
        ("ends", "before", "^clear$"),
        ("ends", "after", "^clear$"),
        ("dies", "after", "^wait for the agent$"),
        ("dies", "before", "^clear$"),
        ("dies", "after", "^clear$"),
        ("dies", "before", r"create .*/host\.json"),
        ("dies", "after", r"create .*/host\.json"),
    ],
)
def test_a_guard_is_killed_at_its_own_work(toy: Stage, moment: str, when: str, agent: str) -> None:
    killed = [("agent", "before", "^command$", "self")] if agent == "dies" else []
    toy.act("start", "delivers", kills=[("guard", when, moment, "self"), *killed])
    (run,) = toy.runs("delivers")
    assert toy.finish(run, "wait") == "succeeded"
    toy.must_be_settled(run, "succeeded")


@pytest.mark.parametrize(
    ("scene", "moment", "when", "verb"),
    [
        pytest.param(scene, moment, when, verb, id=named(verb, when, scene.action, *scene.before[:1], moment))
        for scene in WITNESS
        for moment in scene.moments
        for when in ("before", "after")
        for verb in ("wait", "tidy")
    ],
)
def test_who_goes_on_is_killed(toy: Stage, scene: Scene, moment: str, when: str, verb: str) -> None:
    run = begun(toy, scene)
    assert toy.act(verb, *[run.label][: verb == "wait"], kills=[(verb, when, moment, "self")]) == "killed"
    toy.must_show_no_half_model(scene.action)
    assert toy.finish(run, "wait" if verb == "tidy" else "tidy") == scene.phase
    toy.must_be_settled(run, scene.phase)


def begun(toy: Stage, scene: Scene) -> Run:
    if scene.before == ("refused",):
        (toy.root / ".foretell").mkdir()
        (toy.root / ".foretell" / "machines").write_text("in the way")
        toy.act("start", scene.action)
    else:
        toy.act("start", scene.action, kills=[scene.before] if scene.before else [])
        toy.must_be_struck()
    (run,) = toy.runs(scene.action)
    if scene.action == "mends":
        eventually(lambda: toy.read(run.attempt(1).exit, Exit) is not None, "no exit")
    return run


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "moment", [r"create store\.json", r"create .*/request\.json", r"create .*/1/launch\.json", "^launch$"]
)
def test_start_is_killed_and_repeated(toy: Stage, moment: str, when: str) -> None:
    assert toy.act("start", "delivers", kills=[("start", when, moment, "self")]) == "killed"
    label = toy.act("start", "delivers")
    (run,) = toy.runs("delivers")
    assert run.label == label
    assert toy.finish(run, "wait") == "succeeded"
    toy.must_be_settled(run, "succeeded")


@pytest.mark.parametrize(
    ("moment", "when"),
    [
        (r"create .*/request\.json", "after"),
        (r"create .*/1/launch\.json", "before"),
        (r"create .*/1/launch\.json", "after"),
        ("^launch$", "before"),
        ("^launch$", "after"),
    ],
)
@pytest.mark.parametrize("verb", ["wait", "tidy"])
def test_start_is_killed_and_others_go_on(toy: Stage, moment: str, when: str, verb: str) -> None:
    assert toy.act("start", "delivers", kills=[("start", when, moment, "self")]) == "killed"
    (run,) = toy.runs("delivers")
    assert toy.finish(run, verb) == "succeeded"
    toy.must_be_settled(run, "succeeded")


@pytest.mark.parametrize("verb", ["stop", "wait", "tidy"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("moment", [r"create .*/outcome\.json", "^stop$"])
def test_stop_is_killed(toy: Stage, moment: str, when: str, verb: str) -> None:
    run, pids = stays(toy)
    assert toy.act("stop", run.label, kills=[("stop", when, moment, "self")]) == "killed"
    if verb == "stop" or (moment, when) == (r"create .*/outcome\.json", "before"):
        assert toy.act("stop", run.label) == "cancelled"
    else:
        assert toy.finish(run, verb) == "cancelled"
    must_be_gone(pids)
    toy.must_be_settled(run, "cancelled")


def stays(toy: Stage) -> tuple[Run, list[int]]:
    """Start the run that stays, and give the ids of its command and of the command's child."""
    toy.act("start", "stays")
    (run,) = toy.runs("stays")
    eventually(lambda: toy.pids.exists() and toy.pids.read_text().endswith("\n"), "no command")
    return run, [int(pid) for pid in toy.pids.read_text().split()]


def test_the_command_is_killed(toy: Stage) -> None:
    run, (command, child) = stays(toy)
    os.kill(command, signal.SIGKILL)
    assert toy.finish(run, "wait") == "failed"
    end = toy.read(run.attempt(1).exit, Exit)
    assert isinstance(end, Exit)
    assert (end.code, end.signal, end.fault) == (None, signal.SIGKILL, "failed")
    must_be_gone([child])
    toy.must_be_settled(run, "failed")


@pytest.mark.parametrize("victims", ["agent", "guard", "both"])
@pytest.mark.parametrize("verb", ["wait", "tidy"])
def test_all_that_watch_the_command_are_killed(toy: Stage, victims: str, verb: str) -> None:
    run, pids = stays(toy)
    guard, agent = toy.guard_and_agent(run)
    for pid in {"agent": [agent], "guard": [guard], "both": [guard, agent]}[victims]:
        os.kill(pid, signal.SIGKILL)
    assert toy.finish(run, verb) == "succeeded"
    must_be_gone([*pids, guard, agent])
    assert len(toy.machines(run)) == 2
    toy.must_be_settled(run, "succeeded")


@pytest.mark.parametrize("victims", ["agent", "guard"])
def test_a_command_dies_with_its_agent_while_nobody_waits(toy: Stage, victims: str) -> None:
    run, pids = stays(toy)
    guard, agent = toy.guard_and_agent(run)
    os.kill(agent if victims == "agent" else guard, signal.SIGKILL)
    must_be_gone(pids)


@pytest.mark.parametrize("verb", ["run", "wait"])
def test_a_run_goes_on_without_who_waits_for_it(toy: Stage, verb: str) -> None:
    toy.action("lasts", "sleep 1; echo model > output/model.txt")
    if verb == "wait":
        toy.act("start", "lasts")
    with toy.spawn(verb, toy.runs("lasts")[0].label if verb == "wait" else "lasts") as waiter:
        eventually(lambda: bool(toy.begun()), "no command")
        waiter.kill()
    (run,) = toy.runs("lasts")
    assert toy.finish(run, "wait") == "succeeded"
    assert len(toy.machines(run)) == 1
    toy.must_be_settled(run, "succeeded")
