"""Several commands in one attempt, as a user meets them."""

from __future__ import annotations

import json

import pytest

from foretell.protocol.records import Exit, Request
from tests.acceptance.test_cli import foretell
from tests.support.stage import Stage, eventually

pytestmark = pytest.mark.slow


def commands(stage: Stage, *scripts: str, more: str = "") -> Stage:
    """Give the service an action whose steps are shell scripts."""
    written = ", ".join(json.dumps(["sh", "-c", script]) for script in scripts)
    stage._actions["training"] = f"[actions.training]\ncommands = [{written}]\n{more}\n"
    stage.write()
    return stage


def test_steps_run_in_turn_and_each_is_told(stage: Stage) -> None:
    commands(stage, "echo {action} > made; echo one", "cat made > output/model; echo two")

    said = foretell(stage.root, "run", "training")

    (run,) = stage.runs("training")
    assert said.code == 0
    printed = said.err.splitlines()
    assert printed.index("foretell: step 1 of 2: sh -c 'echo training > made; echo one'") < printed.index(
        "one"
    )
    assert printed.index("one") < printed.index(
        "foretell: step 2 of 2: sh -c 'cat made > output/model; echo two'"
    )
    request = json.loads((stage.store / run.request).read_bytes())
    assert (request["format"], len(request["spec"]["commands"])) == (2, 2)
    shown = foretell(stage.root, "show", run.label)
    assert "sh -c 'echo training > made; echo one'" in shown.out
    assert "step 2   exit code 0, " in shown.out
    assert (
        foretell(stage.root, "show", run.label, "--json").document["commands"][0][2]
        == "echo training > made; echo one"
    )


def test_a_step_that_fails_ends_the_attempt_and_a_retry_begins_with_the_first(stage: Stage) -> None:
    commands(
        stage,
        "echo first",
        '[ "$FORETELL_ATTEMPT" = 2 ] || exit 5',
        "echo model > output/model",
        more="retries = 1",
    )

    said = foretell(stage.root, "run", "training")

    (run,) = stage.runs("training")
    assert said.code == 0
    assert said.err.count("step 1 of 3: ") == 2
    first, second = (stage.read(run.attempt(number).exit, Exit) for number in (1, 2))
    assert isinstance(first, Exit)
    assert isinstance(second, Exit)
    assert [step.code for step in first.steps] == [0, 5]
    assert first.cause.startswith("step 2 of 3, sh -c ")
    assert [step.code for step in second.steps] == [0, 0, 0]
    assert "step 3   not started: " in foretell(stage.root, "show", run.label).out


def test_a_run_that_is_stopped_begins_no_other_step(stage: Stage) -> None:
    commands(stage, "trap 'exit 0' TERM; echo begun; sleep 500 & wait", "echo second")
    label = foretell(stage.root, "start", "training").out.strip()
    eventually(lambda: "begun\n" in foretell(stage.root, "logs", label).out, "it does not begin", within=20)
    foretell(stage.root, "stop", label)
    assert foretell(stage.root, "check", label).code == 6
    (run,) = stage.runs("training")
    stage.must_be_dead(stage.machines(run))
    assert "step 2 of 2" not in foretell(stage.root, "logs", label).out


def test_a_run_of_one_command_tells_of_no_steps_and_stays_of_format_1(stage: Stage) -> None:
    commands(stage, "echo model > output/model")
    assert foretell(stage.root, "run", "training").code == 0
    (run,) = stage.runs("training")
    request = json.loads((stage.store / run.request).read_bytes())
    assert request["format"] == 1
    assert "commands" not in request["spec"]
    assert "steps" not in json.loads((stage.store / run.attempt(1).exit).read_bytes())
    assert isinstance(stage.read(run.request, Request), Request)


def test_what_only_a_shell_understands_ends_before_anything_is_started(stage: Stage) -> None:
    stage._actions["training"] = "[actions.training]\ncommand = 'true && exit 3'\n"
    stage.write()
    said = foretell(stage.root, "run", "training")
    assert said.code == 2
    assert '["sh", "-c", "true && exit 3"]' in said.err
    assert not stage.store.exists()
