"""A Python beside which somebody else's package of kinds is installed: tests/fixtures/kinds."""

from __future__ import annotations

import sys
import sysconfig
import venv
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "fixtures" / "kinds"


def python(place: Path) -> Path:
    """Make an environment that has what this one has, and the package; return its interpreter."""
    venv.create(place, symlinks=True)
    (packages,) = (place / "lib").glob("python*/site-packages")
    here = sysconfig.get_path("purelib")
    (packages / "kinds.pth").write_text(f"import site; site.addsitedir({here!r})\n{PACKAGE}\n")
    assert sys.version_info[:2] == tuple(map(int, packages.parent.name.removeprefix("python").split(".")))
    return place / "bin" / "python"
