"""What counts as a value of a declared type, as SQL; and what is said of a text that does not."""

from __future__ import annotations

import re

from msgspec import Struct

DAY = "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
CLOCK = r"(?:[01]?[0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0*)?)?"
OFFSET = " ?(Z|UTC|[+-](?:0[0-9]|1[0-5])(:?[0-5][0-9])?)"

DEPTH = 500
"""Levels of brackets that a JSON value may have, as in BigQuery."""


class Rule(Struct, frozen=True):
    """
    When text is a value of a type, beyond what DuckDB's cast asks, which rounds and guesses.

    `guard` is SQL over {text} and {value}, the text after the cast; `within` is SQL over {value} alone, and holds for
    values that a file has in the very type as well. `hint` mends the usual slip.
    """

    guard: str = "true"
    hint: str = ""
    within: str = "true"


def _form(pattern: str) -> str:
    """Text that matches, give or take spaces around it."""
    return f"regexp_full_match({{text}}, ' *({pattern}) *')"


def _between(kind: str, first: str, last: str) -> str:
    return f"{{value}} BETWEEN {kind} '{first}' AND {kind} '{last}'"


def _deep() -> str:
    """Return a pattern of brackets that are at most DEPTH levels deep."""
    pattern = ""
    for _ in range(DEPTH):
        pattern = rf"\[(?:{pattern})*\]" if pattern else r"\[\]"
    return pattern


LAX = (
    r"'(?:^|[:,[])[ \t\r\n]*-?(?:[nN][aA]|[iI][nN])"  # NaN, Infinity
    r"|,[ \t\r\n]*[]}]"  # a comma before a bracket
    r"|[eE]\+?[0-9]{3}|[0-9]{309}'"  # a number that may be beyond a double
)
"""What DuckDB (2.0) takes for JSON and RFC 8259 does not, or Python and BigQuery do not; inside of strings, nothing."""


def strict(text: str) -> str:
    """Return SQL that tells whether what DuckDB takes for JSON is so by RFC 8259, of numbers that a double can hold."""
    bare = f"""regexp_replace({text}, '"(?:[^"\\\\]|\\\\.)*"', '""', 'g')"""
    numbers = f"regexp_extract_all({bare}, '-?[0-9][0-9.eE+-]*')"
    beyond = f"list_filter({numbers}, lambda n: coalesce(isinf(TRY_CAST(n AS DOUBLE)), true))"
    sound = f"NOT regexp_matches({bare}, '[nN][aA]|[iI]|,[ \\t\\r\\n]*[]}}]') AND len({beyond}) = 0"
    return f"(CASE WHEN NOT regexp_matches({text}, {LAX}) THEN true ELSE {sound} END)"


def _shallow(text: str) -> str:
    bare = f"""regexp_replace({text}, '"(?:[^"\\\\]|\\\\.)*"|[^][{{}}"]', '', 'g')"""
    return (
        f"(CASE WHEN strlen({text}) <= {2 * DEPTH} THEN true WHEN strlen({bare}) <= {2 * DEPTH} THEN true"
        f" ELSE regexp_full_match(translate({bare}, '{{}}', '[]'), '{_deep()}') END)"
    )


DATES = "the range is 0001-01-01 to 9999-12-31"
WHOLE = (
    "CASE WHEN strlen({text}) < 16 OR contains({text}, '.') THEN true"
    f" WHEN NOT {_form('[+-]?[0-9]+')} THEN true"
    " ELSE rtrim(ltrim({text}, ' +-0'), ' ') = ltrim(printf('%.0f', {value}), '-') END"
)
"""A whole number as text, which a double must then hold exactly. By CASE: of an OR DuckDB may try all sides."""

RULES = {
    "VARCHAR": Rule(),
    "BLOB": Rule(hint="write bytes as base64"),
    "BIGINT": Rule(
        _form("[+-]?[0-9]+"),
        'write whole numbers without a fraction (in pandas: .astype("Int64")), or declare FLOAT64',
    ),
    "DOUBLE": Rule(
        f"NOT contains({{text}}, '_') AND (NOT isinf({{value}}) OR contains(lower({{text}}), 'inf')) AND ({WHOLE})",
        "write numbers with a decimal point and without separators",
    ),
    "DECIMAL(38,9)": Rule(
        _form(r"[+-]?[0-9]*(\.[0-9]{0,9}0*)?"),
        "write at most 29 digits before and 9 after the point, or declare FLOAT64",
    ),
    "DECIMAL(38,18)": Rule(
        _form(r"[+-]?[0-9]*(\.[0-9]{0,18}0*)?"),
        "write at most 20 digits before and 18 after the point, or declare FLOAT64",
    ),
    "BOOLEAN": Rule(_form("(?i)true|false|t|f|1|0"), "write true or false"),
    "DATE": Rule(
        _form(rf"{DAY}([ T]0?0:00(:00(\.0+)?)?)?"),
        f"write dates as 2026-11-21, or declare DATETIME; {DATES}",
        _between("DATE", "0001-01-01", "9999-12-31"),
    ),
    "TIME": Rule(_form(CLOCK), "write times as 06:00:00, up to 23:59:59.999999", "{value} < TIME '24:00:00'"),
    "TIMESTAMP": Rule(
        _form(f"{DAY}([ T]{CLOCK})?"),
        f"write 2026-11-21 06:00:00, without offset, or declare TIMESTAMP; {DATES}",
        _between("TIMESTAMP", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"),
    ),
    "TIMESTAMP WITH TIME ZONE": Rule(
        _form(f"{DAY}([ T]{CLOCK}({OFFSET})?)?"),
        f"write 2026-11-21 06:00:00+00:00, to the microsecond at most; {DATES}, in UTC",
        _between("TIMESTAMPTZ", "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"),
    ),
    "JSON": Rule(
        f"{strict('{text}')} AND {_shallow('{text}')}",
        f"write one valid JSON document, without NaN and Infinity and at most {DEPTH} levels deep",
    ),
}

WIDENINGS = {
    "BIGINT": {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"},
    "DOUBLE": {"FLOAT", "TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"},
    "TIMESTAMP": {"TIMESTAMP_S", "TIMESTAMP_MS"},
}
"""Types of a file that become a declared one without loss. Any other goes through its text, by the rules of CSV."""

NUMBERS = {"BIGINT", "DOUBLE", "DECIMAL(38,9)", "DECIMAL(38,18)"}
NULLS = {"na", "n/a", "#n/a", "nan", "null", "none", "nil", "nat", "<na>", "-", ".", "?", "missing", r"\n"}
"""What programs and people write for no value."""


def hint(kind: str, text: str) -> str:
    """Return what mends a text that is no value of a type, by DuckDB's name of the type."""
    plain = text.strip()
    if kind != "VARCHAR" and (not plain or plain.lower() in NULLS):
        declare = f", or declare null = [{_quoted(text)}] in the delivery" if plain else ""
        return f"leave the field empty where there is no value{declare}"
    if kind in NUMBERS:
        if re.fullmatch(
            r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?|[+-]?\d{1,3}([ '\u00a0\u202f]\d{3})+([.,]\d*)?", plain
        ):
            return "write numbers without thousands separators"
        if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+,\d*|[+-]?\d*,\d+", plain):
            return "write numbers with a decimal point, not a comma, and without thousands separators"
        if kind == "DOUBLE" and re.fullmatch(r"[+-]?\d+", plain):
            return "FLOAT64 cannot represent this whole number exactly: declare INT64, NUMERIC or STRING"
    return RULES[kind].hint


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
