"""A service laid out as in the seed articles, with a foretell.toml of fewer than 15 lines and no other change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SEED = Path(__file__).parents[1] / "fixtures" / "seed"
FORETELL = [sys.executable, "-m", "foretell"]
OLD = "3.7"


def git(*arguments: str, cwd: Path) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *who, *arguments], cwd=cwd, check=True, capture_output=True)


def foretell(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FORETELL, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The articles' second repository, with the model's own as the submodule `source`."""
    return make(tmp_path)


def make(place: Path, *, old: bool = False) -> Path:
    model, service = place / "model", place / "service"
    shutil.copytree(SEED / "model", model)
    shutil.copytree(SEED / "service", service)
    if old:
        (model / "requirements-seed.txt").rename(model / "requirements.txt")
        (service / ".python-version-seed").rename(service / ".python-version")
    for repository in (model, service):
        git("init", cwd=repository)
        git("add", ".", cwd=repository)
        git("commit", "-m", "begin", cwd=repository)
    git("submodule", "add", str(model), "source", cwd=service)
    git("commit", "-am", "embed the model", cwd=service)
    return service


def delivered(service: Path) -> list[dict[str, object]]:
    shown = foretell("predictions", "--json", cwd=service)
    assert shown.returncode == 0, shown.stderr
    document = json.loads(shown.stdout)
    assert document["table"] == "predictions"
    return sorted(document["rows"], key=lambda row: str(row["player_id"]))


def test_the_service_file_has_fewer_than_15_lines() -> None:
    for name in ("foretell.toml", "foretell-slip.toml"):
        assert len((SEED / "service" / name).read_text().splitlines()) < 15


def test_it_trains_applies_and_delivers(service: Path) -> None:
    for action in ("training", "application"):
        ran = foretell("run", action, cwd=service)
        assert ran.returncode == 0, ran.stderr

    rows = delivered(service)

    assert [row["player_id"] for row in rows] == [f"{number:04}" for number in range(1, 9)]
    assert [row["player_id"] for row in rows if row["label"]] == ["0002", "0004", "0005", "0007"]


def test_a_slip_in_the_columns_is_refused_with_both_lists_and_what_mends_it(service: Path) -> None:
    shutil.copy(SEED / "service" / "foretell-slip.toml", service / "foretell.toml")
    assert foretell("run", "training", cwd=service).returncode == 0

    refused = foretell("run", "application", cwd=service)

    assert refused.returncode == 5
    for part in ("player_id", "customer_id", "label", 'player_id = {type = "STRING", from = "customer_id"}'):
        assert part in refused.stderr
    assert foretell("predictions", cwd=service).returncode == 2  # there is no table


def test_the_seeds_own_pandas_on_its_own_python_runs(tmp_path: Path) -> None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    if not shutil.which(f"python{OLD}") and not list(pyenv.glob(f"{OLD}.*")):
        pytest.skip(f"no Python {OLD} on this machine")
    service = make(tmp_path, old=True)

    for action in ("training", "application"):
        ran = foretell("run", action, cwd=service)
        assert ran.returncode == 0, ran.stderr

    assert len(delivered(service)) == 8
