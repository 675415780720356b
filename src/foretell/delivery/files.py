"""The files that a model wrote, as relations of DuckDB, and what is said of one that cannot be read."""

from __future__ import annotations

import gzip
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from errno import ENOSPC
from pathlib import Path
from typing import BinaryIO, TextIO, TypeAlias, cast

from msgspec import Struct, field

from foretell.delivery.sql import duckdb, paths
from foretell.errors import DeliveryRejectedError, WarehouseError

Connection: TypeAlias = duckdb.DuckDBPyConnection

DELIMITERS = {".csv": ",", ".tsv": "\t"}
NDJSON = {".ndjson", ".jsonl", ".json"}
CHUNK = 1 << 20
"""Bytes that are read at a time."""
BOM = b"\xef\xbb\xbf"
ROW = 100 << 20
"""Bytes that a row may have in a text format, as BigQuery's own loader has it."""
SHOWN = 80
"""Characters of a value, and names of a list, that a message shows at most."""


class DataFile(Struct, frozen=True):
    """A file, and its name in the output directory."""

    path: Path
    name: str

    @property
    def suffix(self) -> str:
        return Path(self.path.name.lower().removesuffix(".gz")).suffix

    @property
    def zipped(self) -> bool:
        return self.path.name.lower().endswith(".gz")

    def text(self) -> TextIO:
        opened = gzip.open if self.zipped else open
        return cast("TextIO", opened(self.path, "rt", encoding="utf-8-sig", errors="replace", newline=""))

    def bytes(self) -> BinaryIO:
        return cast("BinaryIO", gzip.open(self.path) if self.zipped else self.path.open("rb"))


class Cell(Struct, frozen=True):
    """
    A column's value in SQL over the relation of its file, and DuckDB's name of its type there.

    A value in a line of JSON has beside it its text, a number's own digits as text, and JSON of such digits.
    """

    sql: str
    type: str = "VARCHAR"
    text: str = ""
    digits: str = ""
    document: str = ""


class FileSource(Struct, frozen=True):
    """
    Files with the same columns, in the same order. `relation` is a table function in SQL with {files} in it.

    `path` are the values that the names of their directories give, NAME=VALUE. `lines` is what CSV must come to: rows
    and line breaks inside of values together; None for other formats. `roomy` is the relation for very long rows.
    `closing` is how many lines of it end right after a delimiter. `index` are columns of pandas' own, which need not
    be declared.
    """

    files: tuple[DataFile, ...]
    relation: str
    columns: Mapping[str, Cell]
    path: Mapping[str, Cell] = field(default_factory=dict)
    lines: int | None = None
    closing: int = 0
    roomy: str = ""
    index: frozenset[str] = frozenset()

    def over(self, files: Iterable[DataFile]) -> str:
        return self.relation.replace("{files}", paths(file.path for file in files))


def broken(file: DataFile, error: duckdb.Error) -> DeliveryRejectedError | WarehouseError:
    """Tell what DuckDB says of a file it cannot read, or that this machine has no room to read it."""
    said = str(error).strip()
    first = said.partition("\n")[0].partition(": ")[2] or said
    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in said:
        return WarehouseError(f'not enough memory or disk space to validate "{file.name}" here', why=first)
    found = re.search(r"CSV Error on Line: (\d+)\s+Original Line: ?(.*?)\n(.+)", said)
    if not found:
        return unreadable(file, why=first)
    line, text, why = found.groups()
    return DeliveryRejectedError(
        f'line {line} of "{file.name}" cannot be read',
        where=shown(text),
        why=why[:1].lower() + why[1:].rstrip("."),
        hint="write it as UTF-8, with as many fields in each row as in the header",
    )


def unreadable(file: DataFile, *, why: str, hint: str = "") -> DeliveryRejectedError:
    """Tell that a file is not what its name says."""
    return DeliveryRejectedError(f'"{file.name}" cannot be read', why=why, hint=hint)


def shown(value: object) -> str:
    """Return a value in quotes, cut where it is long."""
    text = str(value)
    return f'"{text}"' if len(text) <= SHOWN else f'"{text[:SHOWN]}…"'


def listed(names: Sequence[str]) -> str:
    """Return names in quotes, the first of them where they are many."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(shown(name) for name in names[:SHOWN]) + more


def no_room(file: DataFile, error: Exception) -> WarehouseError | None:
    """Return what is told where a copy of a file found no room; None where the error is another."""
    if not isinstance(error, OSError) or error.errno != ENOSPC:
        return None
    return WarehouseError(f'not enough disk space to validate "{file.name}" here', why=str(error))


def scratch(work: Path, file: DataFile) -> Path:
    """Return a new file below `work`, for what a file is read as."""
    work.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=work, suffix=file.suffix)
    os.close(handle)
    return Path(name)


MAGIC = {
    b"\x1f\x8b": ("gzip", 'rename it to "{name}.gz"'),
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", "write it as text, or as Parquet"),
    b"PAR1": ("Parquet", 'rename it to "….parquet"'),
    b"\x28\xb5\x2f\xfd": ("zstd", "write it without compression, or with gzip as .gz"),
    b"\xfd7zXZ": ("xz", "write it without compression, or with gzip as .gz"),
    b"BZh91AY&SY": ("bzip2", "write it without compression, or with gzip as .gz"),
    b"\xff\xfe": ("UTF-16, not UTF-8", 'write it with encoding="utf-8"'),
    b"\xfe\xff": ("UTF-16, not UTF-8", 'write it with encoding="utf-8"'),
}
"""How files begin that are not the text that their name says, what they are, and the mend."""


def empty(file: DataFile) -> bool:
    """Tell whether a text file holds nothing, a byte order mark apart; refuse one that is not text at all."""
    with file.path.open("rb") as content:
        start = content.read(16)
    for magic, (what, mend) in MAGIC.items():
        if start.startswith(magic) and not (file.zipped and what == "gzip"):
            raise unreadable(file, why=f"it is {what}", hint=mend.replace("{name}", file.name))
    try:
        with file.bytes() as content:
            return content.read(len(BOM) + 1) in {b"", BOM}
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(file, why=str(error)) from error
