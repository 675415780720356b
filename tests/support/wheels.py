"""Foretell from a wheel alone, beside what this interpreter has of everybody else's packages."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path


def install(wheel: Path, into: Path) -> Path:
    """Make an environment whose only Foretell is a wheel's; give its interpreter."""
    venv.create(into, symlinks=True)
    python = into / "bin" / "python"
    places = {"base": str(into), "platbase": str(into)}
    packages = Path(sysconfig.get_path("purelib", "venv", places))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # a line of a .pth is a directory alone: what makes this checkout importable is another .pth, and not read
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = subprocess.run(
        [python, "-I", "-c", "import foretell; print(foretell.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(packages / "foretell" / "__init__.py")
    assert sys.executable != str(python)
    return python
