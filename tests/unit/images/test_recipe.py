"""Service → Dockerfile and fingerprint, without an engine."""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path

import pytest
from msgspec.structs import replace

from foretell.cli import main as door
from foretell.errors import UsageError
from foretell.images import build, chosen, context, index, lock, recipe, wheel
from foretell.images.lock import Locked
from foretell.images.recipe import Ingredients
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.service.load import load
from foretell.service.model import Image, Service, Source, Target
from foretell.service.requirements.steps import InstallStep
from foretell.system import container_engine
from foretell.warehouses.duckdb.settings import DuckDBSettings

GOLDEN = Path(__file__).parents[2] / "fixtures" / "dockerfiles"
FILE = """
name = "toy"
[source]
python = "3.7"
[actions.training]
command = "python train.py"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "foretell.toml").write_text(FILE)
    (tmp_path / "train.py").write_text("print()\n")
    (tmp_path / "requirements.txt").write_text("pandas\n-r more.txt\n")
    (tmp_path / "more.txt").write_text("six\n")
    return tmp_path


def service(root: Path, source: dict[str, object] | None = None, **image: object) -> Service:
    made = load(root, environ={})
    return replace(made, image=Image(**image), source=replace(made.source, **(source or {})))


def draft(root: Path, target: str = "docker") -> build.ImageBuild:
    made = load(root, environ={})
    return build.ImageBuild(made, made.targets[target], environ={})


# --- the Dockerfile ---------------------------------------------------------------------------------------------------

OWN = "ARG CUDA=12\nFROM nvidia/cuda:$CUDA AS tools\nRUN make\n\nfrom --platform=linux/amd64 python:3.11\nCOPY . /model\n"
PLAIN = Source(path="source", python="3.7", requirements=("source/requirements.txt", "requirements.txt"))
READ = Ingredients(sources="0", running=(3, 11), steps=(InstallStep(files=PLAIN.requirements),))
POETRY = InstallStep(text="six==1.17.0\n", complete=True)
PROJECT = InstallStep(
    files=("a b/pyproject.toml",), options=("--group", "a b/pyproject.toml:train"), for_pip=False
)
CASES: dict[str, tuple[Image, Source, Ingredients, bool]] = {
    "requirements": (Image(), PLAIN, READ, True),
    "apt": (Image(apt=("libgomp1", "a b")), PLAIN, READ, True),
    "poetry": (Image(), Source(requirements=("poetry.lock",)), replace(READ, steps=(POETRY,)), True),
    "project": (Image(), Source(requirements=PROJECT.files), replace(READ, steps=(PROJECT, POETRY)), True),
    "bare": (Image(base="r-base:4"), Source(environment=False), replace(READ, steps=()), True),
    "locked": (
        Image(base="registry.example.com/base:1", agent_base="python:3.12-slim"),
        Source(python=">=3.9", locked="."),
        Ingredients(sources="0", running=(3, 11), whole=True),
        True,
    ),
    "own": (
        Image(dockerfile="Dockerfile"),
        Source(),
        Ingredients(sources="0", running=(3, 11), own=OWN),
        True,
    ),
    "without-mounts": (Image(), PLAIN, READ, False),
}


@pytest.mark.parametrize("name", CASES)
def test_the_dockerfile_is_the_golden_one(name: str, root: Path) -> None:
    image, source, read, mounts = CASES[name]
    made = replace(load(root, environ={}), image=image, source=source)
    labels = {"org.opencontainers.image.title": "toy", "a": 'with "quotes" and $signs'}
    text = recipe.dockerfile(made, read, uv="0.13.9", labels=labels, mounts=mounts)
    golden = GOLDEN / f"{name}.Dockerfile"
    if os.environ.get("FORETELL_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_a_dockerfile_without_a_stage_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="has no FROM"):
        recipe.dockerfile(
            service(root), Ingredients(sources="0", running=(3, 11), own="# nothing\n"), uv="1", labels={}
        )


def test_the_last_stage_of_a_dockerfile_may_have_a_name(root: Path) -> None:
    read = Ingredients(sources="0", running=(3, 11), own="FROM a AS one\nFROM one AS Two\nRUN true\n")
    text = recipe.dockerfile(service(root), read, uv="1", labels={})
    assert "FROM Two AS foretell-base" in text


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        (None, "3.11"),
        ("3.7", "3.7"),
        ("3.9.18", "3.9.18"),
        ("==3.8", "3.8"),
        (">=3.9", "3.11"),
        (">=3.12", "3.14"),
        (">=3.8,<3.11", "3.10"),
        (">=3.8, <=3.10", "3.10"),
        ("~=3.9", "3.11"),
        ("~=3.9.2", "3.9"),
        (">3.11", "3.14"),
        ("!=3.11.*", "3.14"),
        ("==3.10.*", "3.10"),
        ("<3.9.5", "3.9"),
        ("<3.9.0", "3.8"),
        (">=3.10,!=3.11.*,<3.13", "3.12"),
        (">=3", "3.11"),
    ],
)
def test_a_specifier_becomes_the_version_of_an_image(asked: str | None, version: str) -> None:
    assert recipe.python(asked, (3, 11)) == version


@pytest.mark.parametrize("asked", [">=4", "<3.7", "pypy3.9", ">=3.11,<3.11"])
def test_a_specifier_without_an_image_is_refused(asked: str) -> None:
    with pytest.raises(UsageError, match="no image of Python"):
        recipe.python(asked, (3, 11))


def test_a_dry_run_prints_the_dockerfile_and_needs_no_engine(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    asked = ["build", "--dry-run", "--on", "docker", "--file", str(root / "foretell.toml")]
    assert door.main(asked) == 0
    assert capfd.readouterr().out.strip() == draft(root).dockerfile().strip()
    assert not (root / ".foretell").exists()
    assert door.main([*asked, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["tag"] == draft(root).tag


# --- the fingerprint --------------------------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_what_is_in_the_image_and_with_nothing_else(root: Path) -> None:
    first = draft(root)
    (root / "foretell.toml").write_text(FILE + 'schedule = "0 0 1 * *"\n[targets.other]\n')
    (root / "foretell.lock").write_text("")
    (root / "output").mkdir()
    (root / "output" / "model").write_text("a")
    os.utime(root / "train.py", (1, 1))
    assert draft(root).fingerprint == first.fingerprint
    assert draft(root).tag == first.tag
    seen = {first.fingerprint}
    for change in (
        lambda: (root / "train.py").write_text("print(1)\n"),
        lambda: (root / "more.txt").write_text("six==1\n"),
        lambda: (root / "train.py").chmod(0o755),
        lambda: (root / "foretell.toml").write_text(FILE.replace("3.7", "3.8")),
        lambda: (root / "foretell.toml").write_text(FILE + '[image]\napt = ["git"]\n'),
        lambda: (root / "foretell.toml").write_text(FILE + '[image]\nbase = "other"\n'),
    ):
        change()
        assert draft(root).fingerprint not in seen
        seen.add(draft(root).fingerprint)


def test_large_and_outside_files_are_in_neither_image_nor_fingerprint(root: Path) -> None:
    first = draft(root)
    (root / "large.bin").write_bytes(b"x" * (11 << 20))
    (root / "outside").symlink_to("/etc/hostname")
    second = draft(root)
    assert second.fingerprint == first.fingerprint
    assert {entry.path for entry in second.tree.entries} == {"train.py", "requirements.txt", "more.txt"}


def test_another_foretell_makes_another_image_of_the_same_fingerprint(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = draft(root)
    newer = replace(first.agent, wheel=b"newer")
    monkeypatch.setattr(wheel, "agent", lambda **_: newer)
    second = draft(root)
    assert (second.fingerprint, second.tag == first.tag) == (first.fingerprint, False)


def test_sources_are_here_only_where_there_is_something_to_build(root: Path) -> None:
    assert draft(root).sources_are_here
    for path in root.iterdir():
        if path.name != "foretell.toml":
            path.unlink()
    (root / "foretell.lock").write_text("")
    (root / "dags.py").write_text("")
    assert not draft(root).sources_are_here


def test_a_target_of_processes_has_no_image(root: Path) -> None:
    with pytest.raises(UsageError, match='the target "local" runs no images'):
        draft(root, "local")


def machines(machine_type: object, **actions: object) -> Target:
    """A target of Compute Engine, with machine types of its own for some actions."""
    made = ComputeEngineSettings(project="p", zones=("z",), machine_type=machine_type)
    own = {name: replace(made, machine_type=kind) for name, kind in actions.items()}
    bucket, warehouse = "gs://b", DuckDBSettings(path="/w")
    return Target(name="production", store=bucket, platform=made, warehouse=warehouse, actions=own)


def building(made: build.ImageBuild, aside: Path) -> list[str]:
    """The arguments of the build, by an engine that is not asked."""
    docker = container_engine.Engine("docker", {})
    docker.is_podman = False
    return build._command(made, docker, aside, aside)


@pytest.mark.parametrize(
    ("target", "platform"),
    [
        (machines("n1-standard-1"), "linux/amd64"),
        (machines("n4-standard-2"), "linux/amd64"),
        (machines("c4d-standard-2"), "linux/amd64"),
        (machines("t2d-standard-4"), "linux/amd64"),
        (machines("a2-highgpu-1g"), "linux/amd64"),
        (machines(("n2-standard-8", "n2-highmem-16"), training="m1-ultramem-40"), "linux/amd64"),
        (machines("t2a-standard-4"), "linux/arm64"),
        (machines(("c4a-highmem-8", "c4a-highmem-16")), "linux/arm64"),
        (machines("n4a-standard-1", training=("c4a-standard-4",)), "linux/arm64"),
        (machines("a4x-highgpu-4g"), "linux/arm64"),
    ],
)
def test_the_architecture_is_that_of_the_targets_machines(
    target: Target, platform: str, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = build.ImageBuild(load(root, environ={}), target, environ={})
    command = building(made, tmp_path_factory.mktemp("aside"))
    assert command[command.index("--platform") + 1] == platform


def test_an_engine_that_runs_what_it_builds_is_asked_for_no_architecture(root: Path, tmp_path: Path) -> None:
    assert "--platform" not in building(draft(root), tmp_path)


@pytest.mark.parametrize(
    "target",
    [machines(("c4a-standard-4", "n4-standard-4")), machines("n1-standard-1", training="t2a-standard-4")],
)
def test_machines_of_two_architectures_are_refused(target: Target, root: Path) -> None:
    with pytest.raises(UsageError, match="two architectures"):
        _ = build.ImageBuild(load(root, environ={}), target, environ={}).tag


# --- the context ------------------------------------------------------------------------------------------------------


def test_the_context_holds_what_the_dockerfile_copies(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (root / "train.py").chmod(0o600)
    into = tmp_path_factory.mktemp("context")
    draft(root).write(into)
    files = {path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()}
    name = wheel.agent().name
    assert files == {
        "Dockerfile",
        f".foretell/agent/{name}",
        ".foretell/agent/requirements.txt",
        ".foretell/agent/assemble.py",
        ".foretell/requirements/requirements.txt",
        ".foretell/requirements/more.txt",
        *(f".foretell/service/{path}" for path in ("train.py", "requirements.txt", "more.txt")),
    }
    assert (into / ".foretell/service/train.py").stat().st_mode & 0o777 == 0o644


def test_requirements_that_ask_for_the_source_bring_all_of_it(root: Path) -> None:
    (root / "more.txt").write_text("-e ./lib\n")
    made = draft(root)
    assert made.ingredients.whole
    assert "COPY .foretell/service /opt/foretell/service\nWORKDIR" in made.dockerfile()


def test_a_users_dockerfile_sees_the_service_as_its_context(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (root / "foretell.toml").write_text(FILE + '[image]\ndockerfile = "Dockerfile"\n')
    (root / "Dockerfile").write_text("FROM a\nCOPY train.py /\n")
    (root / ".dockerignore").write_text("*\n!train.py\n!Dockerfile\n!.dockerignore\n!.foretell\n")
    into = tmp_path_factory.mktemp("context")
    draft(root).write(into)
    assert (into / "train.py").is_file()
    assert not (into / ".dockerignore").exists()
    assert "foretell.agent.guard" in (into / "Dockerfile").read_text()


def test_a_missing_dockerfile_is_told(root: Path) -> None:
    (root / "foretell.toml").write_text(FILE + '[image]\ndockerfile = "Dockerfile"\n')
    with pytest.raises(UsageError, match='the Dockerfile "Dockerfile" cannot be read'):
        _ = draft(root).fingerprint


def test_the_wheel_is_the_same_every_time_and_the_agents_needs_are_pinned() -> None:
    first, second = wheel.agent(), wheel.agent()
    assert first == second
    assert all("==" in line for line in first.requirements.splitlines())
    assert {line.partition("==")[0] for line in first.requirements.splitlines()} >= set(wheel.NEEDED)


def test_an_agent_that_talks_to_google_brings_all_that_its_libraries_need() -> None:
    light, heavy = wheel.agent(), wheel.agent(google=True)
    names = {line.partition("==")[0] for line in heavy.requirements.splitlines()}
    assert names >= {"google-auth", "google-cloud-bigquery", "requests"}
    assert "grpcio" in names  # an extra of one that they need
    assert "cryptography" in names
    assert not any(name in light.requirements for name in ("google", "requests", "cryptography"))
    assert heavy.digest != light.digest


def test_what_is_not_installed_here_cannot_be_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    known = metadata.distribution

    def without(name: str) -> metadata.Distribution:
        if name == "requests":
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(metadata, "distribution", without)
    wheel.agent()
    with pytest.raises(UsageError, match='needs "requests"') as caught:
        wheel.agent(google=True)
    assert "foretell[google]" in caught.value.hint


ELSEWHERE = {
    "gs": 'store = "gs://bucket"\n[targets.gs.platform]\nkind = "docker"\n',
    "bq": 'platform = {kind = "docker"}\n[targets.bq.warehouse]\nkind = "bigquery"\n',
    "vm": 'store = "gs://b"\n[targets.vm.platform]\nkind = "compute-engine"\nproject = "p"\nzones = ["z"]\n',
    "s3": 'store = "s3://bucket"\n[targets.s3.platform]\nkind = "docker"\n',
}


@pytest.mark.parametrize(("target", "google"), [("gs", True), ("bq", True), ("vm", True), ("s3", False)])
def test_who_talks_to_google_follows_from_the_target(root: Path, target: str, google: bool) -> None:
    light = draft(root)
    (root / "foretell.toml").write_text(f"{FILE}[targets.{target}]\n{ELSEWHERE[target]}")
    made = draft(root, target)
    assert made.target.needs_google is google
    assert ("google-auth" in made.agent.requirements) is google
    if target != "vm":  # whose image is of another architecture besides
        assert (made.tag != light.tag) is google
    assert made.fingerprint == light.fingerprint
    assert made.locked(ENTRY.image).google is google


def test_a_locked_image_without_googles_libraries_does_not_serve_a_target_that_moved_there(
    root: Path,
) -> None:
    file = f'{FILE}[targets.there]\n%splatform = {{kind = "docker"}}\n'
    (root / "foretell.toml").write_text(file % "")
    lock.write(root, "there", draft(root, "there").locked(ENTRY.image))
    (root / "foretell.toml").write_text(file % 'store = "gs://bucket"\n')
    made = draft(root, "there")
    with pytest.raises(UsageError, match="cannot talk to Google") as caught:
        chosen.choose(made.service, made.target, local=True, say=print)
    assert "foretell build --push --on there" in caught.value.hint


# --- indexes ----------------------------------------------------------------------------------------------------------


def test_what_the_host_knows_of_indexes_is_handed_on(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://a.example.com/simple\nextra-index-url = file:///x https://b.example.com\ncert = /c\n"
    )
    environ = {
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_TRUSTED_HOST": "b.example.com",
        "UV_INDEX_TEAM_PASSWORD": "it's secret",
        "HTTPS_PROXY": "http://proxy:1",
        "OTHER": "no",
    }
    assert index.exports(environ, certificates=True).splitlines() == [
        "export HTTPS_PROXY=http://proxy:1",
        "export PIP_CERT=/run/secrets/foretell-certificates",
        "export PIP_EXTRA_INDEX_URL=https://b.example.com",
        "export PIP_INDEX_URL=https://a.example.com/simple",
        "export PIP_TRUSTED_HOST=b.example.com",
        "export SSL_CERT_FILE=/run/secrets/foretell-certificates",
        "export UV_DEFAULT_INDEX=https://a.example.com/simple",
        "export UV_INDEX=https://b.example.com",
        "export UV_INDEX_TEAM_PASSWORD='it'\"'\"'s secret'",
        "export UV_INSECURE_HOST=b.example.com",
    ]


def test_a_secret_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    options = index.secrets({"PIP_CONFIG_FILE": "/dev/null"}, tmp_path)
    script = tmp_path / "foretell-index"
    assert options == ["--secret", f"id=foretell-index,src={script}"]
    assert script.stat().st_mode & 0o077 == 0


# --- the lock ---------------------------------------------------------------------------------------------------------

ENTRY = Locked(image=f"r/toy@sha256:{'a' * 64}", tag="r/toy:1-b", fingerprint="c", revision="d")


def test_the_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert lock.read(tmp_path) == {}
    assert lock.write(tmp_path, "production", ENTRY)
    other = replace(ENTRY, revision="")
    assert lock.write(tmp_path, "docker", other)
    assert lock.read(tmp_path) == {"production": ENTRY, "docker": other}


def test_the_same_image_is_not_locked_again_for_another_revision(tmp_path: Path) -> None:
    lock.write(tmp_path, "docker", ENTRY)
    assert not lock.write(tmp_path, "docker", replace(ENTRY, revision="later"))
    assert lock.read(tmp_path)["docker"] == ENTRY


@pytest.mark.parametrize(
    "text",
    ["[docker]\nimage = 1\n", "[docker\n", '[docker]\nimage = "r/toy:1"\ntag = ""\nfingerprint = ""\n'],
)
def test_a_lock_that_is_no_lock_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "foretell.lock").write_text(text)
    with pytest.raises(UsageError):
        lock.read(tmp_path)


def test_what_belongs_is_decided_without_reading(root: Path) -> None:
    (root / "link").symlink_to("train.py")
    (root / "broken").symlink_to("nowhere")
    assert {entry.path for entry in context.scan(load(root, environ={})).entries} >= {"link", "train.py"}
    assert "broken" not in {entry.path for entry in context.scan(load(root, environ={})).entries}
