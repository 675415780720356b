"""What is wrong with a service file: every fault at once, each with its file, line and table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from foretell.errors import ServiceFileError
from foretell.service.layers import Layer, Table
from foretell.service.positions import KeyPath
from foretell.system.text import likeliest, printable

BARE = re.compile(r"[A-Za-z0-9_-]+")


class Faults:
    """The faults found so far; `table` is the merged content of `layers`."""

    def __init__(self, layers: Sequence[Layer], table: Table) -> None:
        """Begin with none."""
        self._layers = layers
        self._table = table
        self._found: dict[tuple[int, int, str], KeyPath] = {}

    def add(self, path: KeyPath, text: str) -> None:
        """Tell what is wrong with the value at `path`, or, if there is none, with the table that lacks it."""
        depth, line = self._place(path)
        table = self._enclosing(path)
        text = f"[{table}] {text}" if table else text
        self._found[depth, line, printable(text)] = path

    def missing(self, path: KeyPath, text: str) -> None:
        """Tell that a key is missing, unless it is there and was found to be wrong."""
        if not self.within(path):
            self.add(path, text)

    def within(self, path: KeyPath) -> bool:
        """Tell whether anything is wrong with the value at `path` or in it."""
        return any(found[: len(path)] == path for found in self._found.values())

    def unless(self) -> None:
        """Raise ServiceFileError if anything was found."""
        if not self._found:
            return
        count = "an error" if len(self._found) == 1 else f"{len(self._found)} errors"
        raise ServiceFileError(
            f'"{self._layers[0].shown}" has {count}',
            faults=tuple(
                f"{self._layers[depth].shown}:{line}: {text}" for depth, line, text in sorted(self._found)
            ),
            where=str(self._layers[0].path),
            hint='correct the lines listed; "foretell schema" prints every key',
        )

    def _place(self, path: KeyPath) -> tuple[int, int]:
        """Return layer and line of the value: of the nearest file that has it, else of the table around it."""
        while path:
            for depth, layer in enumerate(self._layers):
                if path in layer.lines:
                    return depth, layer.lines[path]
            path = path[:-1]
        return 0, 1

    def _enclosing(self, path: KeyPath) -> str:
        value: object = self._table
        names = []
        for part in path[:-1]:
            value = value.get(part) if isinstance(value, dict) else None
            if not isinstance(value, dict):
                break
            names.append(str(part))
        return ".".join(name if BARE.fullmatch(name) else f'"{name}"' for name in names)


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the likely one, else all of them."""
    words = {name.lower(): name for name in known}
    close = likeliest(word.lower(), words)
    if close:
        return f'; did you mean "{words[close]}"?'
    return f"; known: {', '.join(words.values())}" if words else ""
