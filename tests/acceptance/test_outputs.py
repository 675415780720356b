"""What a model's output may look like, and that it comes back as it was."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from foretell.controller import history
from foretell.protocol.keys import Run
from foretell.protocol.records import Exit, Outcome
from tests.support.stage import DELIVERY, PREDICTIONS, ROWS, Stage

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


def kept(stage: Stage, run: Run) -> set[str]:
    return {file.path for file in history.story(stage.controller, run).manifest.files}


def notes(stage: Stage, run: Run) -> str:
    """What the attempt left for a person, in `exit.json` and in its log alike."""
    end = stage.read(run.attempt(1).exit, Exit)
    assert isinstance(end, Exit)
    log = history.tail(stage.controller.store, run, 1, 100).decode()
    assert all(f"foretell: {note}\n" in log for note in end.notes)
    return "\n".join(end.notes)


@pytest.mark.parametrize(
    ("command", "note"),
    [
        ("touch output/$(printf '\\377')", r'"\udcff" of the output is left out: its name is not UTF-8'),
        (
            "ln -s /etc/passwd output/deep/odd",
            'is left out: it is a link to "/etc/passwd"',
        ),
        ("ln -s nowhere output/deep/odd", 'is left out: it is a dangling link: "nowhere", no such'),
        ("ln -s .. output/deep/odd", "is left out: it is a link to one of its parent directories"),
        ("mkfifo output/deep/odd", "is left out: it is neither a file nor a directory"),
    ],
)
def test_what_is_no_file_is_left_out_and_the_rest_is_saved(stage: Stage, command: str, note: str) -> None:
    stage.action("training", f"mkdir output/deep; echo model > output/deep/model; {command}")
    assert stage.act("run", "training") == "succeeded", stage.tell()
    (run,) = stage.runs("training")
    assert kept(stage, run) == {"deep/model"}
    assert note in notes(stage, run)


def test_a_link_comes_back_as_what_it_led_to(stage: Stage, tmp_path: Path) -> None:
    content = tmp_path / "content"
    (content / "runs" / "3").mkdir(parents=True)
    (content / "runs" / "3" / "epoch=9.ckpt").write_text("weights")
    (content / "runs" / "3" / "last.ckpt").symlink_to("epoch=9.ckpt")
    (content / "latest").symlink_to("runs/3")
    run = written(stage, content)
    files = {f"{place}/{name}" for place in ("runs/3", "latest") for name in ("epoch=9.ckpt", "last.ckpt")}
    history.fetch(stage.controller, run, tmp_path / "fetched")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert tree(tmp_path / "fetched") == dict.fromkeys(files, digest)
    assert notes(stage, run) == ""
    assert stage.act("run", "application") == "succeeded", stage.tell()
    (user,) = stage.runs("application")
    assert kept(stage, user) == {f"copy/{name}" for name in files}


def test_links_by_the_working_directorys_own_path_are_saved(stage: Stage) -> None:
    stage.action("training", 'echo m > output/model; ln -s "$PWD/output/model" output/last')
    assert stage.act("run", "training") == "succeeded", stage.tell()
    assert kept(stage, stage.runs("training")[0]) == {"model", "last"}


@pytest.mark.parametrize("output", ["../outside/rows.csv", "pipe", "/etc/passwd"])
def test_a_delivery_is_never_taken_from_outside(stage: Stage, output: str) -> None:
    script = f"mkdir outside; printf 'a,b\\nx,1\\n' > outside/rows.csv; mkfifo output/pipe; ln -s {output} output/p.csv"
    stage.action("application", script, delivery=DELIVERY.replace("predictions.csv", "*.csv"))
    assert stage.act("run", "application") == "rejected"
    (run,) = stage.runs("application")
    assert '"p.csv" of the output is left out' in notes(stage, run)


@pytest.mark.parametrize("file", ["predictions.csv", "*.csv", "**/*.csv"])
def test_a_delivery_may_be_a_link_inside_and_brings_its_rows_once(stage: Stage, file: str) -> None:
    script = (
        f"{PREDICTIONS}; mv output/predictions.csv output/today.csv; ln -s today.csv output/predictions.csv"
    )
    stage.action("application", script, delivery=DELIVERY.replace("predictions.csv", file))
    assert stage.act("run", "application") == "succeeded", stage.tell()
    (run,) = stage.runs("application")
    assert kept(stage, run) == {"today.csv", "predictions.csv"}
    outcome = stage.read(run.outcome, Outcome)
    assert isinstance(outcome, Outcome)
    assert outcome.rows == len(ROWS)


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
