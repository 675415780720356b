"""What a model's output may look like, and that it comes back as it was."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from foretell import history
from foretell.names import Run
from foretell.records import Outcome
from tests.acceptance.stage import Stage

pytestmark = pytest.mark.slow

NAMES = (
    "deep/er/and/deeper/model",
    "empty",
    "a b/ c .txt",
    "modèle/Ω/模型.bin",
    "é",
    "e\u0301",
    "a#1",
    "b#1/c",
    "a%20b",
    "a%2520b",
    "%23",
    "back\\slash",
    "new\nline",
    "tab\there",
    "bell\x07",
    "del\x7f",
    ".hidden",
    "..dots",
    "...",
    "dots..",
    "tilde~",
    "quote'\"`",
    "*?[x]{y}",
    "<|>:;&$!",
    "model.json#1",
    "-rf",
    "x" * 255,
    "é" * 127,
    "#" * 255,
    "\n" * 200,
    "/".join(["long" * 50] * 10),
)
FOLDERS = ("hollow", "hol low/#1", "deep/hollow/er")


def tree(root: Path) -> dict[str, str]:
    """Every file of a directory with its digest, and every empty directory."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
        if not folders and not files:
            found[str(Path(folder).relative_to(root))] = "empty directory"
    return found


def written(stage: Stage, content: Path, command: str = "cp -a") -> Run:
    """Have a training put this into its output."""
    stage.action("training", f"{command} {content}/. output")
    stage.action(
        "application",
        "cp -a models copy; mkdir -p output; mv copy output",
        more='inputs = {training = "models"}',
    )
    assert stage.act("run", "training") == "succeeded", stage.tell()
    (run,) = stage.runs("training")
    return run


def test_a_file_may_have_any_name(stage: Stage, tmp_path: Path) -> None:
    content = tmp_path / "content"
    for name in FOLDERS:
        (content / name).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (content / name).parent.mkdir(parents=True, exist_ok=True)
        (content / name).write_text("" if name == "empty" else f"{number}")
    run = written(stage, content)
    history.fetch(stage.controller, run, tmp_path / "fetched")
    assert tree(tmp_path / "fetched") == tree(content)
    assert stage.act("run", "application") == "succeeded", stage.tell()
    (user,) = stage.runs("application")
    history.fetch(stage.controller, user, tmp_path / "used")
    assert tree(tmp_path / "used" / "copy") == tree(content)


def test_a_name_that_is_no_text_is_refused(stage: Stage) -> None:
    stage.action("training", "touch output/$(printf '\\377')")
    assert stage.act("run", "training") == "failed"
    outcome = stage.read(stage.runs("training")[0].outcome, Outcome)
    assert isinstance(outcome, Outcome)
    assert "its name is not UTF-8" in outcome.cause


@pytest.mark.parametrize("command", ["ln -s /etc/passwd", "mkfifo", "ln -s nowhere"])
def test_what_is_no_file_is_refused(stage: Stage, command: str) -> None:
    stage.action("training", f"mkdir output/deep; {command} output/deep/model")
    assert stage.act("run", "training") == "failed"
    outcome = stage.read(stage.runs("training")[0].outcome, Outcome)
    assert isinstance(outcome, Outcome)
    assert 'the output "model" cannot be saved' in outcome.cause


def test_an_output_may_have_ten_thousand_files(stage: Stage, tmp_path: Path) -> None:
    content = tmp_path / "content"
    for number in range(10_000):
        path = content / f"{number % 100}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}")
    run = written(stage, content)
    manifest = history.fetch(stage.controller, run, tmp_path / "fetched")
    assert len(manifest.files) == 10_000
    assert tree(tmp_path / "fetched") == tree(content)


def test_a_file_may_have_two_gigabytes(stage: Stage, tmp_path: Path) -> None:
    size = 2 * 1024**3 + 1
    if shutil.disk_usage(tmp_path).free < 4 * size:
        pytest.skip("needs 8 GB of disk")
    content = tmp_path / "content"
    content.mkdir()
    with (content / "large").open("wb") as file:
        file.write(b"begin")
        file.truncate(size - 3)
        file.seek(0, os.SEEK_END)
        file.write(b"end")
    run = written(stage, content, "cp -a --sparse=always")
    (saved,) = history.fetch(stage.controller, run, tmp_path / "fetched").files
    fetched = tmp_path / "fetched" / "large"
    assert saved.size == fetched.stat().st_size == size
    with fetched.open("rb") as file, (content / "large").open("rb") as same:
        assert (
            hashlib.file_digest(file, "sha256").hexdigest() == hashlib.file_digest(same, "sha256").hexdigest()
        )
    shutil.rmtree(tmp_path)
