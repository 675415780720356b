"""Secrets: named where they are not set, and replaced in whatever is printed, in whatever pieces."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from foretell.agent.secrets import Redactor

SECRETS = {"TOKEN": "s3cret-value", "KEY": "-----BEGIN-----\nabcdefgh\n-----END-----\n", "PIN": "1234"}


def shown(text: bytes, cuts: list[int], secrets: dict[str, str] | None = None) -> bytes:
    """What comes out when the text comes in pieces."""
    redactor = Redactor(SECRETS if secrets is None else secrets)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    out = b"".join(redactor.clean(1, text[a:b]) for a, b in itertools.pairwise(edges))
    return out + b"".join(data for _, data in redactor.rest())


@given(some.lists(some.integers(0, 200), max_size=12))
def test_a_value_is_replaced_however_it_is_cut(cuts: list[int]) -> None:
    text = b"a s3cret-value, s3cret-valu and s3cret-values3cret-value\n"
    assert shown(text, cuts) == b"a ***TOKEN***, s3cret-valu and ***TOKEN******TOKEN***\n"


@given(some.binary(max_size=300), some.lists(some.integers(0, 300), max_size=8))
def test_what_holds_no_secret_passes_byte_for_byte(text: bytes, cuts: list[int]) -> None:
    assert shown(text, cuts) == text
    assert shown(text, cuts, {}) == text


@given(some.binary(max_size=40), some.lists(some.integers(0, 300), max_size=8))
def test_no_value_ever_shows(noise: bytes, cuts: list[int]) -> None:
    text = noise + b"s3cret-value" + noise + b"s3cs3cret-value" + noise
    assert b"s3cret-value" not in shown(text, cuts)


def test_a_text_that_is_no_stream_is_cleaned_at_once() -> None:
    redactor = Redactor({"TOKEN": "hunter2 and more", "SHORT": "true"})
    assert (
        redactor.whole('"hunter2 and more" is no number, true \udcff é')
        == '"***TOKEN***" is no number, true \udcff é'
    )
    assert Redactor({}).whole("hunter2") == "hunter2"


def test_every_line_of_a_value_is_replaced() -> None:
    assert shown(b"x abcdefgh y\n", []) == b"x ***KEY*** y\n"
    assert shown(SECRETS["KEY"].encode(), []) == b"***KEY***\n"
    for cut in range(len(SECRETS["KEY"])):
        assert b"abcdefgh" not in shown(SECRETS["KEY"].encode(), [cut])


def test_a_value_of_a_few_characters_is_no_secret() -> None:
    """It would be replaced wherever it stands by chance."""
    assert shown(b"in 1234 steps\n", []) == b"in 1234 steps\n"


@pytest.mark.parametrize("text", [b"x abcabc-more y", b"x abcabc y", b"abcabcabc-more", b"abcabc-mor"])
def test_a_value_that_is_the_beginning_of_another_hides_neither(text: bytes) -> None:
    both = {"SHORT": "abcabc", "LONG": "abcabc-more"}
    whole = shown(text, [], both)
    assert b"abcabc" not in whole
    assert all(
        shown(text, [cut, other], both) == whole for cut in range(len(text)) for other in range(len(text))
    )


def test_streams_do_not_mix() -> None:
    redactor = Redactor(SECRETS)
    assert redactor.clean(1, b"s3cret-") == b""
    assert redactor.clean(2, b"value\n") == b"value\n"
    assert redactor.clean(1, b"other\n") == b"s3cret-other\n"


def test_much_is_cleaned_in_little_time() -> None:
    """A long key costs no more than its length at every piece."""
    long = {"KEY": "".join(random.Random(1).choices("abcdefghij", k=4000))}
    redactor = Redactor(long)
    piece = b"abcdefghij " * 95_000
    assert redactor.clean(1, piece)[:11] == b"abcdefghij "


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_value_replaces_nothing(value: str) -> None:
    assert shown(b"a b\n", [], {"EMPTY": value}) == b"a b\n"
