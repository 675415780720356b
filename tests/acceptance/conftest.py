"""The stage that acceptance tests act on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.system.processes import kill_survivors, marker
from tests.support.stage import DELIVERY, PREDICTIONS, Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A service without actions; whatever of it still lives after the test is killed."""
    found = Stage(tmp_path / "service")
    yield found
    for machine in found.left_behind():
        kill_survivors(marker(machine.removeprefix(".")))


@pytest.fixture
def toy(stage: Stage) -> Stage:
    """The service of the kill tests: an action for every kind of life."""
    model = "echo model > output/model.txt; head -c 3000 /dev/zero > output/large.bin"
    first = '[ "$FORETELL_ATTEMPT" = 1 ]'
    stage.action("delivers", f"echo hello; {PREDICTIONS}", delivery=DELIVERY)
    stage.action("trains", f"echo hello; {model}")
    stage.action("fails", "echo hello; exit 3")
    stage.action("mends", f"{first} && exit 3; {model}", more="retries = 1")
    stage.action("stays", f"if {first}; then sleep 500 & echo $$ $! >> {stage.pids}; wait; fi; {model}")
    return stage
