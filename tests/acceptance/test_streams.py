"""Standard output and error that are full, closed or without a reader: an exit code, and never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.test_cli import environment, foretell
from tests.support.stage import DELIVERY, PREDICTIONS, Stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full on this system"),
]

NO_ROOM = "error: no space left on standard output"
VERBS = [
    "run application",
    "start application",
    "check RUN",
    "wait RUN",
    "stop RUN",
    "runs",
    "runs --json",
    "show RUN",
    "show RUN --json",
    "logs RUN",
    "models --json",
    "predictions",
    "plan application",
    "tidy --json",
    "tick --json",
    "doctor",
    "schema",
    "completion bash",
    "--help",
    "run --help",
    "--version",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    stage = Stage(tmp_path_factory.mktemp("streams") / "service")
    stage.action("application", f"echo hello; {PREDICTIONS}", delivery=DELIVERY)
    assert foretell(stage.root, "run", "application").code == 0
    return stage


@pytest.fixture
def gone() -> Iterator[int]:
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def said(
    stage: Stage,
    verb: str,
    *,
    out: int | str = subprocess.PIPE,
    err: int | str = subprocess.PIPE,
    shell: str = "",
) -> tuple[int, str]:
    """Carry out a verb with its streams leading where they are told; give exit code and standard error."""
    words = [stage.runs("application")[-1].label if word == "RUN" else word for word in verb.split()]
    command = [sys.executable, "-m", "foretell", *words]
    if shell:
        command = ["sh", "-c", f'"$@" {shell}', "-", *command]
    with ExitStack() as stack:
        streams = [
            stack.enter_context(open(one, "wb")) if isinstance(one, str) else one for one in (out, err)
        ]
        done = subprocess.run(
            command,
            cwd=stage.root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=streams[0],
            stderr=streams[1],
            timeout=60,
            check=False,
        )
    errors = (done.stderr or b"").decode()
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    return done.returncode, errors


@pytest.mark.parametrize("verb", VERBS)
def test_no_room_on_standard_output_is_one_sentence_and_exit_3(service: Stage, verb: str) -> None:
    code, errors = said(service, verb, out="/dev/full")
    assert code == 3, errors
    assert errors.splitlines().count(NO_ROOM) == 1


@pytest.mark.parametrize(
    "verb", ["run application", "runs --json", "logs RUN", "schema", "run --help", "--help"]
)
def test_a_reader_that_has_gone_is_exit_141_without_a_word(service: Stage, verb: str, gone: int) -> None:
    code, errors = said(service, verb, out=gone)
    assert code == 141
    assert "error" not in errors


def test_a_run_whose_result_finds_no_room_is_carried_out_and_told(service: Stage) -> None:
    before = len(service.runs("application"))
    code, errors = said(service, "run application", out="/dev/full")
    assert code == 3
    assert '2 rows → "predictions"' in errors
    assert errors.splitlines()[-1] == NO_ROOM
    newest, *older = service.runs("application")
    assert len(older) == before
    assert service.controller.check(newest).phase == "succeeded"


def test_who_follows_a_log_or_a_run_leaves_with_the_reader(service: Stage, gone: int) -> None:
    service.action("endless", "echo begun; sleep 500")
    label = foretell(service.root, "start", "endless").out.strip()
    assert said(service, f"logs {label} --follow", out=gone)[0] == 141
    assert said(service, f"logs {label} --follow", out="/dev/full")[0] == 3
    foretell(service.root, "stop", label)
    service.must_be_dead(service.machines(service.runs("endless")[0]))


def test_what_fails_anyway_keeps_its_code(service: Stage) -> None:
    code, errors = said(service, "check application/20200101T000000Z-1 --json", out="/dev/full")
    assert code == 2
    assert NO_ROOM in errors


@pytest.mark.parametrize("verb", ["run application", "runs", "tidy --json"])
def test_words_that_find_no_room_change_nothing(service: Stage, verb: str) -> None:
    assert said(service, verb, err="/dev/full") == (0, "")
    assert said(service, verb, out="/dev/full", err="/dev/full") == (3, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_take_no_file_of_ours(service: Stage, closed: str) -> None:
    assert said(service, "run application", shell=closed)[0] == 0
    assert service.controller.check(service.runs("application")[0]).phase == "succeeded"
    assert said(service, "check nothing", shell=closed)[0] == 2
