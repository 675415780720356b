"""A guard that was started before it was needed is as good as any, and leaves when it is not needed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from foretell.protocol.rules import Phase
from foretell.system import standby
from tests.support.stage import Stage, must_be_gone


@pytest.fixture
def waiting() -> Iterator[standby.StandbyAgent]:
    standby.begin()
    (found,) = standby._waiting
    yield found
    for left in standby._waiting:
        left.line.close()
    standby._waiting.clear()


def ended(pid: int, patience: float = 10) -> bool:
    """Whether a child of ours ends in time."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return True
        except ChildProcessError:
            return True
        time.sleep(0.01)
    return False


def test_it_takes_the_next_launch(stage: Stage, waiting: standby.StandbyAgent) -> None:
    stage.action("trains", "echo model > output/model.txt")
    controller = stage.controller

    run = controller.start("trains")

    assert not standby._waiting
    assert controller.wait(run).phase is Phase.SUCCEEDED
    assert ended(waiting.pid)


def test_it_leaves_when_nobody_needs_it(waiting: standby.StandbyAgent) -> None:
    waiting.line.close()
    standby._waiting.clear()

    assert ended(waiting.pid)


def test_one_that_died_is_no_loss(stage: Stage, waiting: standby.StandbyAgent) -> None:
    os.kill(waiting.pid, signal.SIGKILL)
    assert ended(waiting.pid)
    stage.action("trains", "echo model > output/model.txt")
    controller = stage.controller

    assert controller.wait(controller.start("trains")).phase is Phase.SUCCEEDED


def test_stop_ends_it_and_its_command(stage: Stage, waiting: standby.StandbyAgent) -> None:
    stage.action("stays", f"echo $$ > {stage.pids}; sleep 500")
    controller = stage.controller
    run = controller.start("stays")
    while not stage.pids.exists() or not stage.pids.read_text().strip():
        time.sleep(0.02)

    controller.stop(run)

    assert controller.wait(run).phase is Phase.CANCELLED
    assert ended(waiting.pid)
    must_be_gone([int(stage.pids.read_text())])
