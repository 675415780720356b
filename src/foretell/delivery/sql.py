"""Names, texts and paths as DuckDB's SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# DuckDB itself, without the rest of its package, whose loading takes five times as long.
import _duckdb as duckdb


def literal(value: object) -> str:
    """Return SQL for a text."""
    return "'" + str(value).replace("'", "''") + "'"


def identifier(*parts: str) -> str:
    """Return SQL for a name, with the dataset before it where there are two."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def paths(files: Iterable[Path]) -> str:
    """Return SQL for files that are read: DuckDB takes a path for a glob, so what has a meaning there is escaped."""
    return "[" + ", ".join(literal(re.sub(r"[*?[]", r"[\g<0>]", str(file))) for file in files) + "]"


__all__ = ["duckdb", "identifier", "literal", "paths"]
