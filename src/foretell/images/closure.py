"""Which of Foretell's own files an agent is made of: the modules that it imports, early or late, and their data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ENTRIES = ("foretell.agent.guard", "foretell.agent.session")
IMPORT = re.compile(
    r"""^\s*from\s+(foretell[\w.]*)\s+import\s+(\([^)]*\)|.*) | ^\s*import\s+(foretell[\w.]*)""",
    re.MULTILINE | re.VERBOSE,
)
"""An import statement of a formatted file, wherever it stands. To parse the files takes fifty times as long."""
NAME = re.compile(r"(\w+)(?: as \w+)?")
CONNECTED = re.compile(r"foretell\.platforms\.\w+\.platform")
"""An agent reads the settings of platforms, and connects to none."""
NO_DATA = frozenset({".py", ".pyi", ".pyc", ".typed"})


def files(package: Path) -> list[Path]:
    """Return the files of an agent below the directory of the package `foretell`, sorted."""
    found = dict(_modules(package))
    beside = {path.parent for path in found.values() if path.name not in {"__init__.py", "settings.py"}} - {
        package
    }
    data = (path for place in beside for path in place.iterdir() if path.is_file())
    return sorted({*found.values(), *(path for path in data if path.suffix not in NO_DATA)})


def _modules(package: Path) -> Iterator[tuple[str, Path]]:
    """Return the modules that the entries lead to, each with the packages that it is in."""
    seen: set[str] = set()
    waiting = list(ENTRIES)
    while waiting:
        name = waiting.pop()
        if name in seen or CONNECTED.match(name):
            continue
        seen.add(name)
        path = _path(package, name)
        if path is None:
            continue  # what is imported from a module, which is in it
        yield name, path
        if name == package.name:
            continue  # it imports for users of the library, and nothing of it by itself
        waiting.append(name.rpartition(".")[0])
        waiting += _imported(path.read_text(encoding="utf-8"))


def _path(package: Path, name: str) -> Path | None:
    place = package.joinpath(*name.split(".")[1:])
    choices = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in choices if path.is_file()), None)


def _imported(text: str) -> Iterator[str]:
    """Return what the statements of a module may import: modules, and names that may be modules."""
    for module, names, plain in IMPORT.findall(text):
        if plain:
            yield plain
            continue
        yield module
        yield from (f"{module}.{name}" for name in NAME.findall(names))
