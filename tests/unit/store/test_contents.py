"""What of an output directory can be saved: links as what they lead to, nothing from outside, and what is left out."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from foretell.store import contents
from foretell.store.contents import Contents, Placed, survey, told


@pytest.fixture
def output(tmp_path: Path) -> Path:
    place = tmp_path / "work" / "output"
    (place / "runs" / "3").mkdir(parents=True)
    (place / "runs" / "3" / "model").write_text("third")
    (place / "model").write_text("first")
    (tmp_path / "work" / "data").mkdir()
    (tmp_path / "work" / "data" / "secret").write_text("outside")
    return place


def read(found: Contents) -> dict[str, str]:
    return {name: path.read_text() for name, path in found.files}


NOBODY = 65534
REAL = {"model": "first", "runs/3/model": "third"}


@pytest.mark.parametrize(
    ("name", "goal", "more"),
    [
        ("last", "model", {"last": "first"}),
        ("last", "runs/3/model", {"last": "third"}),
        ("last", "{output}/model", {"last": "first"}),
        ("runs/3/last", "../../model", {"runs/3/last": "first"}),
        ("latest", "runs/3", {"latest/model": "third"}),
        ("latest", "{output}/runs", {"latest/3/model": "third"}),
        ("runs/last", "../../output/model", {"runs/last": "first"}),
    ],
)
def test_a_link_inside_is_what_it_leads_to(output: Path, name: str, goal: str, more: dict[str, str]) -> None:
    (output / name).symlink_to(goal.format(output=output))
    assert read(survey(output)) == REAL | more
    assert not survey(output).left_out


def test_chains_of_links_and_hard_links_are_files(output: Path) -> None:
    (output / "b").symlink_to("a")
    (output / "a").symlink_to("latest/model")
    (output / "latest").symlink_to("runs/3")
    (output / "hard").hardlink_to(output / "model")
    more = {"a": "third", "b": "third", "latest/model": "third", "hard": "first"}
    assert read(survey(output)) == REAL | more


@pytest.mark.parametrize(
    ("goal", "why"),
    [
        ("nowhere", 'a dangling link: "nowhere", no such file'),
        ("odd", "a dangling link"),
        ("../data/secret", "is a link to"),
        ("../data", "is a link to"),
        ("..", "is a link to"),
        ("/etc/passwd", 'a link to "/etc/passwd"'),
        (".", "one of its parent directories"),
        ("pipe", "a link to something that is neither a file nor a directory"),
    ],
)
def test_a_link_that_is_no_file_is_left_out_and_the_rest_is_there(output: Path, goal: str, why: str) -> None:
    os.mkfifo(output / "pipe")
    (output / "odd").symlink_to(goal)
    found = survey(output)
    assert read(found) == REAL
    ((odd, because), (pipe, other)) = found.left_out
    assert (odd, pipe, other) == ("odd", "pipe", "it is neither a file nor a directory")
    assert why in because
    assert why in found.why_not("odd") == found.why_not("odd/below")
    assert not found.why_not("model")
    assert why in next(told(found.left_out))


def test_a_socket_and_a_name_that_is_no_text_are_left_out(output: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        # bound by a short name, for an address has no room for a long one
        listening.bind(os.path.relpath(output / "socket"))
    Path(os.fsdecode(bytes(output / "runs") + b"/\xff")).write_text("x")
    Path(os.fsdecode(bytes(output) + b"/\xfe")).mkdir()
    found = survey(output)
    assert read(found) == REAL
    assert sorted(why for _, why in found.left_out) == [
        "it is neither a file nor a directory",
        "its name is not UTF-8",
        "its name is not UTF-8",
    ]
    for sentence in told(found.left_out):
        sentence.encode()


def test_a_link_saves_what_has_a_name_that_is_no_text(output: Path) -> None:
    odd = Path(os.fsdecode(bytes(output) + b"/\xff"))
    odd.write_text("weights")
    (output / "weights").symlink_to(odd.name)
    assert read(survey(output)) == REAL | {"weights": "weights"}


def test_links_to_each_other_and_above_end(output: Path) -> None:
    (output / "runs" / "3" / "top").symlink_to("../..")
    (output / "a").mkdir()
    (output / "a" / "to b").symlink_to("../b")
    (output / "b").mkdir()
    (output / "b" / "to a").symlink_to("../a")
    (output / "b" / "file").write_text("b")
    found = survey(output)
    assert read(found) == REAL | {"b/file": "b", "a/to b/file": "b"}
    assert [name for name, _ in found.left_out] == ["a/to b/to a", "b/to a/to b", "runs/3/top"]


def test_links_that_multiply_end_and_lose_no_file(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "THROUGH_LINKS", 300)
    for number in range(40):
        floor = output / f"{number}"
        floor.mkdir()
        (floor / "file").write_text(f"{number}")
        for way in ("left", "right"):
            (floor / way).symlink_to(f"../{number + 1}")
    found = survey(output)
    assert {f"{number}/file" for number in range(40)} <= {name for name, _ in found.files}
    assert len(found.files) < 1000
    assert "its links lead to more than 300 files" in {why for _, why in found.left_out}


def test_what_an_input_brought_is_left_out_while_nobody_touched_it(output: Path) -> None:
    placed = {output / "model": Placed.of(output / "model")}
    (output / "last").symlink_to("model")
    assert [name for name, _ in survey(output).without(placed).files] == ["last", "runs/3/model"]
    (output / "model").write_text("again")
    assert [name for name, _ in survey(output).without(placed).files] == ["last", "model", "runs/3/model"]


def test_an_output_that_is_gone_or_became_something_else(output: Path, tmp_path: Path) -> None:
    assert survey(tmp_path / "gone") == Contents(directory=tmp_path / "gone")
    (tmp_path / "file").write_text("model")
    assert read(survey(tmp_path / "file")) == {"file": "model"}
    (tmp_path / "elsewhere").symlink_to(output)
    (output / "last").symlink_to("model")
    assert read(survey(tmp_path / "elsewhere")) == REAL | {"last": "first"}
    (tmp_path / "dangling").symlink_to("nowhere")
    assert survey(tmp_path / "dangling").left_out == ((".", "it is a dangling link"),)


def test_empty_directories_are_told_also_through_links(output: Path) -> None:
    (output / "hollow").mkdir()
    (output / "runs" / "none").symlink_to("../hollow")
    assert survey(output).hollow == ("hollow", "runs/none")


def test_what_its_owner_may_not_read_is_read_all_the_same() -> None:
    with tempfile.TemporaryDirectory() as place:  # which lies where everybody may look, unlike tmp_path
        output = Path(place, "output")
        (output / "runs").mkdir(parents=True)
        (output / "runs" / "model").write_text("third")
        (output / "a link").symlink_to("runs/model")
        (output / "model").write_text("first")
        (output / "model").chmod(0)
        (output / "runs").chmod(0)
        child = os.fork()  # for root reads everything
        if not child:
            if os.geteuid() == 0:
                for path in (
                    Path(place),
                    output,
                    output / "runs",
                    output / "runs" / "model",
                    output / "model",
                ):
                    os.chown(path, NOBODY, NOBODY)
                os.setuid(NOBODY)
            os._exit(read(survey(output)) != {"a link": "third", "model": "first", "runs/model": "third"})
        assert os.waitpid(child, 0)[1] == 0


def test_many_that_are_left_out_are_counted() -> None:
    sentences = list(told(tuple((f"{number}", "why") for number in range(25))))
    assert len(sentences) == 21
    assert sentences[-1] == "5 more of the output are left out"
