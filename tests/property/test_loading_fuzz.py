"""Whatever a file holds, reading it gives a service or a ServiceFileError, and every key has its line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell import platforms, warehouses  # noqa: F401 - they know the kinds
from foretell.errors import ServiceFileError
from foretell.service import form, reader
from foretell.service.kinds import PLATFORMS, WAREHOUSES
from foretell.service.load import load
from foretell.service.positions import KeyPath, locate

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

TABLES = [*form.TABLES, *PLATFORMS.all().values(), *WAREHOUSES.all().values()]
WORDS = sorted(
    {key for table in TABLES for key in reader.keys(table)} | {"training", "application", "local", "kind"}
)
TEXTS = [
    "",
    "training",
    "@daily",
    "0 7 * * *",
    "6h",
    "a:STRING,b:DATE",
    "@run",
    "partition",
    "compute-engine",
    "gs://b",
]

keys = st.sampled_from(WORDS) | st.text(max_size=6)
scalars = (
    st.sampled_from(TEXTS)
    | st.text(max_size=12)
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.datetimes()
    | st.dates()
    | st.times()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)
tables = st.dictionaries(keys, values, max_size=6)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def inline(value: object) -> str:
    """Write a value as TOML, on one line."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case list():
            return f"[{', '.join(inline(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{quoted(key)} = {inline(item)}' for key, item in value.items())}}}"
        case date() | time():
            return value.isoformat()
        case _:
            return str(value)


def faults(root: Path, content: bytes) -> tuple[str, ...]:
    """Load a file that may be anything; every other error fails the test."""
    (root / "foretell.toml").write_bytes(content)
    try:
        service = load(root, environ={"HOME": "/nowhere"})
    except ServiceFileError as error:
        found = error.faults
    else:
        msgspec.json.encode((service.actions, service.targets))
        return ()
    assert found
    assert all(len(fault.splitlines()) == 1 for fault in found)
    return found


@SETTINGS
@given(content=st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    faults(tmp_path, content)


@SETTINGS
@given(text=st.text(alphabet="[]{}=.,#\"'\\\n\r\t abc01:-_é\x00☃", max_size=80))
def test_anything_that_looks_like_toml(tmp_path: Path, text: str) -> None:
    faults(tmp_path, text.encode())


@SETTINGS
@given(table=tables)
def test_any_document(tmp_path: Path, table: dict[str, object]) -> None:
    text = "".join(f"{quoted(key)} = {inline(value)}\n" for key, value in table.items() if key != "extends")
    tomllib.loads(text)
    faults(tmp_path, text.encode())


@SETTINGS
@given(action=st.dictionaries(keys, values, max_size=6), target=st.dictionaries(keys, values, max_size=4))
def test_any_action_and_target(tmp_path: Path, action: dict[str, object], target: dict[str, object]) -> None:
    document = {"name": "x", "actions": {"training": action}, "targets": {"docker": target}}
    faults(tmp_path, "".join(f"{key} = {inline(value)}\n" for key, value in document.items()).encode())


@SETTINGS
@given(wish=st.text(max_size=20) | st.integers())
def test_any_extends(tmp_path: Path, wish: object) -> None:
    faults(tmp_path, f"extends = {inline(wish)}\n".encode())


@pytest.mark.parametrize(
    "content",
    [
        b"a." * 3000 + b"b = 1",
        b"x = " + b"{a = " * 2000,
        b"x = " + b"9" * 5000,
        b"[targets.local.platform.body]\nx = " + b"[" * 150 + b"]" * 150,
        b"[actions.a]\nretries = " + b"9" * 4000,
        b"[actions.a.airflow]\nx = 99999999999999999999\n",
        b"d = 2026-13-45",
        b'extends = "' + b"a" * 5000 + b'"',
        b'extends = "/dev/zero"',
        b'[source]\npath = "' + b"a" * 5000 + b'"',
        b'[actions.a]\nschedule = "' + b"1," * 5000 + b'1 * * * *"',
    ],
    ids=lambda content: content[:30].decode(),
)
def test_what_is_too_deep_too_long_or_too_large(tmp_path: Path, content: bytes) -> None:
    assert faults(tmp_path, content)


# --- lines


def paths(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*path, key))


class Page:
    """A document being written, which knows on which line each key came to stand."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.lines = [""]
        self.known: dict[KeyPath, int] = {}

    def write(self, text: str) -> None:
        first, *rest = text.split("\n")
        self.lines[-1] += first
        self.lines += rest

    def note(self, path: KeyPath) -> None:
        self.known.setdefault(path, len(self.lines))

    def choose(self, *options: str) -> str:
        return self.data.draw(st.sampled_from(options))

    def key(self, key: str) -> str:
        literal = f"'{key}'"
        plain = key.isascii() and key.isalnum()
        usable = key.isprintable() and "'" not in key
        return self.choose(quoted(key), *([key] if plain else []), *([literal] if usable else []))

    def value(self, value: object, path: KeyPath) -> None:
        if isinstance(value, list):
            self.write("[")
            for place, item in enumerate(value):
                self.write(self.choose("", "\n", " # ] , [\n\n"))
                self.note((*path, place))
                self.value(item, (*path, place))
                self.write(
                    self.choose(",", "\n , ") if place + 1 < len(value) else self.choose("", ",", "\n")
                )
            self.write("]")
        elif isinstance(value, dict):
            self.write("{")
            for place, (key, item) in enumerate(value.items()):
                self.write(", " if place else " ")
                self.pair(key, item, path)
            self.write("}")
        elif isinstance(value, str) and '"' not in value and "\\" not in value and value.isprintable():
            literal = [] if "'" in value else ["'", "'''", "'''\n[a]\n"]
            start = self.choose('"', '"""', '"""\n', *literal)
            self.write(start + value + start.partition("\n")[0])
        else:
            self.write(inline(value))

    def pair(self, key: str, value: object, path: KeyPath) -> None:
        self.note((*path, key))
        self.write(f"{self.key(key)}{self.choose('', ' ')}= ")
        self.value(value, (*path, key))

    def table(self, table: dict[str, object], path: KeyPath) -> None:
        """Write what needs no header first, then tables under headers of their own."""
        headed = [key for key, item in table.items() if isinstance(item, dict) and self.choose("", "[")]
        for key, item in table.items():
            if key not in headed:
                self.pair(key, item, path)
                self.write(self.choose("\n", " # x = 1\n", "\n\n"))
        for key in headed:
            inner = (*path, key)
            self.note(inner)
            self.write(f"[{self.choose('', ' ')}{' . '.join(self.key(str(part)) for part in inner)}]\n")
            item = table[key]
            assert isinstance(item, dict)
            self.table(item, inner)


@SETTINGS
@given(table=tables, data=st.data())
def test_every_key_is_found_on_its_line(table: dict[str, object], data: st.DataObject) -> None:
    page = Page(data)
    page.table(table, ())
    text = "\n".join(page.lines)
    found = locate(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    assert found == page.known


@SETTINGS
@given(text=st.text(alphabet="[]{}=.,#\"'\\\n ab1", max_size=40))
def test_every_key_of_whatever_the_parser_takes_has_a_line(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except ValueError:
        return
    assert set(locate(text)) == set(paths(document))
