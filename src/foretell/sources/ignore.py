"""What the user's own words say of a path: .foretellignore."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

IGNORE_FILE = ".foretellignore"

Rule: TypeAlias = Callable[[str], bool | None]
"""
Of a path relative to the root ("data/raw/" with a final slash for a directory): True, it is left out; False, a "!"
pattern names it, so it is not; None, no pattern names it.
"""


def named(root: Path) -> Rule:
    """Return what .foretellignore, in the syntax of .gitignore, says of paths."""
    try:
        text = (root / IGNORE_FILE).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return lambda _path: None
    # it takes 30 ms to load, which only those pay who have patterns
    spec = importlib.import_module("pathspec").GitIgnoreSpec.from_lines(text.splitlines())

    def rule(path: str) -> bool | None:
        said: bool | None = spec.check_file(path).include
        return said

    return rule
