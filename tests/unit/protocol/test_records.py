"""What stands in the store: old records stay as they are, and a newer request cannot be read as an older one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from foretell.errors import CorruptError
from foretell.protocol import records
from foretell.protocol.records import (
    FORMAT,
    Exit,
    FirstSight,
    Outcome,
    Record,
    Request,
    Told,
    asked_since_2,
    decode,
    encode,
)

OLD = sorted((Path(__file__).parents[2] / "fixtures" / "records").glob("request-1-*.json"))
"""Requests as Foretell wrote them when there was one format, each with every field that it knew."""


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_request_that_asks_for_nothing_newer_stays_byte_for_byte(path: Path) -> None:
    data = path.read_bytes()
    request = decode(data, Request, path.name)
    assert encode(request) == data
    assert not asked_since_2(request)


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_every_field_that_a_request_has_got_since_is_named_as_newer(path: Path) -> None:
    request = decode(path.read_bytes(), Request, path.name)
    for value, there in structs(request, json.loads(path.read_bytes())):
        newer = records.SINCE_2.get(type(value), frozenset()) | records.ONLY_HERE.get(
            type(value), frozenset()
        )
        assert set(value.__struct_fields__) - newer <= set(there), type(value).__name__


GOLDEN: dict[str, Record] = {
    "seen": FirstSight(
        nonce="6b1f", since="2026-11-27T06:34:22.306+00:00", at="2026-11-27T06:34:22.306+00:00"
    ),
    "told-tick": Told(nonce="9c07", by="tick, ann@laptop", at="2026-11-27T06:34:30.445+00:00"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_record_is_written_and_read_as_ever(name: str) -> None:
    data = (OLD[0].parent / f"{name}-1.json").read_bytes()
    assert encode(GOLDEN[name]) == data
    assert decode(data, type(GOLDEN[name]), name) == GOLDEN[name]


def structs(value: Struct, there: dict[str, object]) -> Iterator[tuple[Struct, dict[str, object]]]:
    yield value, there
    for name in value.__struct_fields__:
        inner, below = getattr(value, name), there.get(name)
        if isinstance(inner, Struct) and isinstance(below, dict):
            yield from structs(inner, below)
        elif isinstance(inner, tuple) and inner and isinstance(inner[0], Struct) and isinstance(below, list):
            yield from structs(inner[0], below[0])


def test_a_request_for_something_newer_says_so_and_an_older_reader_refuses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = decode(OLD[0].read_bytes(), Request, "request.json")
    spec = replace(request.spec, output="elsewhere")
    newer = replace(request, spec=spec)
    monkeypatch.setattr(records, "SINCE_2", {type(spec): frozenset({"output"})})
    assert asked_since_2(newer) == ["output"]
    data = encode(newer)
    assert json.loads(data)["format"] == FORMAT == 2
    assert decode(data, Request, "request.json") == replace(newer, format=2)
    assert "output" not in json.loads(encode(replace(request, spec=replace(spec, output="output"))))["spec"]
    monkeypatch.setattr(records, "FORMAT", 1)
    with pytest.raises(CorruptError, match="written by a newer Foretell"):
        decode(data, Request, "request.json")


def test_what_only_this_machine_heeds_changes_no_format(monkeypatch: pytest.MonkeyPatch) -> None:
    request = decode(OLD[0].read_bytes(), Request, "request.json")
    spec = replace(request.spec, output="elsewhere")
    monkeypatch.setattr(records, "ONLY_HERE", {type(spec): frozenset({"output"})})
    said = json.loads(encode(replace(request, spec=spec)))
    assert said["format"] == 1
    assert said["spec"]["output"] == "elsewhere"


def test_records_of_other_kinds_keep_their_format() -> None:
    assert json.loads(encode(Exit(nonce="n"))) == {"format": 1, "nonce": "n"}
    assert msgspec.json.decode(encode(Exit(nonce="n", notes=("so",))))["notes"] == ["so"]


def test_metrics_are_read_as_they_were_written() -> None:
    outcome = Outcome(
        kind="produced", by="0123", at="2026-11-21T06:00:00.000Z", metrics={"mae": 0.5, "by": {"a": [1]}}
    )
    assert decode(encode(outcome), Outcome, "outcome.json") == outcome
