"""Runs in containers: the same protocol, the same rows."""

from __future__ import annotations

import json

import pytest

from foretell.protocol.records import Request
from tests.docker.toy import REGISTRY, ROWS, Toy, eventually
from tests.standins.containers.engine import Engine


def test_run_builds_when_needed_and_delivers_what_a_process_would(toy: Toy, engine: Engine) -> None:
    for action in ("training", "application"):
        toy.foretell("run", action)
    assert toy.rows() == ROWS
    assert engine.containers() == []
    inside = (toy.store / toy.newest("application").folder / "attempts/1/output/predictions.csv").read_bytes()

    for action in ("training", "application"):
        toy.foretell("run", action, on="local")

    assert toy.rows() == ROWS
    outside = (
        toy.store / toy.newest("application").folder / "attempts/1/output/predictions.csv"
    ).read_bytes()
    assert inside == outside


def test_what_runs_is_pinned_and_recorded(toy: Toy, engine: Engine) -> None:
    head = toy.commit()
    toy.foretell("run", "training")
    request = toy.record(toy.newest("training").request, Request)
    assert request.image.startswith("sha256:")
    assert request.snapshot is None
    locked = toy.locked()
    engine.docker("rmi", "--force", locked["tag"], "foretell/toy", check=False)

    toy.foretell("run", "training")

    request = toy.record(toy.newest("training").request, Request)
    assert request.image == locked["image"]
    assert request.fingerprint == locked["fingerprint"]
    assert request.revision == head


def test_an_image_is_pulled_by_its_digest_and_needs_no_sources(toy: Toy, engine: Engine) -> None:
    toy.locked()
    engine.forget(f"{REGISTRY}/team/toy")
    for script in toy.root.glob("*.sh"):
        script.unlink()

    for action in ("training", "application"):
        toy.foretell("run", action)

    assert toy.rows() == ROWS


def test_a_tag_is_never_pushed_twice(toy: Toy) -> None:
    toy.command("training", "echo pushed > output/model")
    first = toy.locked()
    second = toy.locked()
    assert (first["new"], second["new"]) == (True, False)
    assert first["image"] == second["image"]


def test_sources_that_are_not_those_of_the_lock_are_refused_and_an_image_may_be_named(toy: Toy) -> None:
    locked = toy.locked()
    toy.command("training", "echo changed > output/model")
    refused = toy.foretell("start", "training", code=2)
    assert "foretell build --push --on docker" in refused.stderr
    toy.foretell("run", "training", "--image", locked["image"])
    assert "is not pinned" in toy.foretell("run", "training", "--image", locked["tag"], code=2).stderr
    assert toy.locked()["new"]
    toy.foretell("run", "training")


def test_an_image_of_an_older_foretell_is_given_nothing_that_it_would_ignore(toy: Toy) -> None:
    image = toy.locked()["image"]
    lock = toy.root / "foretell.lock"
    assert "reads = 2\n" in lock.read_text()
    toy.actions["training"] = 'commands = ["/bin/sh training.sh", "/bin/sh -c true"]\n'
    toy.write()

    toy.foretell("run", "training")  # an agent of today heeds it
    lock.write_text(lock.read_text().replace("reads = 2\n", ""))
    for refused in (("run", "training"), ("start", "training", "--image", image), ("plan", "training")):
        told = toy.foretell(*refused, code=2).stderr
        assert "would ignore commands" in told
        assert "foretell build --push --on docker" in told
    assert "would ignore commands" in toy.foretell("doctor", code=None).stdout
    lock.unlink()
    toy.foretell("run", "training", "--image", image)  # its label says what it reads

    lock.write_text(
        f'[docker]\nimage = "{image}"\ntag = "t"\nfingerprint = "{toy.locked()["fingerprint"]}"\n'
    )
    toy.command("training", "echo model > output/model")
    toy.foretell("run", "training", "--image", image)  # an older image runs what it always ran


def test_declared_variables_and_secrets_arrive_and_nothing_else(
    toy: Toy, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_THE_SHELL", "no")
    monkeypatch.setenv("TOKEN", "s3cret")
    toy.command("training", "env > output/model; sleep 1")
    toy.actions["training"] += (
        'env = {DECLARED = "yes"}\nsecrets = {TOKEN = "projects/p/secrets/token/versions/1"}\n'
    )
    toy.platform = 'env = {OF_THE_PLATFORM = "too"}'
    toy.write()
    run = toy.start("training")
    made = engine.docker("inspect", toy.machine(run)).stdout
    assert toy.finish(run, "wait") == "succeeded"
    env = (toy.store / run.attempt(1).folder / "output/model").read_text().splitlines()
    assert {"DECLARED=yes", "TOKEN=s3cret", "OF_THE_PLATFORM=too", "ACTION=training"} <= set(env)
    assert not any(line.startswith(("FROM_THE_SHELL", "SSL_CERT_FILE")) for line in env)
    assert "s3cret" not in json.dumps(json.loads(made)[0]["Args"])
    assert "s3cret" not in toy.tell(run)


def test_a_missing_secret_is_named(toy: Toy) -> None:
    toy.actions["training"] += 'secrets = {TOKEN = "projects/p/secrets/token/versions/1"}\n'
    toy.write()
    assert '"TOKEN"' in toy.foretell("run", "training", code=1).stderr


def test_stop_ends_the_container_and_its_children(toy: Toy, engine: Engine) -> None:
    toy.command("training", "echo begun; sleep 500 & wait")
    run = toy.start("training")
    eventually(lambda: toy.begun(run), "the command does not begin")
    (alive,) = toy.controller.platform(toy.controller.target.platform).alive("toy")
    assert (alive.run, alive.attempt, alive.name) == (run.folder, 1, toy.machine(run))
    toy.foretell("stop", run.label)
    assert toy.controller.check(run).phase == "cancelled"
    assert engine.containers() == []


def test_the_orphans_of_a_command_are_gone_with_it(toy: Toy) -> None:
    toy.command("training", "(sleep 500 &) ; (true &) ; echo model > output/model")
    toy.foretell("run", "training")


def test_the_plan_is_what_is_run(toy: Toy) -> None:
    toy.platform = 'memory = "512m"\ncpus = 1.5'
    toy.write()
    told = json.loads(toy.foretell("plan", "training").stdout)
    command = told["machine"]["command"]
    assert command[:3] == ["docker", "run", "--detach"]
    assert command[command.index("--memory") + 1] == "512m"
