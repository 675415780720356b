"""Parquet: columns by the names that the file has, and the index of a pandas frame as what it is."""

from __future__ import annotations

from collections import Counter, deque

import msgspec

from foretell.delivery.files import Cell, Connection, DataFile, FileSource, broken, listed, unreadable
from foretell.delivery.sql import duckdb, identifier, literal, paths

RELATION = "read_parquet({files}, hive_partitioning = false)"


def opened(connection: Connection, file: DataFile) -> FileSource:
    """Return a file. DuckDB gives a name of its own to a column that another is called, so they go by their place."""
    here = paths([file.path])
    try:
        described = connection.execute(f"DESCRIBE FROM {RELATION.replace('{files}', here)}").fetchall()
        tree = connection.execute(f"SELECT name, num_children FROM parquet_schema({here})").fetchall()
        told = connection.execute(
            f"SELECT decode(value) FROM parquet_kv_metadata({here}) WHERE key = {literal('pandas')}::BLOB"
        ).fetchone()
    except duckdb.Error as error:
        raise broken(file, error) from error
    names = _top(tree)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise unreadable(file, why=f"it has duplicate columns: {listed(twice)}")
    columns = {name: _cell(ours, kind) for name, (ours, kind, *_) in zip(names, described, strict=True)}
    return FileSource((file,), RELATION, columns, index=_index(str(told[0])) if told else frozenset())


def _cell(name: str, kind: str) -> Cell:
    # What a file calls JSON was never looked at, so it is held against the rules of text.
    return Cell(f"CAST({identifier(name)} AS VARCHAR)") if kind == "JSON" else Cell(identifier(name), kind)


def _top(tree: list[tuple[str, int | None]]) -> list[str]:
    """Return the names of the columns themselves, of all elements of a schema in the order of the file."""
    rest = deque(tree[1:])

    def skip(count: int) -> None:
        for _ in range(count):
            _, children = rest.popleft()
            skip(children or 0)

    names = []
    while rest:
        name, children = rest.popleft()
        names.append(name)
        skip(children or 0)
    return names


def _index(told: str) -> frozenset[str]:
    """Return the columns that hold an index without a name, as pandas says in the file's metadata."""
    try:
        about = msgspec.json.decode(told)
        indexes = {name for name in about["index_columns"] if isinstance(name, str)}
        return frozenset(
            column["field_name"]
            for column in about["columns"]
            if column["field_name"] in indexes and column["name"] is None
        )
    except (ValueError, KeyError, TypeError):  # whatever it is, it is not what pandas writes
        return frozenset()
