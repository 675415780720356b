"""
The only place that prints: results to standard output, words to people to standard error.

Colours and the line of progress are for terminals alone; whatever the encoding, nothing breaks on a character.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Self, TextIO, TypeAlias

import msgspec

from foretell.cli.streams import ReaderGoneError, silence
from foretell.errors import ForetellError, ServiceFileError, StreamError

STYLES = {"good": "32", "bad": "31", "warn": "33", "busy": "36", "faint": "2", "strong": "1"}
PLAIN = str.maketrans(
    {"…": "...", "·": "-", "–": "-", "→": "->", "←": "<-", "✓": "ok", "✗": "x", "×": "x", "≈": "~"}  # noqa: RUF001
)
"""What stands for our own signs where the encoding has none."""
CLEAR = "\r\x1b[2K"
WIDE = "WF"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Cell: TypeAlias = str | tuple[str, str]
"""A text, or a text and the style it is printed in."""


class Terminal:
    """Where one command prints. With `json` its result is one document; with `quiet` it says nothing else."""

    def __init__(self, *, json: bool, quiet: bool, environ: Mapping[str, str]) -> None:
        self.json = json
        self.quiet = quiet
        self._result = _Stream(sys.stdout, environ)
        self._words = _Stream(sys.stderr, environ)
        self._line_open = False
        """Whether the log's last line has no end yet."""
        self._status_shown = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Self:
        """Read the form from the raw arguments, for errors about them must be told in the same one."""
        told = arguments[: arguments.index("--")] if "--" in arguments else arguments
        return cls(json="--json" in told, quiet="--quiet" in told or "-q" in told, environ=os.environ)

    @property
    def live(self) -> bool:
        """Whether somebody watches, who is shown progress."""
        return self._words.terminal and not self.quiet and not self.json

    @property
    def lost(self) -> bool:
        """Whether some of what was said found no room or no reader, so that nobody knows it."""
        return any(stream.lost for stream in (self._result, self._words))

    def insist_on_a_reader(self) -> None:
        """Raise ReaderGoneError where nobody reads any more; for what goes on and on, and for the end."""
        if any(isinstance(stream.lost, BrokenPipeError) for stream in (self._result, self._words)):
            raise ReaderGoneError

    def end(self, code: int) -> int:
        """
        Return the exit code of a verb that ends with `code`, or without a result where it found no room for it.

        That is told at the end: a verb whose result is lost has gone on, so that nothing is left half done.
        ReaderGoneError where nobody reads it any more.
        """
        self.insist_on_a_reader()
        if self._result.lost is None:
            return code
        error = StreamError(self._result.lost)
        self.error(error)
        return code or error.exit_code

    # --- the result -------------------------------------------------------------------------------------------

    def result(self, *cells: Cell) -> None:
        """Print a line of the result, unless a document is asked for."""
        if not self.json:
            self._result.line(cells)

    def document(self, value: object) -> None:
        """Print the result as a JSON document, where that is asked for."""
        if self.json:
            self.data(value)

    def data(self, value: object) -> None:
        """Print a JSON document whatever is asked for."""
        encoded = msgspec.json.encode(value, enc_hook=str)
        self.raw(msgspec.json.format(encoded, indent=2) + b"\n")

    def raw(self, data: bytes) -> None:
        """Print bytes as they are, as the result."""
        self._result.bytes(data)

    def table(
        self, headers: Sequence[str], rows: Sequence[Sequence[Cell]], *, right: Sequence[str] = ()
    ) -> None:
        """Print a table, unless a document is asked for; columns named in `right` are aligned to the right."""
        if self.json:
            return
        cells = [[(_clean(text), style) for text, style in map(_pair, row)] for row in rows]
        widths = [
            max([width(header), *(width(row[place][0]) for row in cells)])
            for place, header in enumerate(headers)
        ]
        for row in [[(header, "faint") for header in headers], *cells]:
            padded = [
                (_padded(text, size, to_the_right=header in right), style)
                for (text, style), size, header in zip(row, widths, headers, strict=True)
            ]
            self._result.line(_joined(padded), fit=True)

    # --- words ------------------------------------------------------------------------------------------------

    def tell(self, *cells: Cell) -> None:
        """Tell people a line."""
        if not self.quiet:
            self.clear()
            self._words.line(cells)

    def warn(self, text: str) -> None:
        """Tell people a line that they should not pass over."""
        self.tell((text, "warn"))

    def log(self, data: bytes) -> None:
        """Show bytes that the model printed, as they are."""
        if self.quiet or not data:
            return
        self._hide_status()
        self._words.bytes(data)
        self._line_open = not data.endswith((b"\n", b"\r"))

    def status(self, text: str) -> None:
        """Show where things stand in a line that the next word replaces; on a terminal only."""
        if self.live and not self._line_open:
            self._words.text(CLEAR + _cut(text, self._words.columns - 1))
            self._status_shown = True

    def clear(self) -> None:
        """End what is on the line, so that a new one begins."""
        self._hide_status()
        if self._line_open:
            self._words.text("\n")
            self._line_open = False

    def error(self, error: ForetellError) -> None:
        """Tell what went wrong: as text, and as a document where one is asked for."""
        self.clear()
        first, *rest = error.lines()
        self._words.line([("error: ", "bad"), first])
        for line in rest:
            self._words.line([line])
        if self.json:
            self.data({"error": _told(error)})

    def _hide_status(self) -> None:
        if self._status_shown:
            self._words.text(CLEAR)
            self._status_shown = False


class _Stream:
    """
    Standard output or error, with what can be shown there.

    Where what is written finds no room or no reader, that is kept in `lost`, and what follows goes nowhere.
    """

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self.lost: OSError | None = None
        self.terminal = stream is not None and stream.isatty()
        self.columns = shutil.get_terminal_size().columns
        self._coloured = _wants_colour(environ, terminal=self.terminal)
        self._plain = False
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            self._plain = not _can_say(stream.encoding)

    def line(self, cells: Sequence[Cell], *, fit: bool = False) -> None:
        """Print a line; `fit` cuts it to the width of a terminal."""
        left = self.columns if fit and self.terminal else sys.maxsize
        parts = []
        for text, style in map(_pair, cells):
            shown = _cut(text, left)
            left -= width(shown)
            parts.append(
                f"\x1b[{STYLES[style]}m{shown}\x1b[0m" if style and shown and self._coloured else shown
            )
        self.text("".join(parts).rstrip() + "\n")

    def text(self, text: str) -> None:
        def write(stream: TextIO) -> None:
            stream.write(text.translate(PLAIN) if self._plain else text)
            stream.flush()

        self._write(write)

    def bytes(self, data: bytes) -> None:
        def write(stream: TextIO) -> None:
            stream.flush()
            stream.buffer.write(data)
            stream.buffer.flush()

        self._write(write)

    def _write(self, write: Callable[[TextIO], object]) -> None:
        if self._stream is None:  # closed by whoever called us
            return
        try:
            write(self._stream)
        except OSError as error:
            self.lost = self.lost or error
            silence(self._stream)


def width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        (unicodedata.east_asian_width(sign) in WIDE) + (not unicodedata.combining(sign)) for sign in text
    )


def _pair(cell: Cell) -> tuple[str, str]:
    return (cell, "") if isinstance(cell, str) else cell


def _clean(text: str) -> str:
    """Show control characters as what they are, so that a value stays on its line."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def _padded(text: str, size: int, *, to_the_right: bool) -> str:
    space = " " * (size - width(text))
    return space + text if to_the_right else text + space


def _joined(cells: Sequence[Cell]) -> list[Cell]:
    return [part for cell in cells for part in (cell, "  ")]


def _cut(text: str, columns: int) -> str:
    if len(text) <= columns // 2 or width(text) <= columns:
        return text
    used = 0
    for place, sign in enumerate(text):
        used += width(sign)
        if used >= columns:
            return text[:place] + "…" * (columns > 0)
    return text


def _wants_colour(environ: Mapping[str, str], *, terminal: bool) -> bool:
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return terminal and environ.get("TERM") != "dumb"


def _can_say(encoding: str) -> bool:
    try:
        "…·→←✓✗≈".encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _told(error: ForetellError) -> dict[str, object]:
    told: dict[str, object] = {
        "kind": type(error).__name__.removesuffix("Error"),
        "what": error.what,
        "where": error.where,
        "why": error.why,
        "next": error.hint,
        "exit_code": error.exit_code,
    }
    return told | {"faults": error.faults} if isinstance(error, ServiceFileError) else told
