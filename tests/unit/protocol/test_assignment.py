"""What a host tells its agent: nine strings that agents of every age read alike."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from foretell.protocol.assignment import Assignment, parse

ASSIGNED = Assignment(
    "gs://b", "toy/1/a/2026-11/r-1", 2, "toy-a-2-n", Path("/tmp/foretell"), 75.5, 15.0, "boot", -1
)  # fmt: skip
NINE = ["gs://b", "toy/1/a/2026-11/r-1", "2", "toy-a-2-n", "/tmp/foretell", "75.5", "15.0", "boot", "-1"]


def test_its_nine_strings_stay_as_they_are() -> None:
    assert ASSIGNED.arguments() == NINE


def test_what_is_written_is_read() -> None:
    assert parse(NINE) == ASSIGNED


def test_what_a_newer_platform_says_behind_them_is_ignored() -> None:
    assert parse([*NINE, "new"]) == ASSIGNED


def test_a_guard_loads_nothing_for_it_but_the_standard_library() -> None:
    program = "import sys, foretell.protocol.assignment; print('msgspec' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "False"
