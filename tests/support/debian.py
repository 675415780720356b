"""What tests need of the system: Debian's packages, installed where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest


def install(programs: Mapping[str, str]) -> str:
    """
    Install what is missing of programs, given by path, each with its package; say in one line why that cannot be.

    Empty where all are there.
    """
    missing = _missing(programs)
    if not missing:
        return ""
    if os.geteuid() or not shutil.which("apt-get"):
        return f"{' and '.join(missing)} are missing, and cannot be installed: that takes root and apt-get"
    wanted = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    said = ""
    for command in (["apt-get", "update"], wanted):
        # a machine may be installing something else just now
        done = subprocess.run(
            [*command, "-o", "DPkg::Lock::Timeout=300"],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        said = (done.stderr.strip().splitlines() or [""])[-1]
    left = _missing(programs)
    return f"apt-get does not install {' and '.join(left)}: {said}" if left else ""


def _missing(programs: Mapping[str, str]) -> list[str]:
    return [package for program, package in programs.items() if not Path(program).exists()]


def lacking(reason: str) -> None:
    """Skip a test, visibly, for what this machine lacks; in CI nothing is skipped."""
    if os.environ.get("CI"):
        pytest.fail(f"in CI nothing is skipped: {reason}")
    pytest.skip(reason)
