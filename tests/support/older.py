"""What a Foretell of before has left: see tests/fixtures/older/make.py."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

OLDER = Path(__file__).parents[1] / "fixtures" / "older"
WHEEL = OLDER / "foretell-0.1.0-py3-none-any.whl"
ROOT = b"/the/directory/of/the/service"


def service(root: Path) -> None:
    """Unpack the service with its store and its DuckDB file into a directory, as if it had always been there."""
    with tarfile.open(OLDER / "service.tar.xz") as archive:
        archive.extractall(root, filter="data")
    for path in root.rglob("*.json"):
        path.write_bytes(path.read_bytes().replace(ROOT, os.fsencode(root)))
