"""Where tests are: what mirrors the source, and what a run of tests/unit does without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

COLLECT = """\
import sys, pytest
code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "tests/unit"])
loaded = [name for name in sys.modules if name.startswith("tests.standins")]
sys.exit(f"loaded: {sorted(loaded)}" if loaded else code)
"""


@pytest.mark.slow
def test_a_run_of_the_unit_tests_loads_no_stand_in() -> None:
    command = [sys.executable, "-c", COLLECT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
