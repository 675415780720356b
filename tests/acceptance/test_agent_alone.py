"""An agent from its wheel alone, that of an image of today or of before, carries out what this Foretell starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foretell.images import wheel
from foretell.protocol.rules import Phase
from tests.support import older, wheels
from tests.support.stage import DELIVERY, PREDICTIONS, Stage

pytestmark = pytest.mark.slow


@pytest.fixture(params=["today", "before"])
def interpreter(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An interpreter that has no Foretell but an agent's."""
    found = older.WHEEL
    if request.param == "today":
        found = tmp_path / "foretell.whl"
        found.write_bytes(wheel.agent().wheel)
    return str(wheels.install(found, tmp_path / "agent"))


def test_it_trains_applies_delivers_and_fails(
    stage: Stage, interpreter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)
    stage.action("trains", "echo model > output/model.txt; echo hello")
    stage.action(
        "applies", f"cat output/model.txt; {PREDICTIONS}", more='inputs = ["trains"]', delivery=DELIVERY
    )
    stage.action("fails", "echo oh; exit 3")
    controller = stage.controller
    for action in ("trains", "applies"):
        run = controller.start(action)
        assert controller.wait(run).phase is Phase.SUCCEEDED
        stage.must_be_settled(run, "succeeded")
    run = controller.start("fails")
    state = controller.wait(run)
    assert (state.phase, state.cause) == (Phase.FAILED, "the command ended with exit code 3")
    stage.must_be_settled(run, "failed")
