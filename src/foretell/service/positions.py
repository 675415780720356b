"""The lines on which the keys of a TOML document stand, which the parser does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys from the root of a document to a value; a number is a place in an array, counted from 0."""

BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
SPACE = re.compile(r"[ \t]*")
KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
STRING = re.compile(
    r'''"""(?:[^\\]|\\.)*?""""{0,2}|\'\'\'.*?\'\'\'\'{0,2}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''', re.DOTALL
)
SCALAR = re.compile(r"[^,\]}#\n]+")


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, of every table, key and array element of a valid TOML document."""
    scan = _Scan(text)
    scan.document()
    return scan.lines


class _Scan:
    """One pass over a document that is known to be valid: only as much grammar as finds the keys."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.ends = [found.start() for found in re.finditer("\n", text)]
        self.lines: dict[KeyPath, int] = {}
        self.elements: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self.more():
            if self.take("[["):
                table = self.element(self.key())
            elif self.take("["):
                table = self.within(self.key())
                self.note(table)
            else:
                self.pair(table)
                continue
            self.position = self.text.index("]", self.position)
            self.position += 2 if self.text.startswith("]]", self.position) else 1

    def pair(self, table: KeyPath) -> None:
        line = self.line()
        path = table
        for part in self.key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self.position = self.text.index("=", self.position) + 1
        self.value(path)

    def value(self, path: KeyPath) -> None:
        self.skip(SPACE)
        if self.take("["):
            self.array(path)
        elif self.take("{"):
            self.inline(path)
        elif not self.skip(STRING):
            self.skip(SCALAR)

    def array(self, path: KeyPath) -> None:
        index = 0
        while self.more() and not self.take("]"):
            if self.take(","):
                continue
            self.note((*path, index))
            self.value((*path, index))
            index += 1

    def inline(self, path: KeyPath) -> None:
        while self.more() and not self.take("}"):
            if not self.take(","):
                self.pair(path)

    def element(self, key: list[str]) -> KeyPath:
        array = (*self.within(key[:-1]), key[-1])
        self.elements[array] = self.elements.get(array, -1) + 1
        self.note(array)
        self.note((*array, self.elements[array]))
        return (*array, self.elements[array])

    def within(self, key: list[str]) -> KeyPath:
        """Return the path of a table's header: through an array of tables it means the newest element."""
        path: KeyPath = ()
        for part in key:
            path = (*path, part)
            self.note(path)
            if path in self.elements:
                path = (*path, self.elements[path])
        return path

    def key(self) -> list[str]:
        parts = []
        while True:
            self.skip(SPACE)
            start = self.position
            self.skip(KEY)
            parts.append(_unquoted(self.text[start : self.position]))
            self.skip(SPACE)
            if not self.take("."):
                return parts

    def take(self, mark: str) -> bool:
        found = self.text.startswith(mark, self.position)
        self.position += len(mark) * found
        return found

    def more(self) -> bool:
        """Go on to what is neither blank nor comment; tell whether there is any."""
        self.skip(BLANK)
        return self.position < len(self.text)

    def skip(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self.text, self.position)
        self.position = found.end() if found else self.position
        return found is not None

    def note(self, path: KeyPath) -> None:
        self.lines.setdefault(path, self.line())

    def line(self) -> int:
        return bisect_left(self.ends, self.position) + 1


def _unquoted(part: str) -> str:
    if part[:1] not in {'"', "'"}:
        return part
    (name,) = tomllib.loads(f"{part} = 0")
    return name
