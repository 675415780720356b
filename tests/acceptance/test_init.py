"""`foretell init`: what it makes runs at once, and what is there stays."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from foretell.service import Service
from tests.acceptance.test_cli import foretell

MAIN = """
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--action")
parser.add_argument("--config")
pathlib.Path("output/made.txt").write_text(parser.parse_args().action)
"""


def model(place: Path) -> Path:
    """A model's repository without Foretell."""
    (place / "prediction").mkdir(parents=True)
    (place / "prediction" / "__init__.py").touch()
    (place / "prediction" / "main.py").write_text(MAIN)
    (place / "configs").mkdir()
    for action in ("training", "application"):
        (place / "configs" / f"{action}.json").write_text("{}")
    return place


def repository(place: Path) -> Path:
    model(place)
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    for arguments in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "model")):
        subprocess.run(["git", *arguments], cwd=place, check=True)
    return place


def test_a_new_service_runs_at_once(tmp_path: Path) -> None:
    made = foretell(tmp_path, "init", "My Service")
    service = tmp_path / "My Service"
    assert made.code == 0
    assert "foretell.toml" in made.out
    assert Service.load(service).name == "my-service"

    assert foretell(service, "run", "training").code == 0
    applied = foretell(service, "run", "application", "--json").document
    assert (applied["state"], applied["rows"]) == ("succeeded", 80)
    rows = foretell(service, "predictions", "--limit", "0", "--json").document["rows"]
    assert len(rows) == 80
    assert set(rows[0]) == {"customer_id", "probability", "label", "prediction_date"}
    assert 0.6 < foretell(service, "models", "--json").document["models"][0]["metrics"]["accuracy"] <= 1


def test_the_repository_at_hand_is_adopted(tmp_path: Path) -> None:
    root = repository(tmp_path / "churn")
    before = {
        path: path.read_bytes() for path in root.rglob("*") if path.is_file() and ".git" not in path.parts
    }

    made = foretell(root, "init", "--json").document

    assert sorted(made["files"]) == [".gitignore", "dags.py", "foretell.toml"]
    assert all(path.read_bytes() == content for path, content in before.items())
    service = Service.load(root)
    assert (service.name, list(service.actions)) == ("churn", ["training", "application"])
    assert foretell(root, "run", "training").code == 0
    assert foretell(root, "run", "application").code == 0
    again = foretell(root, "init")
    assert again.code == 2
    assert "already" in again.err


@pytest.mark.parametrize(
    ("files", "commands"),
    [
        ({"train.py": "", "predict.py": ""}, {"training": "train.py", "application": "predict.py"}),
        ({"scripts/fit.py": ""}, {"training": "scripts/fit.py"}),
        (
            {"churn/__main__.py": "add_parser('train'), add_parser('score')"},
            {"training": "train", "application": "score"},
        ),
        ({"README.md": ""}, {"training": "train.py"}),
    ],
)
def test_commands_are_found(tmp_path: Path, files: dict[str, str], commands: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    made = foretell(tmp_path, "init")

    assert made.code == 0
    found = {name: action.command[-1] for name, action in Service.load(tmp_path).actions.items()}
    assert found == commands


def test_a_model_with_git_becomes_a_submodule(tmp_path: Path) -> None:
    source = repository(tmp_path / "model")

    made = foretell(tmp_path, "init", "service", "--model", "model")

    assert made.code == 0, made.err
    service = tmp_path / "service"
    assert str(source) in (service / ".gitmodules").read_text()
    assert (service / "configs" / "training.json").exists()
    assert foretell(service, "run", "training").code == 0
    shown = foretell(service, "runs", "--json").document["runs"][0]["run"]
    assert foretell(service, "get", shown, "--to", str(tmp_path / "files")).code == 0
    assert (tmp_path / "files" / "made.txt").read_text() == "training"


def test_a_model_at_a_url_becomes_a_submodule(tmp_path: Path) -> None:
    source = repository(tmp_path / "model")
    assert foretell(tmp_path, "init", "service", "--model", source.as_uri()).code == 0
    assert (tmp_path / "service" / "source" / "prediction" / "main.py").exists()


def test_a_model_without_git_is_copied(tmp_path: Path) -> None:
    model(tmp_path / "model")

    made = foretell(tmp_path, "init", "service", "--model", str(tmp_path / "model"))

    assert made.code == 0
    assert "is a copy" in made.err
    assert not (tmp_path / "service" / ".gitmodules").exists()
    assert foretell(tmp_path / "service", "run", "training").code == 0


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "README.md").write_text("mine")

    refused = foretell(tmp_path, "init", "full")
    begun = foretell(tmp_path, "init", "begun")

    assert refused.code == 2
    assert "thesis.tex" in refused.err
    assert begun.code == 0
    assert (tmp_path / "begun" / "README.md").read_text() == "mine"


@pytest.mark.parametrize("wrong", ["nowhere", "file:///nowhere/at/all.git"])
def test_a_model_that_is_not_there_leaves_nothing(tmp_path: Path, wrong: str) -> None:
    said = foretell(tmp_path, "init", "service", "--model", wrong)
    assert said.code == 2
    assert "  next: " in said.err
    assert not (tmp_path / "service").exists()


def test_a_service_inside_of_its_model_is_refused(tmp_path: Path) -> None:
    place = model(tmp_path / "model")
    assert foretell(place, "init", "service", "--model", ".").code == 2
    shutil.rmtree(place)
