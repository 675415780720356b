"""A command that writes beside its output, or reads a model that is not the input: told, and never a green that lies."""

from __future__ import annotations

import pytest

from foretell.controller import history
from foretell.controller.resolve import StartOptions
from foretell.errors import UsageError
from foretell.protocol import models
from foretell.protocol.keys import Run
from foretell.protocol.records import Exit, Outcome
from tests.support.stage import Stage

pytestmark = pytest.mark.slow


def ended(stage: Stage, action: str) -> tuple[Run, str]:
    """The newest run of an action, and what it left for a person."""
    run = stage.runs(action)[0]
    end = stage.read(run.attempt(1).exit, Exit)
    assert isinstance(end, Exit)
    return run, "\n".join((*end.notes, end.cause))


def test_what_is_written_beside_the_output_is_told_with_the_key_that_keeps_it(stage: Stage) -> None:
    (stage.root / "models").mkdir()
    (stage.root / "models" / "model.pkl").write_text("old")
    stage.action(
        "training",
        "echo new > models/model.pkl; mkdir -p models/deep __pycache__; echo 1 > models/deep/x; :> __pycache__/a.pyc",
    )
    assert stage.act("run", "training") == "succeeded", stage.tell()
    assert ended(stage, "training")[1] == (
        'not kept, because outside of "output/": models/model.pkl (4 B), models/deep/x (2 B); '
        'to keep it, set output = "models" in [actions.training]\n'
        'nothing was kept: the command wrote nothing to "output/"\n'
    )
    stage.action("training", "echo 1 > output/x; mkdir a b; echo 1 > a/1; echo 1 > b/1")
    assert stage.act("run", "training", "1") == "succeeded", stage.tell()
    assert ended(stage, "training")[1] == (
        'not kept, because outside of "output/": a/1 (2 B), b/1 (2 B); to keep it, let the command write to "output/"\n'
    )


def test_a_command_that_writes_nothing_at_all_is_told_and_its_log_is_its_own(stage: Stage) -> None:
    stage.action("training", "echo printed")
    assert stage.act("run", "training") == "succeeded", stage.tell()
    run, told = ended(stage, "training")
    assert told == 'nothing was kept: the command wrote nothing to "output/"\n'
    assert history.tail(stage.controller.store, run, 1) == b"printed\n"


def test_a_run_that_kept_nothing_is_no_model_whenever_it_was_written(stage: Stage) -> None:
    stage.action("training", "echo new > model.pkl")
    assert stage.act("run", "training") == "succeeded", stage.tell()
    run, told = ended(stage, "training")
    assert "model.pkl (4 B)" in told
    outcome = stage.read(run.outcome, Outcome)
    assert isinstance(outcome, Outcome)
    assert outcome.files == 0
    stage.action("application", "cat output/model.pkl", more='inputs = ["training"]')
    assert stage.controller.execute(models.examine(run)) == "it kept nothing"
    with pytest.raises(UsageError, match='needs a model of "training"') as refused:
        stage.controller.ask("application", StartOptions())
    assert refused.value.why.endswith("is none: it kept nothing")
    with pytest.raises(UsageError, match="is no model"):
        stage.controller.ask("application", StartOptions(inputs={"training": run.id}))
    assert stage.act("run", "training", "1") == "failed"
    assert "set `output` of [actions.training]" in ended(stage, "training")[1]
    assert "model.pkl (4 B)" in ended(stage, "training")[1]


def test_what_an_input_brought_is_nothing_that_was_kept(stage: Stage) -> None:
    stage.action("training", "echo m > output/model")
    stage.action("calibration", "cat output/model", more='inputs = ["training"]')
    stage.action("application", "cat output/model", more='inputs = ["calibration"]')
    assert stage.act("run", "training") == "succeeded", stage.tell()
    assert stage.act("run", "calibration") == "failed"
    assert 'wrote nothing to "output/"' in ended(stage, "calibration")[1]


def test_an_input_is_put_where_its_action_wrote_it_and_a_namesake_is_told(stage: Stage) -> None:
    (stage.root / "old" / "models").mkdir(parents=True)
    (stage.root / "old" / "models" / "model").write_text("laptop")
    (stage.root / "models").mkdir()
    (stage.root / "models" / "model").write_text("laptop")
    stage.action("training", "echo new > models/model", more='output = "models"')
    stage.action("application", "cp models/model output/used", more='inputs = ["training"]')
    assert stage.act("run", "training") == "succeeded", stage.tell()
    assert stage.act("run", "application") == "succeeded", stage.tell()
    run, told = ended(stage, "application")
    label = stage.runs("training")[0].label
    assert (stage.store / run.attempt(1).output("used")).read_text() == "new\n"
    assert told == (
        f'the working directory has its own "old/models/model", beside "models/model" of the input {label}: '
        'if the command reads the former, set inputs = {training = "old/models"}\n'
    )


def test_inputs_that_are_in_each_others_way_are_refused_with_the_table_that_mends_it(stage: Stage) -> None:
    (stage.root / "config").write_text("a file")
    stage.action("left", "echo left > output/model")
    stage.action("right", "echo right > output/model")
    stage.action(
        "application", "cat output/model right/model > output/both", more='inputs = ["left", "right"]'
    )
    for action in ("left", "right"):
        assert stage.act("run", action) == "succeeded", stage.tell()
    assert stage.act("run", "application", "1") == "failed"
    mend = 'inputs = {left = "output", right = "right"}'
    assert 'two inputs both contain "model" for "output"' in ended(stage, "application")[1]
    assert mend in ended(stage, "application")[1]
    stage.action(
        "application", "cat output/model right/model > output/both", more='inputs = {left = "config"}'
    )
    assert stage.act("run", "application", "2") == "failed"
    assert 'cannot be placed in "config"' in ended(stage, "application")[1]
    stage.action("application", "cat output/model right/model > output/both", more=mend)
    assert stage.act("run", "application", "3") == "succeeded", stage.tell()
    run, _ = ended(stage, "application")
    assert (stage.store / run.attempt(1).output("both")).read_text() == "left\nright\n"
