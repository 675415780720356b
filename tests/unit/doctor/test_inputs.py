"""What the doctor says of inputs: where they are put since the default changed, and what could be taken for them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from foretell import load
from foretell.doctor.inputs import inputs
from tests.support.past import Past

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOML = """
name = "toy"
[actions.training]
command = "true"
{training}
[actions.application]
command = "true"
inputs = {inputs}
"""


def said(root: Path, *, training: str = "", inputs_: str = '["training"]') -> list[tuple[str, str, str]]:
    (root / "foretell.toml").write_text(TOML.format(training=training, inputs=inputs_))
    service = load(root)
    return [(check.state, check.detail, check.fix) for check in inputs(service, service.targets["local"])]


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path, TOML.format(training="", inputs='["training"]'))


def test_before_the_first_run_another_place_than_its_own_output_is_said(tmp_path: Path) -> None:
    assert said(tmp_path) == []
    ((state, detail, _),) = said(tmp_path, training='output = "models"')
    assert state == "ok"
    assert detail == '"application" finds its input of "training" in "models/", not in its own output'


def test_a_place_that_has_changed_is_told_until_a_run_has_had_it_there(past: Past) -> None:
    root = past.root
    model = past.add(NOON)
    past.add(NOON, action="application", inputs=(model,))
    assert said(root) == []
    ((state, detail, fix),) = said(root, training='output = "models"')
    assert state == "warning"
    assert detail.endswith('in "models/" from its next run on; its last one had it in "output/"')
    assert fix.endswith('set inputs = {training = "output"} in [actions.application]')
    assert said(root, training='output = "models"', inputs_='{training = "output"}') == []


def test_a_file_with_the_name_of_the_models_is_told(past: Past) -> None:
    root = past.root
    model = past.add(NOON)
    for name in ("models/model", "output/model", "model.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("laptop")
    ((state, detail, fix),) = said(root)
    assert state == "warning"
    there = 'the working directory has its own "models/model", beside "output/model" of the input'
    assert detail == f"{there} {model.label}"
    assert 'set inputs = {training = "models"}' in fix
    assert [state for state, *_ in said(root, inputs_='{training = "models"}')] == ["ok"]
