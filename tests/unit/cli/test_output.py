"""What is said where there is no room for it, or nobody who reads it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from foretell.cli.output import Terminal
from foretell.cli.streams import ReaderGoneError

FULL = Path("/dev/full")


Leading = Callable[[str, int], Terminal]


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[Leading]:
    """An output whose "stdout" or "stderr" leads to a descriptor."""
    with ExitStack() as stack:

        def leading(stream: str, place: int) -> Terminal:
            monkeypatch.setattr(sys, stream, stack.enter_context(os.fdopen(place, "w")))
            return Terminal(json=False, quiet=False, environ={})

        yield leading


def gone() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full on this system")
def test_what_finds_no_room_ends_no_verb_halfway(output: Leading, capfd: pytest.CaptureFixture[str]) -> None:
    out = output("stdout", os.open(FULL, os.O_WRONLY))
    assert not out.lost
    for _ in range(3):
        out.result("x" * 100_000)
        out.raw(b"y")
    out.tell("word")
    assert out.lost
    assert (out.end(0), out.end(5)) == (3, 5)
    assert capfd.readouterr().err.splitlines() == ["word", *["error: no space left on standard output"] * 2]


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full on this system")
def test_words_that_find_no_room_are_lost_and_change_no_code(output: Leading) -> None:
    out = output("stderr", os.open(FULL, os.O_WRONLY))
    out.tell("word")
    out.log(b"printed")
    assert (out.lost, out.end(0), out.end(4)) == (True, 0, 4)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_has_gone_is_told_at_the_end_and_to_who_goes_on_and_on(
    output: Leading, stream: str
) -> None:
    out = output(stream, gone())
    out.insist_on_a_reader()
    for _ in range(3):
        out.result("result")
        out.tell("word")
    assert out.lost
    for act in (out.insist_on_a_reader, lambda: out.end(0)):
        with pytest.raises(ReaderGoneError):
            act()
