"""What every store must do, in a directory or in a bucket. A new kind joins by one more param of `store`."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foretell.errors import CorruptError, StoreError
from foretell.protocol import effects, models
from foretell.protocol.effects import Create, Folders, Get, Sleep
from foretell.protocol.keys import run_named
from foretell.protocol.records import Manifest, StoreId, encode
from foretell.store import Store, artifacts, contents
from foretell.store.bucket import LARGE
from foretell.store.directory import STORE_RECORD

RUN = run_named("toy", "1", "training", "20261121T060000Z-1")
ODD = ("plain", "a b", "é", "x=1&y?", "(1)", "a+b~c", "%25", "日本")
"""Parts of names that a bucket's address or a listing might garble."""


@pytest.fixture(params=["directory", pytest.param("bucket", marks=pytest.mark.google)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    kind: str = request.param
    url = (tmp_path / "a store").as_uri()
    if kind == "bucket":
        url = f"gs://{request.getfixturevalue('bucket')}/a/prefix"
    made = Store(url)
    made.create(STORE_RECORD, b"{}")
    return made


class World:
    """A store whose first answers are lost after the write."""

    def __init__(self, store: Store, losses: int = 0) -> None:
        self.store = store
        self.losses = losses

    def perform(self, op: object) -> object:
        match op:
            case Create(key, data):
                made = self.store.create(key, data)
                if self.losses:
                    self.losses -= 1
                    raise StoreError("no answer")
                return made
            case Get(key):
                return self.store.get(key)
            case Folders(prefix):
                return self.store.folders(prefix)
            case Sleep():
                return None
            case _:
                raise AssertionError(op)


def test_an_object_is_created_once(store: Store) -> None:
    assert store.create("a/b.json", b"first")
    assert not store.create("a/b.json", b"second")
    assert store.get("a/b.json") == b"first"


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.get("a/b.json") is None
    assert store.folders("a") == []
    store.remove("a/b.json")


def test_what_is_removed_is_not_there(store: Store) -> None:
    store.create("a", b"1")
    store.remove("a")
    assert store.get("a") is None
    assert store.create("a", b"2")


def test_nothing_at_all_can_be_kept(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert store.create("a", b"")
    assert store.create_file("b", tmp_path / "empty")
    assert store.get("a") == store.get("b") == b""
    assert b"".join(store.chunks("b")) == b""


def test_put_writes_over(store: Store) -> None:
    store.put("beat.json", b"1")
    store.put("beat.json", b"2")
    assert store.get("beat.json") == b"2"


def test_folders_are_those_with_objects_below(store: Store) -> None:
    for key in ("a/1/x", "a/2/x/y", "a/file", "ab/3/x"):
        store.create(key, b"")
    assert sorted(store.folders("a")) == ["1", "2"]


def test_names_are_kept_as_they_are(store: Store) -> None:
    for name in ODD:
        assert store.create(f"{name}/{name}", name.encode())
        assert store.get(f"{name}/{name}") == name.encode()
    assert set(ODD) <= set(store.folders(""))


def test_more_folders_than_a_listing_has_on_a_page(store: Store) -> None:
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda number: store.create(f"many/{number}/x", b"", durable=False), range(1100)))
    assert sorted(map(int, store.folders("many"))) == list(range(1100))


@pytest.mark.parametrize("size", [64, 1024 * 1024])
def test_thirty_two_racers_make_one_object(store: Store, size: int) -> None:
    with ThreadPoolExecutor(32) as racers:
        won = list(racers.map(lambda number: store.create("slot", bytes([number]) * size), range(32)))
    assert won.count(True) == 1
    assert store.get("slot") == bytes([won.index(True)]) * size


@pytest.mark.parametrize("losses", [0, 1, 3])
def test_whose_object_it_is_is_known_although_answers_are_lost(store: Store, losses: int) -> None:
    mine, other = StoreId(id="mine"), StoreId(id="other")
    assert effects.execute(effects.create("slot", mine), World(store, losses)) is True
    assert effects.execute(effects.create("slot", other), World(store, losses)) is False
    assert store.get("slot") == encode(mine)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 20_000_000, LARGE + 12_345_678], ids=["small", "medium", "in parts"])
def test_a_file_is_created_once_and_read_in_parts(store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(os.urandom(size))
    assert store.create_file("a/file", tmp_path / "file")
    assert not store.create_file("a/file", tmp_path / "file")
    assert b"".join(store.chunks("a/file")) == (tmp_path / "file").read_bytes()


def test_parts_of_what_is_not_there_are_an_error(store: Store) -> None:
    with pytest.raises(CorruptError, match='the object "a/large" does not exist'):
        list(store.chunks("a/large"))


def test_an_output_comes_back_as_it_was(store: Store, tmp_path: Path) -> None:
    output = tmp_path / "output"
    for name, size in (("deep/er/model", 500_000), ("large", LARGE + 1), ("empty", 0), ("#1%", 10)):
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    for number in range(40):
        (output / str(number)).write_text(str(number))
    (output / "hollow").mkdir()
    attempt = RUN.attempt(1)
    digest = artifacts.commit(store, attempt, artifacts.save(store, attempt, contents.survey(output)))
    found: Manifest = artifacts.manifest(store, attempt, digest)
    assert found.directories == ("hollow",)
    artifacts.load(store, found.files, tmp_path / "loaded")
    files = [path.relative_to(output) for path in output.rglob("*") if path.is_file()]
    assert sorted(file.path for file in found.files) == sorted(map(str, files))
    assert all((tmp_path / "loaded" / path).read_bytes() == (output / path).read_bytes() for path in files)


def test_an_object_that_was_changed_is_no_output(store: Store, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "model").write_bytes(b"model")
    found = artifacts.save(store, RUN.attempt(1), contents.survey(tmp_path / "output"))
    store.put(found.files[0].key, b"MODEL")
    with pytest.raises(CorruptError, match="has changed"):
        artifacts.load(store, found.files, tmp_path / "loaded")


# --- the catalog ----------------------------------------------------------------------------------------------------


def test_runs_are_found_by_their_names(store: Store) -> None:
    dates = ("20260930T060000Z-1", "20261121T060000Z-1", "20261121T060000Z-2", "20261121T070000.250Z-1")
    runs = [run_named("toy", "1", "training", date) for date in dates]
    for run, other in itertools.product(runs, (None, RUN._replace(action="other"))):
        store.create((other or run).request, b"{}")
    store.create("toy/1/training/2026-11/note/of a person", b"")
    newest = effects.execute(models.newest("toy", "1", "training", None), World(store))
    assert newest == runs[::-1]
    assert effects.execute(models.newest("toy", "1", "training", 2), World(store)) == newest[:2]
