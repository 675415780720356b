"""The command line as a user meets it: child processes, real services, bytes on two streams."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from foretell.cli.main import overview
from tests.support.stage import DELIVERY, PREDICTIONS, Stage, eventually

MODEL = 'echo model > output/model.txt; echo "{\\"mae\\": 0.5}" > output/metrics.json'


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    left_out = ("FORETELL_TARGET", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")
    return {**{name: value for name, value in os.environ.items() if name not in left_out}, **more}


def foretell(where: Path, *args: str, **more: str) -> Said:
    """Carry out one command line in a directory."""
    done = subprocess.run(
        [sys.executable, "-m", "foretell", *args],
        cwd=where,
        env=environment(more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    out, err = done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape")
    assert "Traceback" not in err, err
    return Said(done.returncode, out, err)


@pytest.fixture
def service(stage: Stage) -> Stage:
    """A service that trains and applies, and has actions that end otherwise."""
    return furnished(stage)


def furnished(stage: Stage) -> Stage:
    stage.action("training", f"echo learning; echo careful >&2; {MODEL}", more='schedule = "0 0 1 1 *"')
    stage.action("application", PREDICTIONS, more='inputs = ["training"]', delivery=DELIVERY)
    stage.action("failing", "for i in $(seq 30); do echo line $i; done; exit 3")
    stage.action("endless", "echo begun; sleep 500")
    stage.action("stubborn", "trap '' TERM; echo begun; while :; do sleep 0.2; done")
    return stage


@pytest.fixture
def applied(service: Stage) -> Stage:
    """A service that has run once from end to end."""
    return run_through(service)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The same for tests that only look."""
    return run_through(furnished(Stage(tmp_path_factory.mktemp("settled") / "service")))


def run_through(stage: Stage) -> Stage:
    for action in ("training", "application"):
        assert foretell(stage.root, "run", action).code == 0
    return stage


# --- run --------------------------------------------------------------------------------------------------------------


def test_run_shows_the_log_byte_for_byte_on_stderr_and_the_verdict_alone_on_stdout(stage: Stage) -> None:
    stage.action("training", r"printf 'out\000\377\r\n'; printf 'no end' >&2")

    said = foretell(stage.root, "run", "training")

    (run,) = stage.runs("training")
    assert (said.code, said.out) == (0, f"{run.label} succeeded\n")
    assert "out\0\udcff\r\nno end\n" in said.err or "no endout\0\udcff\r\n" in said.err
    assert "next" in said.err.splitlines()[-1]


def test_run_tells_what_came_of_it(applied: Stage) -> None:
    said = foretell(applied.root, "run", "application", "--json")

    assert said.code == 0
    document = said.document
    assert (document["state"], document["rows"], document["exit_code"]) == ("succeeded", 2, 0)
    assert document["delivery"] == {"table": "predictions", "state": "delivered", "rows": 2}
    assert '2 rows → "predictions"' in said.err
    assert "`foretell predictions`" in said.err


def test_a_failure_gives_its_cause_and_its_exit_code(service: Stage) -> None:
    said = foretell(service.root, "run", "failing")

    (run,) = service.runs("failing")
    assert (said.code, said.out) == (1, f"{run.label} failed\n")
    assert "3" in said.err.partition("  cause ")[2].splitlines()[0]
    assert f"`foretell show {run.label}`" in said.err

    checked = foretell(service.root, "check", run.label)
    assert (checked.code, checked.out) == (1, f"{run.label} failed\n")
    assert "line 11\n" in checked.err
    assert "line 30\n" in checked.err
    assert "line 10\n" not in checked.err


def test_a_trial_delivers_nothing_and_is_no_model(applied: Stage) -> None:
    before = foretell(applied.root, "predictions", "--json").document

    said = foretell(applied.root, "run", "application", "--trial")
    foretell(applied.root, "run", "training", "--trial")

    assert said.code == 0
    assert "none delivered" in said.err
    assert foretell(applied.root, "predictions", "--json").document == before
    (model,) = foretell(applied.root, "models", "--json").document["models"]
    assert [passed["reason"] for passed in model["passed_over"]] == ["it is a trial"]


def test_quiet_says_the_verdict_alone(service: Stage) -> None:
    said = foretell(service.root, "run", "training", "--quiet")
    assert said.out.endswith(" succeeded\n")
    assert said.err == ""


def test_an_input_can_be_chosen(applied: Stage) -> None:
    first = applied.runs("training")[0]
    foretell(applied.root, "run", "training")

    said = foretell(applied.root, "run", "application", "--input", f"training={first.id}", "--json")

    pins = foretell(applied.root, "show", said.document["run"], "--json").document["request"]["inputs"]
    assert [pin["run"] for pin in pins] == [first.folder]
    wrong = foretell(applied.root, "run", "training", "--input", f"training={first.id}")
    assert wrong.code == 2
    assert '"training" has no input "training"' in wrong.err


# --- ^C ---------------------------------------------------------------------------------------------------------------


LISTENING = """
import signal, sys
from foretell.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored where the tests run in the background
sys.exit(main(sys.argv[1:]))
"""


def spawned(where: Path, *args: str) -> subprocess.Popen[bytes]:
    """Begin a command line that can be interrupted."""
    return subprocess.Popen(
        [sys.executable, "-c", LISTENING, *args],
        cwd=where,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def read_until(process: subprocess.Popen[bytes], word: bytes, *, within: float = 20) -> bytes:
    """Read standard error until a word comes."""
    assert process.stderr
    read, end = b"", time.monotonic() + within
    while word not in read:
        ready, _, _ = select.select([process.stderr], [], [], end - time.monotonic())
        assert ready, read
        found = os.read(process.stderr.fileno(), 65536)
        assert found, read
        read += found
    return read


def test_control_c_stops_the_run_and_waits_for_its_end(service: Stage) -> None:
    with spawned(service.root, "run", "endless") as process:
        read_until(process, b"begun\n")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)

    (run,) = service.runs("endless")
    assert (process.returncode, out.decode()) == (6, f"{run.label} cancelled\n")
    service.must_be_dead(service.machines(run))


def test_a_second_control_c_stops_waiting_and_says_where_to_look(service: Stage) -> None:
    with spawned(service.root, "run", "stubborn") as process:
        read_until(process, b"begun\n")
        process.send_signal(signal.SIGINT)
        read_until(process, b"stopping")
        (run,) = service.runs("stubborn")
        eventually((service.store / run.outcome).exists, "it is not cancelled")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)

    assert process.returncode == 130
    assert f"`foretell show {run.label}`" in err.decode()
    assert foretell(service.root, "check", run.label).code == 6


def test_control_c_leaves_a_run_that_is_only_waited_for(service: Stage) -> None:
    label = foretell(service.root, "start", "endless").out.strip()
    said = ""
    for start in (0.6, 3, 15):  # seconds that it may need, on a machine that is busy, until it waits
        with spawned(service.root, "wait", label) as process:
            time.sleep(start)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 130
        if said:
            break

    assert f"{label} continues" in said
    assert foretell(service.root, "check", label).code == 3
    assert foretell(service.root, "stop", label).code == 0


# --- start, wait, check, stop -----------------------------------------------------------------------------------------


def test_the_same_in_steps(service: Stage) -> None:
    started = foretell(service.root, "start", "training")
    label = started.out.strip()
    assert started == Said(0, f"{service.runs('training')[0].label}\n", "")
    assert foretell(service.root, "wait", label) == Said(0, f"{label} succeeded\n", "")
    assert foretell(service.root, "check", label.partition("/")[2]) == Said(0, f"{label} succeeded\n", "")


def test_a_repeated_key_gives_its_run_and_says_so(service: Stage) -> None:
    first = foretell(service.root, "start", "training", "--date", "2026-01-02", "--json").document
    foretell(service.root, "wait", first["run"])
    again = foretell(service.root, "start", "training", "--date", "2026-01-02T00:00:00Z")

    assert first == {"run": "training/20260102T000000Z-1", "target": "local", "new": True}
    assert again.out == f"{first['run']}\n"
    assert "training/20260102T000000Z-1 succeeded at 2" in again.err
    assert (
        'found by its key "training@2026-01-02T00:00:00+00:00", so no new run was started; to start one'
        in again.err
    )

    (service.root / "more.py").touch()
    repeated = foretell(service.root, "run", "training", "--date", "2026-01-02T00:00:00Z")
    assert (
        "so no new run was started (the code has changed since); to start one: `foretell run training"
        in repeated.err
    )
    assert repeated.code == 0
    assert len(service.runs("training")) == 1


def test_a_date_without_an_offset_is_of_the_services_time_zone(service: Stage) -> None:
    file = service.root / "foretell.toml"
    file.write_text(f'timezone = "Europe/Stockholm"\n{file.read_text()}')

    said = foretell(service.root, "start", "training", "--date", "2026-07-01T02:00")

    assert said.out == "training/20260701T000000Z-1\n"


def test_wait_succeeds_however_the_run_ended(service: Stage) -> None:
    label = foretell(service.root, "start", "failing").out.strip()
    assert foretell(service.root, "wait", label) == Said(0, f"{label} failed\n", "")


def test_an_open_run_is_3_until_it_is_stopped(service: Stage) -> None:
    label = foretell(service.root, "start", "endless").out.strip()

    impatient = foretell(service.root, "wait", label, "--patience", "0.3s", "--json")
    assert impatient.code == 3
    assert impatient.document["error"]["kind"] == "Patience"
    assert foretell(service.root, "check", label, "--json").document["ended"] is False

    stopped = foretell(service.root, "stop", label, "--cause", "enough")
    assert (stopped.code, stopped.out) == (0, f"{label} cancelled\n")
    checked = foretell(service.root, "check", label, "--json")
    assert (checked.code, checked.document["cause"]) == (6, "enough")
    assert "had already ended" in foretell(service.root, "stop", label).err


# --- runs, show, logs, get --------------------------------------------------------------------------------------------


def test_runs_lists_the_newest_first(applied: Stage) -> None:
    foretell(applied.root, "run", "failing")

    listed = foretell(applied.root, "runs", "--json").document["runs"]
    table = foretell(applied.root, "runs").out.splitlines()

    assert [(one["action"], one["state"]) for one in listed] == [
        ("failing", "failed"),
        ("application", "succeeded"),
        ("training", "succeeded"),
    ]
    assert table[0].split()[:2] == ["run", "state"]
    assert [line.split()[:2] for line in table[1:]] == [[one["run"], one["state"]] for one in listed]
    assert len(foretell(applied.root, "runs", "--limit", "1").out.splitlines()) == 2
    assert len(foretell(applied.root, "runs", "training").out.splitlines()) == 2


def test_runs_says_how_to_begin(service: Stage) -> None:
    said = foretell(service.root, "runs")
    assert (said.code, said.out) == (0, "")
    assert "`foretell run training`" in said.err


def test_show_tells_everything(settled: Stage) -> None:
    (training,), (run,) = settled.runs("training"), settled.runs("application")

    shown = foretell(settled.root, "show", run.label).out
    document = foretell(settled.root, "show", run.label, "--json").document

    for part in (
        run.label,
        "succeeded",
        training.label,
        "predictions.csv",
        "fingerprint",
        "queued",
        "command",
        "output",
    ):
        assert part in shown
    assert list(document["stages"]) == [
        "queued",
        "environment",
        "inputs",
        "command",
        "check",
        "output",
        "delivery",
    ]
    assert document["receipt"]["state"] == "delivered"
    assert [file["path"] for file in document["files"]] == ["predictions.csv"]
    assert document["attempts"][0]["exit"]["code"] == 0
    assert document["attempts"][0]["number"] == 1


def test_logs_gives_the_bytes_of_one_stream_or_both(settled: Stage) -> None:
    (run,) = settled.runs("training")
    assert foretell(settled.root, "logs", run.label, "--stdout").out == "learning\n"
    assert foretell(settled.root, "logs", run.label, "--stderr").out == "careful\n"
    assert sorted(foretell(settled.root, "logs", run.label).out.splitlines()) == ["careful", "learning"]
    assert "nothing" in foretell(settled.root, "logs", run.label, "--attempt", "2").err


def test_logs_follow_until_the_end(stage: Stage) -> None:
    stage.action("training", "echo first; sleep 1; echo last")
    label = foretell(stage.root, "start", "training").out.strip()

    said = foretell(stage.root, "logs", label, "--follow")

    assert said.out == "first\nlast\n"
    assert foretell(stage.root, "check", label).code == 0


def test_get_brings_the_files_but_not_over_others(settled: Stage, tmp_path: Path) -> None:
    (run,) = settled.runs("training")

    got = foretell(settled.root, "get", run.label, "--to", str(tmp_path / "model"))
    refused = foretell(settled.root, "get", run.label, "--to", str(tmp_path / "model"))
    forced = foretell(settled.root, "get", run.label, "--to", str(tmp_path / "model"), "--force")
    usual = foretell(tmp_path, "get", run.label, "--file", str(settled.root / "foretell.toml"), "--json")

    assert got.out == f"{tmp_path / 'model'}\n"
    assert (tmp_path / "model" / "model.txt").read_text() == "model\n"
    assert (refused.code, forced.code) == (2, 0)
    assert "is not empty" in refused.err
    assert usual.document["files"] == ["metrics.json", "model.txt"]
    assert (tmp_path / run.id / "metrics.json").exists()


def test_what_get_brought_is_no_part_of_the_next_run(service: Stage) -> None:
    first = foretell(service.root, "run", "training", "--json").document["run"]
    fetched = foretell(service.root, "get", first)
    named = foretell(service.root, "get", first, "--to", "model")
    hidden = foretell(service.root, "get", first, "--to", ".foretell/model")

    assert (service.root / first.partition("/")[2] / "model.txt").exists()
    assert 'note: "model" is inside the service\'s directory, so later runs get a copy of it' in named.err
    assert "note:" not in fetched.err + hidden.err
    again = foretell(service.root, "run", "training", "--json").document["run"]
    prints = [foretell(service.root, "show", run, "--json").document["request"] for run in (first, again)]
    assert prints[0]["fingerprint"] != prints[1]["fingerprint"]  # by model/
    shutil.rmtree(service.root / "model")
    last = foretell(service.root, "run", "training", "--json").document["run"]
    assert (
        foretell(service.root, "show", last, "--json").document["request"]["fingerprint"]
        == prints[0]["fingerprint"]
    )


# --- models, withdraw, predictions, claim -----------------------------------------------------------------------------


def test_models_says_which_is_current_and_why(applied: Stage) -> None:
    (old,) = applied.runs("training")
    foretell(applied.root, "run", "training")
    new, _ = applied.runs("training")

    withdrawn = foretell(applied.root, "withdraw", new.label, "--reason", "wrong data")
    said = foretell(applied.root, "models")
    early = foretell(applied.root, "models", "--date", "2001-01-01")

    assert withdrawn.out == f"{new.label} withdrawn\n"
    assert said.out.startswith(old.label)
    assert "mae 0.5" in said.out
    assert "wrong data" in said.out
    assert "training: no model" in early.out
    assert "wrong data" in foretell(applied.root, "runs").out


def test_withdraw_names_the_runs_that_used_the_model(applied: Stage) -> None:
    (model,), (user,) = applied.runs("training"), applied.runs("application")

    said = foretell(applied.root, "withdraw", model.label, "--json")

    assert said.document["used_by"] == [user.label]
    assert user.label in said.err
    refused = foretell(applied.root, "run", "application")
    assert refused.code == 2
    assert "foretell run training" in refused.err


def test_predictions_shows_the_rows_and_where_they_come_from(settled: Stage) -> None:
    (model,), (run,) = settled.runs("training"), settled.runs("application")

    said = foretell(settled.root, "predictions")
    document = foretell(settled.root, "predictions", "application", "--json").document

    assert said.out == "a  b\nx  1\ny  2\n"
    assert run.label in said.err
    assert model.label in said.err
    assert document == {"table": "predictions", "rows": [{"a": "x", "b": 1}, {"a": "y", "b": 2}]}
    assert len(foretell(settled.root, "predictions", "--limit", "1").out.splitlines()) == 2
    assert foretell(settled.root, "predictions", "training").code == 2


def test_a_table_of_another_service_is_claimed(applied: Stage, tmp_path: Path) -> None:
    other = Stage(tmp_path / "other", name="other")
    other.action("application", PREDICTIONS, delivery=DELIVERY)
    other.target(f'warehouse.path = "{applied.root / ".foretell" / "warehouse.duckdb"}"')

    refused = foretell(other.root, "run", "application")
    claimed = foretell(other.root, "claim", "predictions")
    allowed = foretell(other.root, "run", "application")

    assert refused.code == 5
    assert "foretell claim predictions" in refused.err
    assert (claimed.code, "/toy/application" in claimed.err) == (0, True)
    assert claimed.out.endswith("/other/application\n")
    assert allowed.code == 0
    assert foretell(other.root, "claim", "nothing").code == 2


# --- tick, tidy, plan, doctor -----------------------------------------------------------------------------------------


def test_tick_starts_what_is_due_once(service: Stage) -> None:
    first = foretell(service.root, "tick", "--date", "2026-06-01T00:00:00Z")
    again = foretell(service.root, "tick", "--date", "2026-06-01T00:00:00Z", "--json")

    assert first.out.splitlines()[0] == "training/20260101T000000Z-1"
    assert again.document["started"] == []
    assert len(service.runs("training")) == 1


def test_tick_prints_the_line_for_cron(service: Stage) -> None:
    said = foretell(service.root, "tick", "--print", "crontab")
    assert said.out.startswith("* * * * * ")
    assert str(service.root / "foretell.toml") in said.out
    assert service.runs("training") == []


def test_tidy_says_what_it_did(applied: Stage) -> None:
    foretell(applied.root, "tidy")
    said = foretell(applied.root, "tidy")
    assert (said.code, said.out) == (0, "")
    assert "nothing to do" in said.err


def test_plan_prints_the_request_and_leaves_no_trace(service: Stage) -> None:
    said = foretell(service.root, "plan", "application", "--date", "2026-01-02")

    request = said.document["request"]
    assert (request["key"], request["uid"]) == ("application@2026-01-02T00:00:00+00:00", "<new>")
    assert request["inputs"][0]["run"] == "<the current model of training>"
    assert "foretell.agent.guard" in said.document["machine"]["command"]
    assert said.document["object"].endswith("/application/2026-01/20260102T000000Z-1/request.json")
    assert not (service.root / ".foretell").exists()


def test_doctor_finds_nothing_wrong_here(service: Stage, tmp_path: Path) -> None:
    said = foretell(service.root, "doctor", "--json", FORETELL_CACHE=str(tmp_path / "cache"))
    states = {check["name"]: check["state"] for check in said.document["checks"]}
    assert said.code == 0
    assert "missing" not in states.values()
    assert {"python", "uv", "git", "store", "warehouse", "disk", "cache"} <= set(states)
    assert not list((service.root / ".foretell" / "store").glob(".doctor*"))


def test_doctor_says_what_is_missing_and_how_to_mend_it(stage: Stage, tmp_path: Path) -> None:
    stage.action("training", "true")
    (stage.root / "file").touch()
    stage.target('store = "file/store"')
    (tmp_path / "cache").touch()

    said = foretell(stage.root, "doctor", FORETELL_CACHE=str(tmp_path / "cache"))

    assert said.code == 3
    missing = [line.split()[1] for line in said.out.splitlines() if line.startswith("✗")]
    assert missing == ["cache", "store"]
    assert said.out.count("next: ") >= 2


def test_doctor_looks_at_the_machine_where_there_is_no_service(tmp_path: Path) -> None:
    said = foretell(tmp_path, "doctor")
    assert said.code == 2
    assert "uv" in said.out
    assert 'no "foretell.toml" here or in a parent directory' in said.err


# --- how it is said ---------------------------------------------------------------------------------------------------


def test_help_is_the_overview(tmp_path: Path) -> None:
    for args in (["--help"], ["-h"], ["help"]):
        assert foretell(tmp_path, *args) == Said(0, overview(), "")
    assert foretell(tmp_path) == Said(2, overview(), "")
    assert foretell(tmp_path, "help", "run") == foretell(tmp_path, "run", "--help")
    assert "examples:" in foretell(tmp_path, "run", "--help").out


def test_version_names_itself(tmp_path: Path) -> None:
    assert foretell(tmp_path, "--version").out.startswith("foretell ")


WRONG = {
    "rnus": '"rnus"',
    "runs --josn": '"--json"',
    "runs a b": '"b"',
    "run": "ACTION",
    "run trainin": "training, application",
    "run training --on mars": "local, docker",
    "run training --date tomorrow": "2026-11-21",
    "run training --date 2026-02-30": "2026-02-30",
    "run training --input x": "ACTION=RUN",
    "wait x --patience soon": "30m",
    "show training/1": "ACTION/RUN-ID",
    "show training/20260101T000000Z-1": "foretell runs",
    "runs --limit -1": "-1",
    "runs nothing": "training, application",
    "runs --file nowhere.toml": "nowhere.toml",
    "completion tcsh": "bash",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_cannot_be_done_is_told_with_the_next_step(settled: Stage, line: str) -> None:
    said = foretell(settled.root, *line.split())
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert WRONG[line] in said.err
    assert "  next: " in said.err


def test_an_error_is_a_document_too(service: Stage) -> None:
    said = foretell(service.root, "show", "training/20260101T000000Z-1", "--json")
    assert said.document["error"]["kind"] == "UnknownRun"
    assert said.document["error"]["exit_code"] == said.code == 2


def test_every_fault_of_a_service_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text('name = "X"\n[actions.a]\ncommand = 3\nschedule = "x"\n')
    said = foretell(tmp_path, "runs", "--json")
    assert said.code == 2
    assert len(said.document["error"]["faults"]) == 3


def test_options_may_stand_before_the_verb(settled: Stage, tmp_path: Path) -> None:
    file = str(settled.root / "foretell.toml")
    assert foretell(tmp_path, "--file", file, "--json", "runs").document["target"] == "local"


def test_a_target_comes_from_the_environment(service: Stage) -> None:
    said = foretell(service.root, "runs", FORETELL_TARGET="mars")
    assert said.code == 2
    assert 'unknown target "mars"' in said.err


def test_a_reader_that_goes_away_is_no_error(stage: Stage) -> None:
    stage.action("training", "seq 200000")
    label = foretell(stage.root, "run", "training", "--quiet").out.split()[0]

    done = subprocess.run(
        f"'{sys.executable}' -m foretell logs {label} | head -1",
        shell=True, cwd=stage.root, env=environment(), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("1\n", "")


def test_ascii_is_enough(applied: Stage) -> None:
    said = foretell(applied.root, "run", "application", PYTHONIOENCODING="ascii")
    assert said.code == 0
    assert '2 rows -> "predictions"' in said.err


def test_colours_are_for_terminals_or_on_demand(settled: Stage) -> None:
    assert "\x1b[" not in foretell(settled.root, "runs").out
    assert "\x1b[32msucceeded" in foretell(settled.root, "runs", FORCE_COLOR="1").out
    assert "\x1b[" not in foretell(settled.root, "runs", FORCE_COLOR="1", NO_COLOR="1").out


def test_a_terminal_sees_progress_with_elapsed_time_and_estimate(stage: Stage) -> None:
    stage.action("training", "echo begun; sleep 0.5; echo done")
    foretell(stage.root, "run", "training")
    ours, theirs = pty.openpty()

    with subprocess.Popen(
        [sys.executable, "-m", "foretell", "run", "training"],
        cwd=stage.root, env=environment({"TERM": "xterm"}), stdout=subprocess.DEVNULL, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        shown = b""
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # a terminal that nobody writes to any more
                break
    os.close(ours)

    assert process.returncode == 0
    text = shown.decode()
    assert " · command · " in text
    assert " of about " in text
    assert "begun\r\n" in text
    assert text.rindex("\x1b[2K") < text.rindex("next")


def test_the_schema_and_completion_are_for_others_to_read(tmp_path: Path) -> None:
    assert foretell(tmp_path, "schema").document["title"] == "foretell.toml"
    for shell in ("bash", "zsh", "fish"):
        script = foretell(tmp_path, "completion", shell).out
        assert "predictions" in script
        assert "patience" in script
    checked = subprocess.run(
        ["bash", "-n"], input=foretell(tmp_path, "completion", "bash").out, text=True, check=False
    )
    assert checked.returncode == 0
