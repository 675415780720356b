"""
What the columns of a file are, by all of its rows: the declaration under which it is delivered as it stands.

A type is taken only if every value is of it, and written as that type is written: ids with leading zeros are STRING,
a number that FLOAT64 would round is NUMERIC, what has no value is STRING. The contract itself has the last word, so
what is inferred here is accepted there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from foretell.delivery import validate
from foretell.delivery.conversion import Contract, steps
from foretell.delivery.declaration import is_table, line, named, quoted
from foretell.delivery.files import DELIMITERS, NDJSON, Cell, Connection, DataFile, FileSource, broken
from foretell.delivery.formats import find, open_all
from foretell.delivery.sql import duckdb, identifier, literal
from foretell.errors import DeliveryRejectedError, ForetellError
from foretell.service.delivery import Column, Delivery

LONGEST_LINE = 1_000_000
"""Characters of a line that is read for its order alone."""
GLANCE = 50
"""Rows that are looked at one by one."""
SAMPLE = 5_000
"""Rows that rule out most types before all rows are looked at."""
NO_VALUE = ("NA", "NULL", "null", "None", "N/A", "nan", "NaN", "\\N", "-")
"""Texts by which writers say that there is no value, the likeliest first."""
AT_ONCE = 100
"""Columns of one query: DuckDB takes more than twice as long for twice as many."""

DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
WHOLE = "0|-?[1-9][0-9]*"
DECIMAL = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?"
REAL = r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|[nN][aA][nN]|[+-]?[iI]nf(inity)?"
EXACT = (
    r"NOT regexp_full_match({text}, '-?[0-9]+(\.[0-9]{1,9})?') OR length({text}) <= 15"
    " OR TRY_CAST({text} AS DECIMAL(38,9))"
    " = TRY_CAST(CAST(TRY_CAST({text} AS DOUBLE) AS VARCHAR) AS DECIMAL(38,9))"
)
"""Whether FLOAT64 keeps what NUMERIC could; of more than nine decimals that is nobody's question."""


class Trial(Struct, frozen=True):
    """A type, and how its values are written (a regular expression, and SQL over {text}) where that is looked at."""

    type: str
    form: str = ""
    sure: str = "true"


Trials: TypeAlias = tuple[Trial, ...]

STRING = Trial("STRING")
NUMBERS: Trials = (
    Trial("INT64", WHOLE),
    Trial("NUMERIC", WHOLE),
    Trial("FLOAT64", REAL, EXACT),
    Trial("NUMERIC", DECIMAL),
    Trial("BIGNUMERIC", DECIMAL),
)
TIMES: Trials = (
    Trial("DATE", DAY),
    Trial("TIMESTAMP", f"{DAY}[ T]{CLOCK} ?(Z|UTC|[+-][0-9]{{2}}(:?[0-9]{{2}})?)"),
    Trial("DATETIME", f"{DAY}[ T]{CLOCK}"),
    Trial("TIME", CLOCK),
)
TEXT: Trials = (
    Trial("BOOL", "(?i)true|false"),
    *NUMBERS,
    *TIMES,
    Trial("JSON", r"(?s)\s*[\[{].*"),
    STRING,
)
"""What a field of CSV may be, the narrowest first."""
OF_JSON: dict[frozenset[str], Trials] = {
    frozenset({"BOOLEAN"}): (Trial("BOOL"), STRING),
    frozenset({"VARCHAR"}): (*TIMES, STRING),
    frozenset({"UBIGINT", "BIGINT", "DOUBLE", "HUGEINT", "UHUGEINT"}): (*NUMBERS, STRING),
}
"""What a value of JSON may be, by the kinds that JSON tells apart; of any other mixture it is its text."""
OF_PARQUET: dict[str, Trials] = {
    "BOOLEAN": (Trial("BOOL"),),
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"), (Trial("INT64"),)
    ),
    **dict.fromkeys(("UBIGINT", "HUGEINT", "UHUGEINT"), (Trial("INT64"), Trial("NUMERIC"))),
    **dict.fromkeys(("FLOAT", "DOUBLE"), (Trial("FLOAT64"),)),
    "DATE": (Trial("DATE"),),
    **dict.fromkeys(("TIME", "TIME_NS"), (Trial("TIME"),)),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), (Trial("DATETIME"),)),
    "TIMESTAMP WITH TIME ZONE": (Trial("TIMESTAMP"),),
    "JSON": (Trial("JSON"),),
}
"""What a column of Parquet is by its own type, as far as all of its values can be kept so."""


def anything(file: str) -> Delivery:
    """Return a delivery of a file of which nothing is known."""
    return Delivery(file=file, table="", columns=())


def infer(delivery: Delivery, output: Path, into: Path) -> tuple[Column, ...]:
    """
    Return the columns of what was written in `output` for a delivery; `into` is a directory to work in.

    Of declared columns name and mode are kept, and the type where all values are of it. What a declaration takes from
    the run itself is not among them, nor what it cannot name: a column whose own name begins with "@".
    DeliveryRejectedError where the files are no table.
    """
    known = {column.source: column for column in _of_file(delivery)}
    files = find(delivery.file, output)
    with validate.desk(into) as connection:
        opened = open_all(connection, files, into, null=delivery.null)
        wanted = known if delivery.columns else {name for source in opened for name in source.path}
        sources = _with_paths(opened, wanted)
        if not sources:
            raise DeliveryRejectedError(f'"{files[0].name}" has no rows, so its columns are unknown')
        own = sources[0].index - known.keys()
        there = {
            name: cell
            for name, cell in sources[0].columns.items()
            if not name.startswith("@") and name not in own
        }
        cells = {name: there[name] for name in [*_first_keys(sources[0].files[0]), *there] if name in there}
        if other := next(
            (each for each in sources if each.columns.keys() != sources[0].columns.keys()), None
        ):
            raise DeliveryRejectedError(
                f'"{files[0].name}" and "{other.files[0].name}" have different columns',
                hint="name one of the files",
            )
        try:
            trials = {name: _trials(connection, sources, name, cell) for name, cell in cells.items()}
            for name in trials.keys() & known.keys():
                if STRING in trials[name]:  # else it is bytes or nested, which no other type takes
                    trials[name] = (Trial(known[name].type), *trials[name])
            samples, whole = _sampled(connection, sources)
            _rule_out(connection, samples[0], trials)
            _settle(connection, samples, trials)
            if not whole:
                _settle(connection, sources, trials)
        except duckdb.Error as error:
            raise broken(sources[0].files[0], error) from error
    return tuple(_named({name: found[0].type for name, found in trials.items()}, known))


def _first_keys(file: DataFile) -> list[str]:
    """Return the keys of the first line of JSON in their order, which a relation of all lines does not keep."""
    if file.suffix not in NDJSON:
        return []
    try:
        with file.text() as lines:
            first = json.loads(lines.readline(LONGEST_LINE))
    except (OSError, ValueError, RecursionError, EOFError):
        return []
    return list(first) if isinstance(first, dict) else []


def mending(delivery: Delivery, output: Path, into: Path) -> str:
    """
    Return the line by which what was written would be accepted; "" where that is declared, or nothing can be said.

    It goes with a refusal, whose own words must be heard whatever becomes of it.
    """
    declared = {(column.source, column.type) for column in _of_file(delivery)}
    try:
        found = _wanted(delivery, infer(delivery, output, into))
    except (ForetellError, duckdb.Error):
        return ""
    return "" if declared == {(each.source, each.type) for each in found} else _line(delivery, found)


def declaring(delivery: Delivery, output: Path, into: Path) -> str:
    """Return the line that declares what was written, as far as it can by the names and types that are declared."""
    return _line(delivery, _wanted(delivery, infer(delivery, output, into)))


def alternative(delivery: Delivery, output: Path, into: Path) -> str:
    """Return the lines that declare more types, were texts such as NA no value; "" where no column would gain one."""
    found = _wanted(delivery, infer(delivery, output, into))
    strings = {column.source for column in found if column.type == "STRING"}

    def typed(*texts: str) -> dict[str, str]:
        other = replace(delivery, columns=(), null=texts)
        types = {column.source: column.type for column in infer(other, output, into)}
        return {name: kind for name, kind in types.items() if name in strings and kind != "STRING"}

    if not strings or len(typed(*NO_VALUE)) <= len(plain := typed()):
        return ""
    texts = [text for text in NO_VALUE if typed(text).keys() > plain.keys()]
    gained = typed(*texts)
    columns = [replace(column, type=gained.get(column.source, column.type)) for column in found]
    null = ", ".join(map(quoted, dict.fromkeys((*delivery.null, *texts))))
    return f"null = [{null}]\n{_line(delivery, columns)}"


def _with_paths(sources: Iterable[FileSource], wanted: Container[str]) -> list[FileSource]:
    """Return sources that have these columns of their directories' names as their own."""
    return [
        replace(each, columns={n: c for n, c in each.path.items() if n in wanted} | dict(each.columns))
        for each in sources
    ]


def _of_file(delivery: Delivery) -> list[Column]:
    return [column for column in delivery.columns if not column.source.startswith("@")]


def _wanted(delivery: Delivery, found: Sequence[Column]) -> list[Column]:
    """Return the columns that belong into the line: all, unless those that are not declared are ignored."""
    sources = {column.source for column in delivery.columns}
    ignoring = delivery.extra == "ignore" and any(column.source in sources for column in found)
    return [column for column in found if column.source in sources or not ignoring]


def _line(delivery: Delivery, found: Sequence[Column]) -> str:
    """Return the line of these columns, with those that the declaration takes from the run itself."""
    there = {column.name.lower() for column in found}
    own = [
        each for each in delivery.columns if each.source.startswith("@") and each.name.lower() not in there
    ]
    added = [each for each in own if (each.name, each.source) != (delivery.partition, "@date")]
    return line([*found, *added])


def _trials(connection: Connection, sources: Sequence[FileSource], name: str, cell: Cell) -> Trials:
    suffix = sources[0].files[0].suffix
    if suffix in DELIMITERS or cell == sources[0].path.get(name):
        return TEXT
    if suffix in NDJSON:
        return _of_json(connection, sources, name)
    if cell.type == "BLOB":
        return (Trial("BYTES"),)
    if cell.type.startswith(("STRUCT", "MAP", "UNION")) or cell.type.endswith("]"):
        return (Trial("JSON"),)
    if decimal := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", cell.type):
        digits, places = map(int, decimal.groups())
        first = "NUMERIC" if places <= 9 and digits - places <= 29 else "BIGNUMERIC"
        return (Trial(first), Trial("BIGNUMERIC"), Trial("NUMERIC"), STRING)
    return (*OF_PARQUET.get(cell.type, ()), STRING)


def _of_json(connection: Connection, sources: Sequence[FileSource], name: str) -> Trials:
    kinds: set[str] = set()
    for source in sources:
        kind = f"json_type({source.columns[name].sql})"
        rows = f"SELECT DISTINCT {kind} FROM {source.over(source.files)} WHERE {kind} <> 'NULL'"
        kinds |= {found for (found,) in connection.execute(rows).fetchall()}
    if not kinds:
        return (STRING,)
    if kinds & {"OBJECT", "ARRAY"}:
        return (Trial("JSON"), STRING)
    return next((trials for alike, trials in OF_JSON.items() if kinds <= alike), (STRING,))


def _sampled(connection: Connection, sources: Sequence[FileSource]) -> tuple[list[FileSource], bool]:
    """Put the first rows of each source into a table, to be read again and again; tell whether these are all rows."""
    samples, whole = [], True
    for number, source in enumerate(sources):
        name = identifier(f"sample {number}")
        rows = f"SELECT * FROM {source.over(source.files)} LIMIT {SAMPLE}"
        ((count,),) = connection.execute(f"CREATE TEMP TABLE {name} AS {rows}").fetchall()
        whole = whole and count < SAMPLE
        samples.append(FileSource(source.files, name, source.columns))
    return samples, whole


def _rule_out(connection: Connection, source: FileSource, trials: dict[str, Trials]) -> None:
    """Drop at once what the first values, of text, cannot be: each trial that is left takes DuckDB some time."""
    names = [name for name in trials if source.columns[name].type == "VARCHAR"]
    if not names:
        return
    cells = ", ".join(source.columns[name].sql for name in names)
    rows = connection.execute(f"SELECT {cells} FROM {source.over(source.files)} LIMIT {GLANCE}").fetchall()
    for name, values in zip(names, zip(*rows, strict=True), strict=False):
        texts = [value for value in values if value is not None]
        trials[name] = tuple(
            trial
            for trial in trials[name]
            if not trial.form or all(re.fullmatch(trial.form, text) for text in texts)
        )


def _settle(connection: Connection, sources: Sequence[FileSource], trials: dict[str, Trials]) -> None:
    """Drop the first trials of each column that do not hold for all rows."""
    pending = list(trials)
    while pending:
        failed = []
        for place in range(0, len(pending), AT_ONCE):
            names = pending[place : place + AT_ONCE]
            held = _held(connection, sources, {name: trials[name][0] for name in names})
            failed += [name for name in names if name not in held]
        for name in failed:
            trials[name] = trials[name][1:] or (STRING,)
        pending = [name for name in failed if trials[name][0] != STRING]


def _held(connection: Connection, sources: Sequence[FileSource], trials: Mapping[str, Trial]) -> set[str]:
    """Return the columns whose every value is of its trial's type and written so; without a value, none is."""
    held, told = set(trials), set[str]()
    for source in sources:
        columns = [
            Column(name=f"c{place}", type=trial.type, source=name)
            for place, (name, trial) in enumerate(trials.items())
        ]
        part = FileSource(source.files, source.relation, {name: source.columns[name] for name in trials})
        contract = Contract(
            delivery=Delivery(file="", table="", columns=tuple(columns)), constants={}, partition=None
        )
        each = list(enumerate(steps(contract, part)))
        cells = ", ".join(step.cells(place) for place, step in each)
        faults = [step.fault(place) or "NULL" for place, step in each]
        asked = ", ".join(
            f"bool_and(t{place} IS NULL OR (({fault}) IS NULL AND {_written(trial, f't{place}')})), count(t{place})"
            for place, (trial, fault) in enumerate(zip(trials.values(), faults, strict=True))
        )
        rows = f"SELECT {cells} FROM {source.over(source.files)}"
        (row,) = connection.execute(f"SELECT {asked} FROM ({rows})").fetchall()
        answers = dict(zip(trials, zip(row[::2], row[1::2], strict=True), strict=True))
        held -= {name for name, (sound, _) in answers.items() if sound is False}
        told |= {name for name, (_, count) in answers.items() if count}
    # of a column without a value, only what its file says is believed
    return {name for name in held if name in told or not trials[name].form}


def _written(trial: Trial, text: str) -> str:
    if not trial.form:
        return "true"
    form = f"regexp_full_match({text}, {literal(f'({trial.form})')})"
    return f"{form} AND ({trial.sure.replace('{text}', text)})"


# --- names ------------------------------------------------------------------------------------------------------------


def _named(types: Mapping[str, str], known: Mapping[str, Column]) -> Iterator[Column]:
    """Return the columns by names that a warehouse takes, no two of them the same."""
    taken = {column.name.lower() for source, column in known.items() if source in types}
    for source, kind in types.items():
        if column := known.get(source):
            yield Column(name=column.name, type=kind, mode=column.mode, source=source)
        else:
            yield Column(name=named(source, taken), type=kind, source=source)


def tables(names: Iterable[str]) -> list[str]:
    """Return what could be delivered of the files of an output: a path each, and one glob for the parts of a table."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in sorted(names):
        if is_table(name):
            alike.setdefault(tuple(map(_pattern, name.split("/"))), []).append(name)
    return [found[0] if len(found) == 1 else "/".join(parts) for parts, found in alike.items()]


def _pattern(part: str) -> str:
    """Return a glob for a part of a path that is numbered."""
    ends = re.fullmatch(r"(\D*)\d.*?(\D*)", part)
    return f"{ends[1]}*{ends[2]}" if ends else part
