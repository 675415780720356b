"""What can befall the store, and what is in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.controller import history
from foretell.errors import CorruptError, ForetellError, StoreRefusedError
from foretell.protocol.keys import Run
from foretell.protocol.records import Host, Launch, Manifest, Outcome, encode
from tests.support.stage import DELIVERY, PREDICTIONS, Stage, eventually, must_be_gone

pytestmark = pytest.mark.slow

SHORT = {"fence": "1s", "kill": "0.3s", "lease": "1.5s", "stale": "1.3s"}


@pytest.fixture
def hasty(tmp_path: Path) -> Stage:
    """A service whose agents live 1 s without their store."""
    return Stage(tmp_path / "hasty", times=SHORT)


def stays(stage: Stage, *, until: str) -> Run:
    """Start a training whose first attempt stays until a file is there, and give its run once it began."""
    first = f'if [ "$FORETELL_ATTEMPT" = 1 ]; then echo $$ >> {stage.pids}; while ! [ -e {until} ]; do sleep 0.05; done; fi'
    stage.action("training", f"{first}; echo model > output/model")
    label = stage.act("start", "training")
    eventually(lambda: stage.pids.exists() and stage.pids.read_text().endswith("\n"), "no command")
    return stage.controller.find(label)


# --- the store is read-only -----------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, which can be made read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "disk", str(place)], check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("begun", [True, False])
def test_a_read_only_store_is_told_at_once(stage: Stage, disk: Path, begun: bool) -> None:
    stage.action("training", "echo model > output/model")
    stage.target(f'store = "{disk}/store"')
    if begun:
        assert stage.act("run", "training") == "succeeded"
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    stage.action("other", "true")
    with pytest.raises(StoreRefusedError) as told:
        stage.controller.start("other")
    assert told.value.exit_code == 3
    assert "Read-only file system" in told.value.why
    assert "permissions" in told.value.hint
    if begun:
        (line,) = history.lines(stage.controller, "training", None)
        assert line.state.phase == "succeeded"


# --- the store vanishes ---------------------------------------------------------------------------------------------


def test_a_run_outlives_a_short_absence_of_its_store(stage: Stage) -> None:
    run = stays(stage, until=f"{stage.root}.go")
    away = stage.store.rename(f"{stage.store}.away")
    Path(f"{stage.root}.go").touch()
    time.sleep(1)
    assert not stage.store.exists()
    away.rename(stage.store)
    assert stage.act("wait", run.label) == "succeeded"
    assert len(stage.machines(run)) == 1
    stage.must_be_settled(run, "succeeded")


def test_a_command_dies_when_its_store_is_away_for_long(hasty: Stage) -> None:
    run = stays(hasty, until="never")
    (machine,) = hasty.machines(run)
    with hasty.spawn("wait", run.label) as waiter:
        time.sleep(1)  # until it waits
        away = hasty.store.rename(f"{hasty.store}.away")
        must_be_gone(map(int, hasty.pids.read_text().split()))
        hasty.must_be_dead([machine])
        last_words = (hasty.root / ".foretell" / "machines" / machine / "agent.err").read_text()
        assert last_words.endswith("the store could not be reached for 1 s\n")
        away.rename(hasty.store)
        assert waiter.communicate(timeout=30) == ("succeeded\n", "")
    assert hasty.read(run.attempt(1).host, Host) is None
    second = hasty.read(run.attempt(2).launch, Launch)
    assert isinstance(second, Launch)
    assert (second.after, second.cause) == (
        "lost",
        "the agent is dead: the store could not be reached for 1 s",
    )
    hasty.must_be_settled(run, "succeeded")


# --- what is stored is cut ------------------------------------------------------------------------------------------


def trained(stage: Stage) -> Run:
    stage.action("training", "mkdir output/deep; seq 1000 > output/deep/model; echo 1 > output/other")
    stage.action(
        "application",
        f"cat output/deep/model; {PREDICTIONS}",
        more='inputs = ["training"]',
        delivery=DELIVERY,
    )
    assert stage.act("run", "training") == "succeeded"
    (run,) = stage.runs("training")
    return run


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_model_that_was_cut_is_not_used(stage: Stage) -> None:
    cut(stage.store / trained(stage).attempt(1).output("deep/model"))
    assert stage.act("run", "application") == "failed"
    (run,) = stage.runs("application")
    outcome = stage.read(run.outcome, Outcome)
    assert isinstance(outcome, Outcome)
    assert 'the stored object of "deep/model" has changed' in outcome.cause
    assert "it has 1,946 bytes instead of 3,893" in outcome.cause
    assert "foretell withdraw" in outcome.cause
    assert not [line for line in stage.begun() if line.startswith("application")]


def test_a_model_whose_bytes_changed_is_not_used(stage: Stage) -> None:
    path = stage.store / trained(stage).attempt(1).output("deep/model")
    path.write_bytes(path.read_bytes().replace(b"500", b"501"))
    with pytest.raises(CorruptError, match="has changed"):
        history.fetch(stage.controller, stage.runs("training")[0], stage.root / "fetched")
    assert not (stage.root / "fetched" / "deep" / "model").exists()
    assert stage.act("run", "application") == "failed"


def test_a_model_without_a_file_is_not_used(stage: Stage) -> None:
    (stage.store / trained(stage).attempt(1).output("deep/model")).unlink()
    with pytest.raises(ForetellError, match="does not exist"):
        history.fetch(stage.controller, stage.runs("training")[0], stage.root / "fetched")
    assert stage.act("run", "application") == "failed"


def test_a_manifest_that_was_changed_is_not_believed(stage: Stage) -> None:
    run = trained(stage)
    manifest = stage.read(run.attempt(1).manifest, Manifest)
    assert isinstance(manifest, Manifest)
    fewer = Manifest(files=manifest.files[:1], directories=manifest.directories)
    (stage.store / run.attempt(1).manifest).write_bytes(encode(fewer))
    assert stage.act("run", "application") == "failed"
    outcome = stage.read(stage.runs("application")[0].outcome, Outcome)
    assert isinstance(outcome, Outcome)
    assert "the manifest is not the one that the outcome names" in outcome.cause


@pytest.mark.parametrize("record", ["request", "outcome"])
@pytest.mark.parametrize("content", ["half", "nothing"])
def test_a_record_that_was_cut_is_an_error_and_not_absent(stage: Stage, record: str, content: str) -> None:
    run = trained(stage)
    path = stage.store / getattr(run, record)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 if content == "half" else 0])
    with pytest.raises(CorruptError, match=f'the record "{getattr(run, record)}" cannot be read'):
        stage.controller.check(run)
    with pytest.raises(CorruptError):
        stage.controller.wait(run)
    with pytest.raises(CorruptError):
        stage.controller.start("application")


def test_a_model_that_is_withdrawn_after_the_start_is_not_used(stage: Stage) -> None:
    model = trained(stage)
    kill = ("start", "before", r"create .*/1/launch\.json", "self")
    assert stage.act("start", "application", kills=[kill]) == "killed"
    stage.controller.withdraw(model, "it leaks")
    (run,) = stage.runs("application")
    assert stage.act("wait", run.label) == "failed"
    assert stage.controller.check(run).cause == f'the input "{model.label}" was withdrawn: it leaks'
    assert not [line for line in stage.begun() if line.startswith("application")]
    stage.must_be_settled(run, "failed")


# --- witnesses that mislead -----------------------------------------------------------------------------------------


def test_the_host_of_another_boot_says_nothing(stage: Stage) -> None:
    run = stays(stage, until=f"{stage.root}.go")
    stage.controller.store.create(run.attempt(1).host, encode(Host(boot="another", cause="ended")))
    with stage.spawn("wait", run.label) as waiter:
        time.sleep(1)
        assert waiter.poll() is None
        Path(f"{stage.root}.go").touch()
        assert waiter.communicate(timeout=30)[0].strip() == "succeeded"
    assert len(stage.machines(run)) == 1
    stage.must_be_settled(run, "succeeded")


@pytest.mark.parametrize("who", ["agent", "both"])
def test_who_stands_still_for_less_than_the_lease_goes_on(stage: Stage, who: str) -> None:
    run = stays(stage, until=f"{stage.root}.go")
    still = standing(stage, run, who)
    with stage.spawn("wait", run.label) as waiter:
        signalled(still, signal.SIGSTOP)
        time.sleep(2)
        Path(f"{stage.root}.go").touch()
        time.sleep(0.5)
        assert waiter.poll() is None
        signalled(still, signal.SIGCONT)
        assert waiter.communicate(timeout=30)[0].strip() == "succeeded"
    assert len(stage.machines(run)) == 1
    stage.must_be_settled(run, "succeeded")


@pytest.mark.parametrize("who", ["agent", "both"])
def test_who_stood_still_for_longer_leaves_without_a_word(hasty: Stage, who: str) -> None:
    run = stays(hasty, until=f"{hasty.root}.go")
    still = standing(hasty, run, who)
    signalled(still, signal.SIGSTOP)
    time.sleep(2)
    Path(f"{hasty.root}.go").touch()
    time.sleep(0.3)
    before = hasty.records(run)
    signalled(still, signal.SIGCONT)
    hasty.must_be_dead(hasty.machines(run))
    assert hasty.records(run) == before
    assert hasty.act("wait", run.label) == "succeeded"
    assert len(hasty.machines(run)) == 2
    hasty.must_be_settled(run, "succeeded")


@pytest.mark.parametrize("who", ["agent", "both"])
def test_who_stands_still_for_the_lease_is_killed_and_replaced(hasty: Stage, who: str) -> None:
    run = stays(hasty, until="never")
    still = standing(hasty, run, who)
    with hasty.spawn("wait", run.label) as waiter:
        signalled(still, signal.SIGSTOP)
        assert waiter.communicate(timeout=30)[0].strip() == "succeeded"
    must_be_gone(still)
    assert hasty.begun() == {f"training {run.label} {number}": 1 for number in (1, 2)}
    hasty.must_be_settled(run, "succeeded")


def test_tidy_replaces_an_agent_that_hangs_beside_a_living_guard(hasty: Stage) -> None:
    run = stays(hasty, until="never")
    still = standing(hasty, run, "agent")
    signalled(still, signal.SIGSTOP)
    time.sleep(1)  # more than the beats it may miss
    hasty.act("tidy")
    must_be_gone(still)
    assert len(hasty.machines(run)) == 2
    assert hasty.act("wait", run.label) == "succeeded"
    hasty.must_be_settled(run, "succeeded")


def standing(stage: Stage, run: Run, who: str) -> list[int]:
    guard, agent = stage.guard_and_agent(run)
    return {"agent": [agent], "both": [guard, agent]}[who]


def signalled(pids: list[int], number: int) -> None:
    for pid in pids:
        os.kill(pid, number)


# --- power cuts -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace to see what is synced")
def test_what_an_agent_acts_upon_has_reached_the_disk(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever moment the power fails at: an outcome never outlives its files, and no row its outcome."""
    trace = stage.root / "trace"
    calls = "trace=link,linkat,fsync,sync,openat"
    monkeypatch.setenv("TRACER", f"strace -f -y -s 500 -e {calls} -o {trace}")
    many = "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i > output/$i; done"
    stage.action("delivers", f"{many}; {PREDICTIONS}", delivery=DELIVERY)
    label = stage.act("start", "delivers")
    assert stage.act("wait", label) == "succeeded"
    run = stage.controller.find(label)
    order = [told for line in trace.read_text().splitlines() if (told := told_by(line, stage))]
    manifest = stage.read(run.attempt(1).manifest, Manifest)
    assert isinstance(manifest, Manifest)
    files = [file.key for file in (*manifest.files, *manifest.delivery)]
    outcome = order.index(f"link {run.outcome}")
    for key in (*files, run.attempt(1).manifest, run.attempt(1).exit, run.attempt(1).claim):
        linked = order.index(f"link {key}")
        assert linked < outcome
        assert {f"fsync {key}", "sync"} & set(order[linked:outcome]), key
    delivered = order.index("open the warehouse")
    folders = [str(path) for path in Path(run.outcome).parents]
    assert [f"fsync {path}" for path in (run.outcome, *folders)] == order[
        outcome + 1 : outcome + 2 + len(folders)
    ]
    assert outcome + 1 + len(folders) < delivered < order.index(f"link {run.delivery}")


def told_by(line: str, stage: Stage) -> str:
    """What a line of strace says of the store or the warehouse."""
    store = f"{stage.store}/"
    if found := re.search(r'link(?:at)?\(.*"([^"]+)"(?:, 0)?(?:\)| <unfin)', line):
        return f"link {found[1].removeprefix(store)}"
    if found := re.search(r"fsync\(\d+<([^>]+)>", line):
        return f"fsync {os.path.relpath(found[1], store)}"
    if re.search(r"\bsync\(", line):
        return "sync"
    if "warehouse.duckdb" in line and "O_RDWR" in line:
        return "open the warehouse"
    return ""
