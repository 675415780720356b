"""`foretell init`: what it makes runs at once, and what is there stays."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from foretell import load
from tests.acceptance.test_cli import foretell

MAIN = """
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--action")
parser.add_argument("--config")
pathlib.Path("output/made.txt").write_text(parser.parse_args().action)
"""


def written(place: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (place / name).parent.mkdir(exist_ok=True, parents=True)
        (place / name).write_text(text)


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
    assert load(service).name == "my-service"

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
    service = load(root)
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
            {"pyproject.toml": "", "src/churn/__main__.py": "add_parser('train'), add_parser('predict')"},
            {"training": "train", "application": "predict"},
        ),
        (
            {"churn/__main__.py": "add_parser('train'), add_parser('score')"},
            {"training": "train", "application": "score"},
        ),
    ],
)
def test_commands_are_found(tmp_path: Path, files: dict[str, str], commands: dict[str, str]) -> None:
    written(tmp_path, files)

    made = foretell(tmp_path, "init")

    assert made.code == 0
    found = {name: action.command[-1] for name, action in load(tmp_path).actions.items()}
    assert found == commands


NOT_FOUND = [
    {"README.md": ""},
    {"train_model.py": "", "src/models/predict_model.py": "", "forecast.py": ""},
    {"app/main.py": "import streamlit", "app/__init__.py": ""},
    {"scripts/train.R": "", "predict.R": ""},
    {"analysis.ipynb": "{}", "MLproject": "", "dvc.yaml": "", "Makefile": "train-all: data\n\ttrue\n"},
    {"forecast.py": ""},
]


@pytest.mark.parametrize("files", NOT_FOUND, ids=[next(iter(files)) for files in NOT_FOUND])
def test_no_command_is_written_that_was_not_found(tmp_path: Path, files: dict[str, str]) -> None:
    written(tmp_path, files)

    made = foretell(tmp_path, "init")

    text = (tmp_path / "foretell.toml").read_text()
    assert not re.search("^command", text, re.MULTILINE)
    assert (
        "next: fill in the command of [actions.training] in foretell.toml, then: foretell run training"
        in made.err
    )
    for name in files:
        if "train" in name or "predict" in name or "forecast" in name:
            assert f"{name}" in text
            assert f"{name}" in made.err
    assert "MLproject holds commands too" in made.err or "MLproject" not in files
    assert '# command = "make train-all"' in text or "Makefile" not in files
    refused = foretell(tmp_path, "run", "training")
    assert refused.code == 2
    assert "foretell.toml:" in refused.err
    for commented in ("# [actions.training]", "# command = "):  # as a person would who has found the line
        text = text.replace(commented, commented[2:], 1)
    if commands := re.findall('^command = "(python|Rscript|make)', text, re.MULTILINE):
        (tmp_path / "foretell.toml").write_text(text)
        assert load(tmp_path).actions["training"].command[0] == commands[0]


def test_half_of_the_commands_is_found_and_the_rest_is_offered(tmp_path: Path) -> None:
    script = "parser.add_argument('data')\nparser.add_argument('--epochs', required=True)\nparser.add_argument('--x')\n"
    written(tmp_path, {"train.py": script, "forecast.py": ""})

    made = foretell(tmp_path, "init")

    assert list(load(tmp_path).actions) == ["training"]
    assert "# [actions.application]" in (tmp_path / "foretell.toml").read_text()
    assert "it could be one of: python forecast.py" in made.err
    assert "the command of [actions.training] asks for data, --epochs: add them" in made.err
    assert "next: foretell run training" in made.err


def test_configs_lead_to_where_the_data_is_now(tmp_path: Path) -> None:
    place = model(tmp_path / "model")
    written(place, {"data/training.csv": "1", "data/more/x.csv": "1"})
    config = '{"data": {"path": "data/training.csv"}, "dir": "./data/more", "out": "output/model.bin", "url": "gs://b/c.csv"}'
    (place / "configs" / "training.json").write_text(config)
    (place / "configs" / "application.json").write_text('{"path": "data/absent.csv", "name": "data"}')

    made = foretell(tmp_path, "init", "service", "--model", "model")

    configs = tmp_path / "service" / "configs"
    assert (configs / "training.json").read_text() == (
        '{"data": {"path": "source/data/training.csv"}, "dir": "source/data/more", "out": "output/model.bin",'
        ' "url": "gs://b/c.csv"}'
    )
    assert (configs / "application.json").read_text() == '{"path": "data/absent.csv", "name": "data"}'
    assert "lead to source/ now, where the model's files are: data/training.csv, data/more" in made.err
    assert "names what is not there: data/absent.csv" in made.err


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


@pytest.mark.parametrize("begun", [False, True])
def test_a_model_without_a_commit_is_copied(tmp_path: Path, *, begun: bool) -> None:
    model(tmp_path / "model")
    if begun:
        subprocess.run(["git", "init", "-q"], cwd=tmp_path / "model", check=True)

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
