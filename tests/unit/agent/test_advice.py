"""What a tool's failure means, however wide the lines are that it was told in."""

from __future__ import annotations

import textwrap

import pytest

from foretell.agent.advice import failed

GONE = "HTTP status client error (404 File not found) for url (http://127.0.0.1:34529/gone/tiny-1.0.whl)"
NONE = "Because tiny was not found in the package registry and you require tiny, it cannot be solved."
REFUSED = "HTTP status client error (401 Unauthorized) for url (http://127.0.0.1:34529/simple/tiny/)"
OTHER = "Hash mismatch for `tiny==1.0` Expected: sha256:00 Computed: sha256:11"


@pytest.mark.parametrize("width", [30, 60, 80, 120, 500])
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (GONE, "a package file does not exist: 404 for http://127.0.0.1:34529/gone/tiny-1.0.whl"),
        (REFUSED, "the package index denies access: 401 for http://127.0.0.1:34529/simple/tiny/"),
        (NONE, 'no such package or version: "tiny"'),
        (OTHER, 'the hash of the package "tiny==1.0" differs from the pinned one'),
    ],
)
def test_a_failure_means_the_same_in_lines_of_any_width(said: str, meant: str, width: int) -> None:
    lines = textwrap.wrap(said, width, break_long_words=False, break_on_hyphens=False)
    text = "error: Failed to fetch: `http://127.0.0.1:34529/`\n  cause: " + "\n         ".join(lines)
    assert failed("the requirements cannot be installed", text).what == meant
