"""A package that brings a platform and a warehouse, installed beside Foretell: two actions, and the suites."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import kinds

HOUSE = Path(__file__).parents[2]
SERVICE = """\
name = "toy"
[actions.training]
command = "sh -c 'echo 3 > output/model'"
[actions.application]
command = "sh -c 'printf \\"a,b\\\\nx,1\\\\n\\" > output/predictions.csv'"
inputs = ["training"]
delivery = {file = "predictions.csv", columns = "a:STRING,b:INT64"}
[targets.server]
platform = {kind = "bench"}
warehouse = {kind = "crate"}
[source]
python = false
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kinds.python(tmp_path_factory.mktemp("beside") / "venv")


def test_two_actions_run_on_it_and_deliver_to_it(python: Path, tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text(SERVICE)

    def foretell(*words: str) -> str:
        done = subprocess.run(
            [python, "-I", "-m", "foretell", *words, "--on", "server"],
            cwd=tmp_path,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    foretell("run", "training")
    foretell("run", "application")
    assert foretell("predictions") == "a  b\nx  1\n"
    assert (tmp_path / "crate.db").is_file()
    assert (tmp_path / "bench" / "machines").is_dir()
    plan = foretell("plan", "application")
    assert "foretell.agent.guard" in plan
    foretell("doctor")


@pytest.mark.parametrize("suite", ["contract/test_platforms.py", "fixtures/kinds/test_crate.py"])
def test_it_passes_the_suite(python: Path, suite: str) -> None:
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "bench or crate", f"tests/{suite}"],
        cwd=HOUSE,
        env={**os.environ, "FORETELL_CONTRACT_KIND": "bench"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
