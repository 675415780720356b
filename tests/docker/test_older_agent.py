"""An image that a Foretell of before has built carries out what this one starts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from foretell.images import build
from foretell.protocol.records import Exit, Receipt
from foretell.system import container_engine
from tests.docker.toy import ROWS, Toy
from tests.standins.containers.engine import Engine
from tests.support import older


def image(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> str:
    """Build the service's image with the agent of before in it; give what the engine calls it."""
    monkeypatch.setattr(build, "READS", "foretell.older")  # it had no such label
    controller = toy.controller
    draft = build.ImageBuild(controller.service, controller.target)
    draft.agent = replace(draft.agent, name=older.WHEEL.name, wheel=older.WHEEL.read_bytes())
    return build.build(draft, container_engine.find()).id


def test_its_agent_trains_applies_and_delivers(
    toy: Toy, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = image(toy, monkeypatch)
    inside = engine.docker(
        "run",
        "--rm",
        "--entrypoint",
        "/bin/sh",
        named,
        "-c",
        "ls -d /opt/foretell/agent/lib/python*/site-packages/foretell-*",
    ).stdout
    assert "foretell-0.1.0.dist-info" in inside

    for action in ("training", "application"):
        toy.foretell("run", action, "--image", named)

    run = toy.newest("application")
    assert toy.rows() == ROWS
    assert toy.controller.check(run).phase == "succeeded"
    assert toy.record(run.delivery, Receipt).rows == 2
    assert toy.record(run.attempt(1).exit, Exit).code == 0
    assert engine.containers() == []


def test_what_fails_there_is_told_here(toy: Toy, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.command("training", "echo oh; exit 3")
    told = toy.foretell("run", "training", "--image", image(toy, monkeypatch), code=1)
    assert "exit code 3" in told.stderr + told.stdout
    assert b"oh" in toy.log(toy.newest("training"))
    assert engine.containers() == []
