"""What a model may stand on: another C library than the agent's, or none, and packages as uv locked them."""

from __future__ import annotations

import subprocess

import pytest
from uv import find_uv_bin

from tests.docker.toy import PREDICTIONS, ROWS, Toy, executed
from tests.standins.containers.engine import INDEX, Engine, running

SAYS = """\
import msgspec, platform, sys
print("runs", sys.version_info[:2], platform.libc_ver()[1], msgspec.__version__)
"""
WRITES = 'open("output/predictions.csv", "w").write("a,b\\nx,1\\ny,2\\n")\n'


@pytest.mark.parametrize(
    ("suite", "packages", "python", "library", "msgspec"),
    [
        ("bullseye", ["python3", "python3-distutils"], "3.9", "2.31", "0.18.6"),
        ("trixie", ["python3"], "3.13", "2.41", "0.19.0"),
    ],
)
def test_a_base_with_an_older_or_a_newer_c_library(
    toy: Toy, engine: Engine, suite: str, packages: list[str], python: str, library: str, msgspec: str
) -> None:
    needs = [f"msgspec=={msgspec}"]
    engine.fetch(needs, "--no-deps", "--python-version", python)
    engine.import_debian(suite, f"debian:{suite}", "base-files", "coreutils", "dash", *packages)
    toy.image += f'base = "debian:{suite}"\n'
    (toy.root / "requirements.txt").write_text(needs[0])
    (toy.root / "predict.py").write_text(SAYS + WRITES)
    toy.command("application", "exec python predict.py")
    toy.foretell("run", "training")
    major, minor = python.split(".")
    assert f"runs ({major}, {minor}) {library} {msgspec}" in toy.foretell("run", "application").stderr
    assert toy.rows() == ROWS


def test_a_base_without_the_agents_c_library(toy: Toy, engine: Engine) -> None:
    """As Alpine is: musl, busybox, and nothing else of what the agent is linked to."""
    engine.import_debian("bookworm", "musl:1", "musl", "busybox-static")
    (toy.root / "Dockerfile").write_text('FROM musl:1\nRUN ["/bin/busybox", "--install", "-s", "/bin"]\n')
    toy.image += 'dockerfile = "Dockerfile"\n'
    toy.command("application", f'ls /lib /lib64; ls -l "$SSL_CERT_FILE"; {PREDICTIONS}')
    toy.foretell("run", "training")
    said = toy.foretell("run", "application").stderr
    assert "ld-musl-" in said
    assert "/lib64: No such file or directory" in said
    assert "/opt/foretell/agent/lib/certificates.pem" in said  # nor is there anybody whom it would trust
    assert toy.rows() == ROWS


PROJECT = """\
[project]
name = "model"
version = "1"
requires-python = ">=3.11"
dependencies = ["toml"]
"""


def test_packages_that_uv_has_locked(toy: Toy, engine: Engine) -> None:
    engine.fetch(["toml==0.10.1"])
    (toy.root / "pyproject.toml").write_text(PROJECT)
    inside = ["nsenter", f"--net=/run/netns/{engine.space}"]
    lock = [*inside, find_uv_bin(), "lock", "--quiet", "--no-config", "--python", running()]
    subprocess.run(lock, cwd=toy.root, env=engine.environ | {"UV_DEFAULT_INDEX": INDEX}, check=True)
    engine.fetch(["toml==0.10.2"])  # newer than what is locked
    (toy.root / "predict.py").write_text(f'import toml\nprint("toml", toml.__version__)\n{WRITES}')
    toy.command("application", "exec python predict.py")
    toy.foretell("run", "training")
    assert "toml 0.10.1" in toy.foretell("run", "application").stderr
    assert toy.rows() == ROWS

    toy.command("application", "exec python predict.py # changed")
    rebuilt = toy.foretell("build").stderr
    assert "uv sync" in rebuilt
    assert executed(rebuilt) == ["COPY .foretell/service /opt/foretell/service"]

    (toy.root / "pyproject.toml").write_text(PROJECT.replace('"toml"', '"toml>=0.10.2"'))
    assert "uv.lock" in toy.foretell("build", "--quiet", code=3).stderr


POETRY = """\
[tool.poetry]
name = "model"
package-mode = false
[tool.poetry.dependencies]
python = ">=3.9"
toml = "*"
"""
LOCK = """\
[[package]]
name = "toml"
version = "0.10.1"
groups = ["main"]
files = []
[metadata]
lock-version = "2.1"
"""


def test_packages_that_poetry_has_locked(toy: Toy, engine: Engine) -> None:
    engine.fetch(["toml==0.10.1"])
    engine.fetch(["toml==0.10.2"])
    (toy.root / "pyproject.toml").write_text(POETRY)
    (toy.root / "poetry.lock").write_text(LOCK)
    (toy.root / "predict.py").write_text(f'import toml\nprint("toml", toml.__version__)\n{WRITES}')
    toy.command("application", "exec python predict.py")
    toy.foretell("run", "training")
    assert "toml 0.10.1" in toy.foretell("run", "application").stderr
    assert toy.rows() == ROWS
