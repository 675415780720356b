"""CSV: every field is text, an empty one without quotes is no value, and lines may end in any way."""

from __future__ import annotations

import csv
import re
import shutil
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path

from msgspec import Struct

from foretell.delivery.files import (
    CHUNK,
    DELIMITERS,
    ROW,
    Cell,
    DataFile,
    FileSource,
    listed,
    no_room,
    scratch,
    unreadable,
)
from foretell.delivery.sql import literal
from foretell.errors import DeliveryRejectedError

PIECE = rb'(?:(?<![^%b\r\n])|(?<=^\xef\xbb\xbf))"[^"]*+(?:""[^"]*+)*+"?|\r\n?|\n'
"""A quoted field, or the end of a line outside of one; %b is the delimiter."""


class Scan(Struct):
    """What one pass over the bytes sees: line ends by kind, whether there is a quote, and the last byte."""

    feeds: int = 0
    pairs: int = 0
    returns: int = 0
    quoted: bool = False
    last: bytes = b""
    closing: int = 0
    """Line ends of the first piece right after a delimiter: after an empty field, or one field too many."""

    @property
    def breaks(self) -> int:
        return self.feeds + self.pairs

    @property
    def mixed(self) -> bool:
        return sum(map(bool, (self.feeds, self.pairs, self.returns))) > 1


def opened(file: DataFile, null: Sequence[str], work: Path) -> FileSource:
    """
    Return a file, with columns called c0, c1, ... so that any header will do.

    DuckDB (2.0) reads pieces of a file in parallel, and where a piece begins inside a quoted field that holds both
    line breaks and quotes, it has been seen to take the inside for rows. So where there are quotes, it may not. It
    reads one kind of line end, so a file with several is rewritten below `work` first.
    """
    csv.field_size_limit(sys.maxsize)
    try:
        header, seen = _header(file), _scan(file)
        if seen.mixed:
            file = _of_one_end(file, work)
            seen = _scan(file)
    except (OSError, EOFError, csv.Error, zlib.error) as error:
        raise no_room(file, error) or unreadable(file, why=str(error)) from error
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(header)))
    nulls = ", ".join(map(literal, ["", *null]))
    relation = (
        f"read_csv({{files}}, delim = '{DELIMITERS[file.suffix]}', quote = '\"', escape = '\"', header = true,"
        f" auto_detect = false, strict_mode = true, nullstr = [{nulls}], allow_quoted_nulls = false,"
        f" hive_partitioning = false, columns = {{{columns}}}"
    )
    lines = seen.breaks + (seen.last != b"\n") - 1 - sum(name.count("\n") for name in header)
    return FileSource(
        (file,),
        f"{relation}, parallel = {not seen.quoted})",
        {name: Cell(f"c{place}") for place, name in enumerate(header)},
        lines=lines,
        closing=seen.closing,
        # a row that is longer than what a thread takes of a file has been refused where several threads read
        roomy=f"{relation}, parallel = false, max_line_size = {ROW}, buffer_size = {2 * ROW})",
    )


def _header(file: DataFile) -> list[str]:
    with file.text() as lines:
        first = lines.readline()
        if re.fullmatch(r'(?i)"?sep=.?"?\s*', first):
            between = {",": "commas", "\t": "tabs"}[DELIMITERS[file.suffix]]
            why = f"its first line, {first.strip()}, is an instruction to Excel, not a header"
            raise unreadable(file, why=why, hint=f"remove that line, and write {between} between fields")
        lines.seek(0)
        header = next(csv.reader(lines, delimiter=DELIMITERS[file.suffix]), [])
    if any("\ufffd" in name or "\0" in name for name in header):
        raise unreadable(file, why="its header is not UTF-8", hint='write it with encoding="utf-8"')
    if not header:
        raise unreadable(file, why="its first line, the header, is empty")
    twice = [name for name, times in Counter(header).items() if times > 1]
    if twice:
        raise unreadable(file, why=f"its header repeats {listed(twice)}")
    return header


def _scan(file: DataFile) -> Scan:
    seen, delimiter = Scan(), DELIMITERS[file.suffix].encode()
    ends = (delimiter + b"\n", delimiter + b"\r")
    with file.bytes() as content:
        while chunk := content.read(CHUNK):
            returns = chunk.count(b"\r")  # most files have none, and looking for two bytes takes much longer
            pairs = (chunk.count(b"\r\n") if returns else 0) + (seen.last == b"\r" and chunk[:1] == b"\n")
            seen.pairs += pairs
            seen.feeds += chunk.count(b"\n") - pairs
            seen.returns += returns - pairs
            seen.quoted = seen.quoted or b'"' in chunk
            if not seen.last:  # who writes such lines writes all so, and looking for them takes long
                seen.closing = sum(map(chunk.count, ends))
            seen.last = chunk[-1:]
    seen.closing += seen.last == delimiter
    return seen


def _of_one_end(file: DataFile, work: Path) -> DataFile:
    """Return the file with every line ended by a line feed, or itself where all other ends are inside of values."""
    if file.zipped:
        plain = scratch(work, file)
        with file.bytes() as content, plain.open("wb") as out:
            shutil.copyfileobj(content, out, CHUNK)
        file = DataFile(plain, file.name)
    piece = re.compile(PIECE % re.escape(DELIMITERS[file.suffix].encode()))
    result, ends, position = scratch(work, file), set(), 0
    with (
        file.path.open("rb") as content,
        mmap(content.fileno(), 0, access=ACCESS_READ) as text,
        result.open("wb") as out,
    ):
        for found in piece.finditer(text):
            start, end = found.span()
            if text[start] != ord('"'):
                ends.add(text[start:end])
                out.write(text[position:start] + b"\n")
                position = end
        out.write(text[position:])
    return DataFile(result, file.name) if len(ends) > 1 else file


def refuse_closing_delimiter(files: Iterable[DataFile], width: int) -> None:
    """Refuse files in which a row has an empty field after its last one, which DuckDB (2.0) leaves out."""
    for file in files:
        with file.text() as lines:
            reader = csv.reader(lines, delimiter=DELIMITERS[file.suffix])
            for row in reader:
                if len(row) > width:
                    raise DeliveryRejectedError(
                        f'line {reader.line_num} of "{file.name}" ends with a delimiter',
                        why=f"the header has {width} fields, the line {len(row)}",
                        hint="remove the delimiter at the end of every line",
                    )


def count_records(files: Iterable[DataFile]) -> int:
    """
    Count the records of CSV files, slowly and for certain; DeliveryRejectedError where a quote is left open.

    DuckDB (2.0) leaves out, without a word, what follows a quote that is not closed when it reads in one piece.
    """
    records = 0
    for file in files:
        with file.text() as lines:
            reader = csv.reader(lines, delimiter=DELIMITERS[file.suffix], strict=True)
            try:
                width = len(next(reader, []))
                records += sum(1 for row in reader if row or width == 1)
            except csv.Error as error:
                raise unreadable(file, why=f"line {reader.line_num}: {error}") from error
    return records
