"""What a command wrote outside of its output, how it would be kept, and what lies there under the name of a model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foretell.agent.elsewhere import Lost, namesakes, scan, stamps, written


def write(work: Path, *names: str) -> None:
    for name in names:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(name)


def test_what_is_new_or_changed_is_found_and_caches_are_not(tmp_path: Path) -> None:
    write(tmp_path, "main.py", "data/train.csv", "output/model", "old")
    before = scan(tmp_path, "output/")
    write(
        tmp_path,
        "model.pkl",
        "a/b/c",
        "output/more",
        "m/__pycache__/x.pyc",
        "x.pyc",
        ".ipynb_checkpoints/n",
        ".git/x",
    )
    (tmp_path / "old").write_text("changed")
    (tmp_path / "data" / "train.csv").replace(tmp_path / "data" / "moved.csv")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("main.py")
    lost = written(before, scan(tmp_path, "output/"))
    assert dict(lost.files) == {"model.pkl": 9, "a/b/c": 5, "old": 7, "data/moved.csv": 14}
    assert str(lost) == "data/moved.csv (14 B), model.pkl (9 B), old (7 B), a/b/c (5 B)"


def test_a_file_of_the_same_size_and_time_is_another_by_its_inode(tmp_path: Path) -> None:
    write(tmp_path, "model")
    before = scan(tmp_path, "output")
    stat = (tmp_path / "model").stat()
    (tmp_path / "new").write_text("MODEL")
    (tmp_path / "new").replace(tmp_path / "model")
    os.utime(tmp_path / "model", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert written(before, scan(tmp_path, "output")).files == (("model", 5),)


def test_a_command_that_removes_its_directory_is_no_trouble(tmp_path: Path) -> None:
    write(tmp_path, "w/main.py")
    before = scan(tmp_path / "w", "output")
    (tmp_path / "w" / "main.py").unlink()
    (tmp_path / "w").rmdir()
    assert written(before, scan(tmp_path / "w", "output")) == Lost(files=())


def test_a_directory_that_holds_an_input_alone_can_be_the_output(tmp_path: Path) -> None:
    write(tmp_path, "main.py", "artifacts/model.json")
    before = scan(tmp_path, "output")
    write(tmp_path, "artifacts/scores.csv")
    after = scan(tmp_path, "output")
    assert written(before, after).place == ""
    assert written(before, after, inputs={"artifacts/model.json"}).place == "artifacts"


@pytest.mark.parametrize(
    ("there", "new", "kept", "mend"),
    [
        ([], ["models/a", "models/deep/b"], False, 'set output = "models" in [actions.t]'),
        ([], ["data/06/a"], False, 'set output = "data/06" in [actions.t]'),
        ([], ["results/a"], True, 'set output = "results" in [actions.t]'),
        ([], ["models/a"], True, 'let the command write to "results/out/"'),
        (
            ["models/code.py"],
            ["models/a"],
            False,
            "or to another directory and set `output` of [actions.t] to that",
        ),
        ([], ["a"], False, 'let the command write to "results/out/", or to'),
        ([], ["models/a", "logs/b"], False, 'let the command write to "results/out/", or to'),
    ],
)
def test_the_key_that_would_keep_it_is_named_where_it_takes_nothing_away(
    tmp_path: Path, there: list[str], new: list[str], kept: bool, mend: str
) -> None:
    write(tmp_path, "main.py", "results/out/x", *there)
    before = scan(tmp_path, "results/out")
    write(tmp_path, *new)
    lost = written(before, scan(tmp_path, "results/out"))
    assert mend in lost.mend("t", "results/out", kept=kept)


def test_twenty_are_named_the_largest_first() -> None:
    lost = Lost(files=tuple((f"{number:02}", 1000 - number) for number in range(25)))
    assert str(lost).startswith("00 (1.0 kB), 01 (999 B)")
    assert str(lost).endswith("19 (981 B) and 5 more")


def test_an_input_is_no_news(tmp_path: Path) -> None:
    write(tmp_path, "main.py")
    before = scan(tmp_path, "output")
    write(tmp_path, "models/model", "output/other")
    before |= stamps(tmp_path, "output", [tmp_path / "models" / "model", tmp_path / "output" / "other"])
    assert before == scan(tmp_path, "output")


@pytest.mark.parametrize(
    ("there", "place", "file", "found"),
    [
        ("models/model.pkl", "output", "model.pkl", "models"),
        ("model.pkl", "output", "model.pkl", "."),
        ("src/best/model.pkl", "output", "best/model.pkl", "src"),
        ("best.pkl/model.pkl", "output", "deep/model.pkl", ""),
        ("xbest/model.pkl", "output", "best/model.pkl", ""),
    ],
)
def test_a_namesake_is_found_with_the_place_that_would_cover_it(
    there: str, place: str, file: str, found: str
) -> None:
    (one,) = namesakes([there, "main.py"], place, [file])
    assert (one.name, one.brought, one.place) == (there, f"{place}/{file}", found)
    mend = f'inputs = {{training = "{found}"}}' if found else "let it read the latter"
    assert mend in one.mend("training/20261121T060000Z-1")


@pytest.mark.parametrize(
    ("there", "place", "file"),
    [
        ("models/model.pkl", "models", "model.pkl"),
        ("models/model.pkl", "./models/", "model.pkl"),
        ("evaluation/metrics.json", "output", "metrics.json"),
        ("data/.gitkeep", "output", ".gitkeep"),
        ("model.pkl.old", "output", "model.pkl"),
    ],
)
def test_what_cannot_be_taken_for_it_is_no_namesake(there: str, place: str, file: str) -> None:
    assert namesakes([there], place, [file]) == []
