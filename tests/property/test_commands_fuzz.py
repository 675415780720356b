"""Whatever a command's text, it is split as Python's reader of shell text splits it, or it is refused."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.service.commands import ShellOnlyError, split

SPECIAL = [
    "&&",
    "||",
    ";",
    "|",
    "&",
    "<",
    ">",
    "`",
    "$(",
    "${",
    "$A",
    "$1",
    "$",
    "~/",
    "~",
    "A=",
    "=",
    "{a}",
    "*",
    "#",
]
QUOTING = ["'", '"', "\\", "\\\\", "\\'", '\\"']
texts = st.lists(
    st.sampled_from([*SPECIAL, *QUOTING, " ", " ", "\t", "\n", "a", "b-1", "é"]) | st.text(max_size=2),
    max_size=12,
).map("".join)
SHELL = ["&&", "|", ";", "<", ">", "&", "`", "$(", "$A", "${A}", "$1", "$$", "$", "\\$", "~/", "A=1"]
SHELL += ["'", '"', "\\", " ", " ", " \\\n ", "a", "b", "{a}", "%s", "!", "-n"]


@given(texts)
@settings(max_examples=1500, deadline=None)
def test_a_text_is_read_as_before_or_refused(text: str) -> None:
    try:
        words = list(split(text))
    except ValueError:
        return
    # a backslash before a line's end is white space here, and a character there
    assert words == shlex.split(re.sub(r"\\\r?\n", " ", text)) or "\\\n" in "".join(words)


@given(texts)
@settings(max_examples=500, deadline=None)
def test_what_is_refused_stands_where_it_is_said_to_stand(text: str) -> None:
    error = refusal(text)
    if isinstance(error, ShellOnlyError):
        assert error.found == "a line break" or text.startswith(error.found, error.at)
    elif error:
        with pytest.raises(ValueError, match=r"No closing quotation|No escaped character"):
            shlex.split(text)


def refusal(text: str) -> ValueError | None:
    try:
        split(text)
    except ValueError as error:
        return error
    return None


@given(st.lists(st.sampled_from(["a", "b", " ", "x", *SPECIAL]), max_size=10).map("".join))
@settings(max_examples=500, deadline=None)
def test_without_quotes_every_sign_of_a_shell_is_refused(text: str) -> None:
    signs = re.search(r"&&|\|\||[;|&<>`]|\$[({A-Za-z_]|(?:^|\s)~/|^\s*[A-Za-z_]+=", text)
    if signs:
        with pytest.raises(ShellOnlyError):
            split(text)


@pytest.mark.slow
@given(st.lists(st.lists(st.sampled_from(SHELL), max_size=10).map("".join), min_size=40, max_size=40))
@settings(max_examples=25, deadline=None)
def test_what_is_not_refused_is_what_a_shell_makes_of_it(some: list[str]) -> None:
    """But for what the reader leaves to mean itself: parentheses, and `$1` and backticks in double quotes."""
    known: list[tuple[str, list[str]]] = []
    for text in some:
        try:
            words = list(split(f"program {text}"))[1:]
        except ValueError:
            continue
        if (
            "\\\n" not in "".join(words)
            and "(" not in text
            and not re.search(r'"[^"]*(\$[1$]|`|\\\$|\$\()', text)
        ):
            known.append((text, words))
    script = "w() { for a; do printf '%s\\0' \"$a\"; done; printf '\\1'; }\n" + "\n".join(
        f"w {text}" for text, _ in known
    )
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert [part.split("\0")[:-1] for part in said.split("\1")[:-1]] == [words for _, words in known]
