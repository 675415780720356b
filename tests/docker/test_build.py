"""Images as a real engine builds them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.docker.toy import REGISTRY, Toy, executed
from tests.standins.containers.engine import Engine


def inspected(engine: Engine, tag: str) -> dict:
    return json.loads(engine.docker("image", "inspect", tag).stdout)[0]


def built(toy: Toy) -> str:
    return toy.foretell("build").stdout.strip()


def test_the_same_is_not_built_twice_and_a_changed_line_makes_one_layer(toy: Toy, engine: Engine) -> None:
    first = built(toy)
    again = toy.foretell("build")
    assert again.stdout.strip() == first
    assert "nothing has changed" in again.stderr

    toy.command("training", "echo another > output/model")
    rebuilt = toy.foretell("build")
    second = rebuilt.stdout.strip()

    assert second != first
    assert executed(rebuilt.stderr) == ["COPY .foretell/service /opt/foretell/service"]
    before, after = (inspected(engine, tag)["RootFS"]["Layers"] for tag in (first, second))
    assert len([layer for layer in after if layer not in before]) == 1


def test_what_is_no_part_of_the_code_changes_nothing(toy: Toy) -> None:
    first = built(toy)
    toy.actions["training"] += 'schedule = "0 0 1 * *"\n'
    toy.write()
    (toy.root / "output").mkdir()
    (toy.root / "output" / "left").write_text("over")
    (toy.root / ".foretellignore").write_text("notes.md\n.foretellignore\n")
    (toy.root / "notes.md").write_text("a note")
    assert built(toy) == first


def test_an_image_is_not_root_and_says_what_is_in_it(toy: Toy, engine: Engine) -> None:
    toy.command("training", "echo labelled > output/model")
    head = toy.commit()
    origin = "https://me:secret@git.example.com/team/toy.git"
    subprocess.run(["git", "remote", "add", "origin", origin], cwd=toy.root, check=True)

    config = inspected(engine, built(toy))["Config"]

    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][-2:] == ["-m", "foretell.agent.guard"]
    assert config["Labels"]["org.opencontainers.image.revision"] == head
    assert config["Labels"]["org.opencontainers.image.source"] == "https://git.example.com/team/toy.git"
    assert config["Labels"]["org.opencontainers.image.version"] == "1"


def test_no_layer_keeps_what_the_host_knows_of_indexes(
    toy: Toy, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX_TEAM_PASSWORD", "very-secret")
    (toy.root / "requirements.txt").write_text("")
    tag = built(toy)
    saved = tmp_path / "image.tar"
    engine.docker("save", "--output", str(saved), tag)
    data = saved.read_bytes()
    assert b"very-secret" not in data
    assert b"127.0.0.1:5056" not in data


def test_the_files_in_the_image_are_those_of_a_run_and_no_more(toy: Toy, engine: Engine) -> None:
    (toy.root / "configs").mkdir()
    (toy.root / "configs" / "training.json").write_text("{}")
    (toy.root / "configs" / "training.json").chmod(0o600)
    (toy.root / "large.bin").write_bytes(b"x" * (11 << 20))
    (toy.root / "empty").mkdir()
    (toy.root / "link").symlink_to("configs/training.json")
    (toy.root / "outside").symlink_to("/etc/passwd")
    (toy.root / "notes.md").write_text("ignored")
    (toy.root / ".foretellignore").write_text("*.md\n.foretellignore\n!.git\n!output\n!.foretell\n")
    for never in (".git", ".foretell", "output"):
        (toy.root / never).mkdir(exist_ok=True)
        (toy.root / never / "file").write_text("never in an image")
    run = ["run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", built(toy), "-c"]
    script = "ls -A . && cat link && test -r configs/training.json && id -u"
    assert engine.docker(*run, script).stdout.split() == [
        "application.sh", "configs", "empty", "link", "training.sh", "{}10001",
    ]  # fmt: skip


def test_a_dockerfile_of_the_users_own_is_the_base(toy: Toy, engine: Engine) -> None:
    (toy.root / "Dockerfile").write_text(
        "FROM python:3.11-slim\nCOPY training.sh /copied\nENV GREETING=hello\n"
    )
    toy.image += 'dockerfile = "Dockerfile"\n'
    toy.command("training", 'cp /copied output/model && echo "$GREETING"')
    ran = toy.foretell("run", "training")
    assert "hello" in ran.stderr


def test_a_build_that_fails_says_why(toy: Toy) -> None:
    (toy.root / "requirements.txt").write_text("there-is-no-such-package==1\n")
    failed = toy.foretell("build", "--quiet", code=3)
    assert "there-is-no-such-package" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_without_an_engine_the_message_says_so(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    failed = toy.foretell("build", code=3)
    assert "no container engine is found" in failed.stderr
    monkeypatch.undo()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setenv("FORETELL_ENGINE", "/usr/bin/docker")
    failed = toy.foretell("build", code=3)
    assert "the container engine does not answer" in failed.stderr


def test_another_builder_gets_all_it_needs_and_what_it_made_is_recorded(
    toy: Toy, engine: Engine, tmp_path: Path
) -> None:
    place = tmp_path / "context"
    toy.foretell("build", "--context", str(place))
    tag = (tmp_path / "context.tag").read_text().strip()
    assert "--mount" not in (place / "Dockerfile").read_text()
    arguments = [
        f"--build-arg={name}=http://127.0.0.1:5056" for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")
    ]
    engine.docker("build", "--network", "host", *arguments, "--tag", tag, str(place))
    pushed = engine.docker("push", tag).stdout
    digest = pushed.rpartition("digest: ")[2].split()[0]
    assert "is not pinned" in toy.foretell("build", "--record", tag, code=2).stderr

    toy.foretell("build", "--record", f"{REGISTRY}/team/toy@{digest}")

    assert digest in (toy.root / "foretell.lock").read_text()
    toy.foretell("run", "training")


GOOGLE = """
[targets.google]
store = "gs://bucket"
platform = {kind = "compute-engine", project = "p", zones = ["z"]}
"""


def test_only_an_agent_that_talks_to_google_brings_the_libraries_for_it(toy: Toy, engine: Engine) -> None:
    engine.offer_google()
    toy.more = GOOGLE
    toy.write()
    light, heavy = built(toy), toy.foretell("build", on="google").stdout.strip()
    assert light != heavy
    assert inspected(engine, heavy)["Architecture"] == "amd64"  # as its machines, whatever builds
    assert json.loads(toy.foretell("build", "--push", "--json", on="google").stdout)["new"]
    assert "google = true" in (toy.root / "foretell.lock").read_text()

    agent = ["run", "--rm", "--network", "none", "--entrypoint", "/opt/foretell/agent/lib/ld.so"]
    python = ["--library-path", "/opt/foretell/agent/lib", "/opt/foretell/agent/bin/python", "-I", "-c"]
    load = "import google.auth.transport.requests, google.cloud.bigquery"
    engine.docker(*agent, heavy, *python, load)
    assert "No module named 'google'" in engine.docker(*agent, light, *python, load, check=False).stderr
