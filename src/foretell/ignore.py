"""The patterns of a .foretellignore, in gitignore syntax."""

from __future__ import annotations

from collections.abc import Callable

from pathspec import GitIgnoreSpec


def rules(text: str) -> Callable[[str], bool | None]:
    """
    Give a function of a path relative to the file ("data/raw/" with a final slash for a directory).

    True: left out. False: named by a "!" pattern, so not left out. None: no pattern names it.
    """
    spec = GitIgnoreSpec.from_lines(text.splitlines())
    return lambda path: spec.check_file(path).include
