"""Columns as foretell.toml declares them: names that a warehouse takes, and the line that is written there."""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable

from msgspec import Struct

from foretell.service.delivery import RESERVED, Column

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
BARE = re.compile(r"[A-Za-z0-9_-]+")
TABLE = re.compile(r"\.((csv|tsv|jsonl|ndjson)(\.gz)?|parquet)$")
KEY = "columns = "
"""How the line begins."""
LONGEST = 120
"""Characters of a name that is made up, which leaves room for a number."""


class DeclaredTable(Struct, frozen=True, kw_only=True):
    """
    Files that could be delivered, as a delivery's `file` names them, and the line that declares their columns.

    `notes` are what else could be declared, a sentence each.
    """

    file: str
    line: str
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, object]:
        """Return it as it stands in a JSON document."""
        value = tomllib.loads(self.line)["columns"]
        return {"file": self.file, "line": self.line, "columns": value, "notes": self.notes}


def is_table(name: str) -> bool:
    """Tell whether a file is a table by its name. JSON in the plain mostly is a document, and is none."""
    return bool(TABLE.search(name.lower())) and not any(part.startswith(".") for part in name.split("/"))


def line(columns: Iterable[Column]) -> str:
    """Return the line that declares these columns, each by name and type where that says it all."""
    told = tuple(columns)
    if all(PLAIN.fullmatch(column.name) and _is_plain(column) for column in told):
        return f'{KEY}"{",".join(f"{column.name}:{column.type}" for column in told)}"'
    return f"{KEY}{{{', '.join(entry(column, column.source) for column in told)}}}"


def entry(column: Column, source: str) -> str:
    """Return a column of another source as it is written in the table `columns`."""
    key = column.name if BARE.fullmatch(column.name) else quoted(column.name)
    if source == column.name and column.mode == "NULLABLE":
        return f'{key} = "{column.type}"'
    mode = ', mode = "REQUIRED"' if column.mode == "REQUIRED" else ""
    origin = f", from = {quoted(source)}" if source != column.name else ""
    return f'{key} = {{type = "{column.type}"{mode}{origin}}}'


def quoted(text: str) -> str:
    """Return a text as TOML has it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def named(source: str, taken: set[str]) -> str:
    """Return a name for a column that a warehouse takes, none of `taken`, which holds lower case and gains it."""
    first = source if PLAIN.fullmatch(source) and not RESERVED.match(source) else _nearest(source)
    name, number = first, 1
    while name.lower() in taken:
        number += 1
        name = f"{first[:LONGEST]}_{number}"
    taken.add(name.lower())
    return name


def _nearest(source: str) -> str:
    letters = unicodedata.normalize("NFKD", source).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", letters).strip("_") or "column"
    return (name if name[0].isalpha() else f"_{name}")[:LONGEST]


def _is_plain(column: Column) -> bool:
    return column.source == column.name and column.mode == "NULLABLE"
