"""What the model wrote, as tables: CSV, newline-delimited JSON and Parquet files, their columns by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from msgspec.structs import replace

from foretell.delivery import csv_files, json_lines, parquet_files
from foretell.delivery.files import DELIMITERS, NDJSON, Cell, Connection, DataFile, FileSource, empty, listed
from foretell.delivery.sql import literal
from foretell.errors import DeliveryRejectedError

SUPPORTED = ".csv, .tsv, .ndjson, .jsonl, .json (each also with .gz) or .parquet"
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What Hive, Spark and pandas call a directory of rows that have no value in its column."""


def find(pattern: str, output: Path) -> list[DataFile]:
    """Return the files in `output` that a path or glob means, sorted; a name that is there is not read as a glob."""
    if not pattern or Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise DeliveryRejectedError(
            f'"{pattern}" is not in the output directory', hint="set `file` to a path in it"
        )
    exact = output / pattern
    found = [DataFile(exact, Path(pattern).as_posix())] if exact.is_file() else _globbed(pattern, output)
    if found:
        return found
    there = [file.name for file in _globbed("**/*", output)]
    inside = exact.is_dir() and any(file.path.is_relative_to(exact) for file in _globbed("**/*", output))
    raise DeliveryRejectedError(
        f'the command did not write "{pattern}"',
        where="the output directory",
        why=f"it contains {listed(there)}" if there else "it is empty",
        hint=f'"{pattern}" is a directory: for its files write file = "{pattern}/**"'
        if inside
        else "write the predictions to that file, or correct `file` in the action's delivery",
    )


def _globbed(pattern: str, output: Path) -> list[DataFile]:
    """
    Return the files of a glob, sorted by path, without those that are hidden or below a hidden directory.

    One that several names lead to by links is given once, by its own name if the glob means that.
    """
    everything = f"{pattern}/*" if PurePosixPath(pattern).name == "**" else pattern
    root = os.path.realpath(output)
    files: dict[str, DataFile] = {}
    for path in sorted(set(output.glob(everything))):
        name = path.relative_to(output)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            goal = os.path.realpath(path)
            if goal not in files or goal == f"{root}/{name.as_posix()}":
                files[goal] = DataFile(path, name.as_posix())
    return sorted(files.values(), key=lambda file: file.path)


def open_all(
    connection: Connection, files: Sequence[DataFile], work: Path, *, null: Sequence[str] = ()
) -> list[FileSource]:
    """
    Open files in their order, neighbours of the same columns together.

    A key that a line of JSON lacks is NULL, and an empty file beside others is an empty part: where all are, and there
    are lines of JSON among them, there are no rows, and no source. `null` are the texts that mean no value as whole,
    unquoted cells of CSV, beside the empty one. What a file is read as, where not as it is, is written below `work`.
    """
    for file in files:
        if file.suffix not in DELIMITERS.keys() | NDJSON and (file.suffix != ".parquet" or file.zipped):
            raise DeliveryRejectedError(
                f'the format of "{file.name}" is not supported', hint=f"write {SUPPORTED}"
            )
    full = [file for file in files if file.suffix == ".parquet" or not empty(file)]
    if not full and not any(file.suffix in NDJSON for file in files):
        raise DeliveryRejectedError(f'"{files[0].name}" is empty', hint="write at least the header")
    opened = _opened(connection, full, work, null)
    alike = groupby(opened, key=lambda source: replace(source, files=(), lines=None, closing=0))
    return [_together(list(sources)) for _, sources in alike]


def _opened(
    connection: Connection, files: Sequence[DataFile], work: Path, null: Sequence[str]
) -> list[FileSource]:
    plain = {file: json_lines.without_mark(file, work) for file in files if file.suffix in NDJSON}
    keys = {file: json_lines.keys(connection, read) for file, read in plain.items()}
    known = sorted({key for own in keys.values() for key in own or ()})
    sources = []
    for file in files:
        path = _in_path(file)
        if file.suffix in DELIMITERS:
            source = csv_files.opened(file, null, work)
        elif file.suffix not in NDJSON:
            source = parquet_files.opened(connection, file)
        elif (own := keys[file]) is not None:
            mine = [key for key in known if key in own or key not in path]
            source = json_lines.opened(plain[file], mine)
        else:
            continue
        sources.append(replace(source, path=path))
    return sources


def _in_path(file: DataFile) -> dict[str, Cell]:
    """Return the values that the file's directories say by their names, NAME=VALUE, as Hive and Spark write them."""
    pairs = [part.partition("=") for part in PurePosixPath(file.name).parts[:-1] if "=" in part]
    return {
        unquote(name): Cell("CAST(NULL AS VARCHAR)" if value == NO_VALUE else literal(unquote(value)))
        for name, _, value in pairs
    }


def _together(sources: list[FileSource]) -> FileSource:
    lines = [source.lines for source in sources if source.lines is not None]
    files = tuple(file for source in sources for file in source.files)
    closing = sum(source.closing for source in sources)
    return replace(sources[0], files=files, lines=sum(lines) if lines else None, closing=closing)
