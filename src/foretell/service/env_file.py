"""A file of environment variables, as python-dotenv reads it; what it would pass over is told instead."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from foretell.errors import UsageError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
OWN = ("NAME", "VERSION", "ACTION")
"""Variables that Foretell sets, beside all that begin with FORETELL_."""
LITERAL = re.compile(r"\s*(?:export\s+)?[^=]*=\s*'")
"""The beginning of a line whose value stands in single quotes, in which nothing is filled in."""


def read(path: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables of a file; `${NAME}` in a value is one of them from above, else of `inherited`.

    Raises UsageError where the file cannot be read, or a line of it is not understood. No message repeats a value.
    """
    found: dict[str, str] = {}
    for line, text, key, value, error in _statements(path):
        if error or (key is not None and value is None):
            quoted = error and ('"' in text or "'" in text)
            why = "a quote is not closed, or text follows the closing quote" if quoted else "= is missing"
            raise _wrong(path, line, why, "write NAME=value, and quote a value of several lines")
        if key is None or value is None:
            continue
        _insist_on_a_name(path, line, key)
        filled = value if LITERAL.match(text) else _filled(value, {**inherited, **found}, path, line)
        if "\0" in filled:
            raise _wrong(path, line, f'"{key}" holds a NUL character, which no variable can')
        found[key] = filled
    return found


class Statement(NamedTuple):
    """One statement of a file: `text` as it stands there, and its line, counted from 1."""

    line: int
    text: str
    key: str | None
    value: str | None
    error: bool


def _statements(path: Path) -> Iterator[Statement]:
    """Yield every statement of a file as python-dotenv parses it."""
    # Loaded here, for few services have such a file, and it takes longer than a service without one takes to load.
    from dotenv.parser import parse_stream

    for found in parse_stream(io.StringIO(_text(path))):
        text = found.original.string
        blank = text[: len(text) - len(text.lstrip())]
        line = found.original.line + len(re.findall(r"\r\n|\n|\r", blank))
        yield Statement(line, text, found.key, found.value, found.error)


def _text(path: Path) -> str:
    if not path.exists():
        raise _unreadable(path, "it does not exist", "create it, or remove env_file")
    if not path.is_file():
        # A virtual environment is often called .env, and a pipe would be waited for.
        raise _unreadable(path, "it is a directory" if path.is_dir() else "it is not a regular file")
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _wrong(path, line, "it is not UTF-8", "save the file as UTF-8") from None


def _insist_on_a_name(path: Path, line: int, name: str) -> None:
    if not NAME.fullmatch(name):
        raise _wrong(path, line, "the text before = is not a variable name (A-Z, a-z, 0-9 and _)")
    if name in OWN or name.startswith("FORETELL_"):
        raise _wrong(path, line, f'the variable "{name}" is set by Foretell', "choose another name")


def _filled(value: str, known: Mapping[str, str], path: Path, line: int) -> str:
    """Put variables into a value, where the library would take an unknown one for an empty one."""
    from dotenv.variables import Variable, parse_variables

    parts = list(parse_variables(value))
    for part in parts:
        if isinstance(part, Variable) and part.default is None and part.name not in known:
            why = f'"${{{part.name}}}" is defined neither above nor in this environment'
            raise _wrong(path, line, why, "put the value in single quotes, or write ${NAME:-default}")
    return "".join(part.resolve(known) for part in parts)


def _unreadable(path: Path, why: str, hint: str = "correct env_file in foretell.toml") -> UsageError:
    return UsageError("the env file cannot be read", where=str(path), why=why, hint=hint)


def _wrong(path: Path, line: int, why: str, hint: str = "correct that line") -> UsageError:
    return UsageError("the env file cannot be parsed", where=f"{path}:{line}", why=why, hint=hint)
