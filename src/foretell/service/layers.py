"""The files a service is written in: foretell.toml and what it extends, nearest first, and merged."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from foretell.errors import ServiceFileError
from foretell.service.positions import KeyPath, locate
from foretell.system.text import printable

Table: TypeAlias = dict[str, object]

DEEPEST = 32
"""Files in one chain of `extends`; a longer one is a mistake."""


class Layer(Struct, frozen=True, kw_only=True, dict=True):
    """One file: `shown` is its path as messages give it."""

    path: Path
    shown: str
    table: Table
    text: str

    @cached_property
    def lines(self) -> dict[KeyPath, int]:
        """Where each key stands; asked only when something is wrong."""
        return locate(self.text)


def layers(path: Path) -> tuple[Layer, ...]:
    """Read a service file and what it extends, nearest first; ServiceFileError for what cannot be read."""
    found = [_read(path, path.name)]
    while "extends" in found[-1].table:
        found.append(_extended(found, path.parent))
    return tuple(found)


def merged(tables: Sequence[Table]) -> Table:
    """Lay tables over each other, nearest first: tables merge, of everything else the nearer one stands."""
    result: Table = {}
    for table in tables:
        for key, value in table.items():
            nearer = result.get(key)
            if isinstance(nearer, dict) and isinstance(value, dict):
                result[key] = merged([nearer, value])
            else:
                result.setdefault(key, value)
    return result


def _extended(found: Sequence[Layer], root: Path) -> Layer:
    nearer = found[-1]
    wish = nearer.table["extends"]
    where = f"{nearer.shown}:{nearer.lines['extends',]}: "
    if not isinstance(wish, str) or not wish or "\0" in wish:
        raise _unreadable(nearer.path, where + '"extends" must be the path of another service file')
    path = nearer.path.parent / wish
    if any(os.path.realpath(path) == os.path.realpath(layer.path) for layer in found):
        chain = " -> ".join([*(layer.shown for layer in found), os.path.relpath(path, root)])
        raise _unreadable(nearer.path, where + f'"extends" is circular: {chain}')
    if len(found) == DEEPEST:
        raise _unreadable(nearer.path, where + f'"extends" chains more than {DEEPEST} files')
    return _read(path, os.path.relpath(path, root), where=where)


def _read(path: Path, shown: str, *, where: str = "") -> Layer:
    text = ""
    try:
        text = _bytes(path).decode("utf-8-sig").replace("\r\n", "\n")
        return Layer(path=path, shown=shown, table=tomllib.loads(text), text=text)
    except OSError as error:
        raise _unreadable(path, f'{where}"{shown}" {_reason(error)}') from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        fault = f"{shown}:{line}: not UTF-8: the byte 0x{byte:02x}; save the file as UTF-8"
        raise _unreadable(path, fault) from None
    except RecursionError:
        raise _unreadable(path, f"{shown}:1: nested too deeply to be read") from None
    except ValueError as error:
        # The parser lets through what int() and datetime say, so not only its own class of errors.
        raise _unreadable(path, f"{shown}:{_syntax(str(error), text)}") from None


def _bytes(path: Path) -> bytes:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        # A pipe would be waited for, and a device never ends.
        raise OSError("is not a regular file")
    return path.read_bytes()


def _reason(error: OSError) -> str:
    known = {
        FileNotFoundError: "does not exist",
        IsADirectoryError: "is a directory, not a file",
        PermissionError: "cannot be read by this user",
    }
    return known.get(type(error)) or f"cannot be read: {(error.strerror or str(error)).lower()}"


def _syntax(message: str, text: str) -> str:
    """Return line, column and fault from what the parser says: "Expected '=' (at line 1, column 5)"."""
    found = re.fullmatch(
        r"(.*?)(?: \(at (?:line (\d+), column (\d+)|end of document)\))?", message, re.DOTALL
    )
    fault, line, column = found.groups() if found else (message, None, None)
    lines = text.split("\n")
    place = f"{line or len(lines)}:{column or len(lines[-1]) + 1}"
    return f"{place}: not TOML: {fault[:1].lower()}{fault[1:]}"


def _unreadable(path: Path, fault: str) -> ServiceFileError:
    return ServiceFileError(
        "the service file cannot be read",
        faults=(printable(fault),),
        where=str(path),
        hint='correct it, or start anew with "foretell init"',
    )
