"""A module that a command did not find: read from its last words, and explained by the service's packages."""

from __future__ import annotations

import pytest

from foretell.agent.modules import KEPT, LastWords, explained
from foretell.service.model import Source

SAID = b"Traceback (most recent call last):\nModuleNotFoundError: No module named 'sklearn.linear_model'\n"


def heard(*pieces: bytes, stream: int = 2) -> LastWords:
    words = LastWords(lambda *_: None)
    for piece in pieces:
        words(stream, piece)
    return words


@pytest.mark.parametrize("cut", [0, 10, 60, len(SAID)])
def test_a_missing_module_is_read_in_whatever_pieces_it_is_printed(cut: int) -> None:
    assert heard(SAID[:cut], SAID[cut:]).missing == "sklearn"


def test_the_module_that_was_missed_last_counts() -> None:
    assert heard(SAID, SAID.replace(b"sklearn.linear_model", b"torch")).missing == "torch"


@pytest.mark.parametrize("words", [heard(), heard(SAID, stream=1), heard(SAID, b"x" * KEPT)])
def test_nothing_is_missing_where_the_last_words_on_standard_error_name_none(words: LastWords) -> None:
    assert words.missing == ""


def test_everything_goes_on_to_the_log() -> None:
    log: list[tuple[int, bytes]] = []
    words = LastWords(lambda stream, data: log.append((stream, data)))
    words(1, b"out")
    words(2, SAID)
    assert log == [(1, b"out"), (2, SAID)]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (Source(environment=False), "python = false creates no environment"),
        (Source(requirements=("./requirements.txt",)), "not in the packages of requirements.txt"),
        (Source(locked="."), "not in the packages of uv.lock"),
        (Source(), "setup.cfg is not read"),
    ],
)
def test_why_it_is_not_there_is_said_with_the_file_to_look_at(source: Source, why: str) -> None:
    assert why in explained("torch", source, ["setup.cfg is not read: write a requirements.txt"])


def test_without_any_file_it_is_said_what_to_write() -> None:
    assert explained("torch", Source(), []).endswith("write a requirements.txt")
