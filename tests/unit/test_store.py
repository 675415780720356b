"""The store in a directory: created once, synced before it counts, unreachable rather than empty."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foretell import ledger
from foretell.errors import CorruptError, StoreError, StoreFullError, StoreRefusedError, UsageError
from foretell.ledger import Create, Get, Sleep
from foretell.names import STORE_RECORD
from foretell.records import StoreId, encode
from foretell.store import FEW, Store, local_directory


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store((tmp_path / "a store").as_uri())
    made.create(STORE_RECORD, b"{}")
    return made


class Flushes:
    """What was synced, as paths, in order; "everything" for a flush of the whole system."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        fsync = os.fsync

        def watched(descriptor: int) -> None:
            fsync(descriptor)
            self.paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))

        monkeypatch.setattr(os, "fsync", watched)
        monkeypatch.setattr(os, "sync", lambda: self.paths.append("everything"))


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> Flushes:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to see what is synced")
    return Flushes(monkeypatch)


def leading_to(store: Store, key: str) -> list[str]:
    """An object and every directory whose entry leads to it."""
    assert store.directory is not None
    path = store.directory / key
    return [str(path), *(str(parent) for parent in path.parents if parent.is_relative_to(store.directory))]


# --- create, get, list ----------------------------------------------------------------------------------------------


def test_an_object_is_created_once(store: Store) -> None:
    assert store.create("a/b.json", b"first")
    assert not store.create("a/b.json", b"second")
    assert store.get("a/b.json") == b"first"


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.get("a/b.json") is None
    assert store.folders("a") == []


@pytest.mark.parametrize("name", ["plain", "a b", "#1", "100%", "é", "?x=1"])
def test_a_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    store = Store((tmp_path / name).as_uri())
    store.create(STORE_RECORD, b"{}")
    assert local_directory(store.url) == tmp_path / name
    assert (tmp_path / name / STORE_RECORD).is_file()


def test_put_writes_over(store: Store) -> None:
    store.put("beat.json", b"1")
    store.put("beat.json", b"2")
    assert store.get("beat.json") == b"2"


def test_folders_are_those_with_objects_below(store: Store) -> None:
    for key in ("a/1/x", "a/2/x/y", "a/file", "ab/3/x"):
        store.create(key, b"")
    assert sorted(store.folders("a")) == ["1", "2"]


def test_thirty_two_racers_make_one_object(store: Store) -> None:
    with ThreadPoolExecutor(32) as racers:
        won = list(racers.map(lambda number: store.create("slot", str(number).encode() * 1000), range(32)))
    assert won.count(True) == 1
    assert store.get("slot") == str(won.index(True)).encode() * 1000


def test_what_a_dead_writer_left_is_in_nobodys_way(store: Store) -> None:
    assert store.directory is not None
    (store.directory / "a").mkdir()
    (store.directory / "a" / "b.json#1").write_bytes(b"half")
    assert store.create("a/b.json", b"whole")
    assert store.get("a/b.json") == b"whole"


def test_a_file_is_created_once_and_read_in_parts(store: Store, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    assert store.create_file("a/large", tmp_path / "large")
    assert not store.create_file("a/large", tmp_path / "large")
    parts = list(store.chunks("a/large"))
    assert len(parts) > 1
    assert sum(map(len, parts)) == 20_000_000


def test_parts_of_what_is_not_there_are_an_error(store: Store) -> None:
    with pytest.raises(CorruptError, match='the object "a/large" is not there'):
        list(store.chunks("a/large"))


# --- unreachable, not empty -----------------------------------------------------------------------------------------


def test_a_store_that_was_moved_away_is_not_empty(store: Store, tmp_path: Path) -> None:
    store.create("a/b.json", b"1")
    assert store.directory is not None
    away = store.directory.rename(tmp_path / "away")
    for ask in (
        lambda: store.get("a/b.json"),
        lambda: store.create("a/c.json", b"1"),
        lambda: store.put("a/b.json", b"1"),
        lambda: store.folders("a"),
        lambda: store.create_file("a/d", away / STORE_RECORD),
        lambda: list(store.chunks("a/b.json")),
        lambda: Store(store.url).get("a/b.json"),
    ):
        with pytest.raises(StoreError, match="the store is not there"):
            ask()
    assert not store.directory.exists()
    away.rename(store.directory)
    assert store.get("a/b.json") == b"1"


def test_looking_at_a_store_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store((tmp_path / "store").as_uri())
    assert not store.is_there()
    with pytest.raises(StoreError):
        store.get("a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    store = Store((tmp_path / "store").as_uri())
    assert not store.is_there()
    with pytest.raises(StoreError, match="cannot write"):
        store.create(STORE_RECORD, b"{}")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Read-only file system (os error 30)", StoreRefusedError),
        ("Permission denied (os error 13)", StoreRefusedError),
        ("No space left on device (os error 28)", StoreFullError),
        ("Disk quota exceeded (os error 122)", StoreFullError),
        ("Input/output error (os error 5)", StoreError),
    ],
)
def test_the_reason_decides_what_is_done_about_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, said: str, kind: type[StoreError]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(said)

    monkeypatch.setattr("obstore.put", refuse)
    with pytest.raises(StoreError) as told:
        store.create("a", b"")
    assert type(told.value) is kind
    assert said in told.value.why


@pytest.mark.parametrize("url", ["s3://", "ftp://host/path", "nonsense"])
def test_a_url_that_is_no_store_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        Store(url)


# --- power cuts -----------------------------------------------------------------------------------------------------


def test_what_is_created_is_synced_with_all_that_leads_to_it(store: Store, flushes: Flushes) -> None:
    store.create("a/b/c.json", b"1")
    assert flushes.paths == leading_to(store, "a/b/c.json")


def test_what_another_created_is_synced_before_it_is_obeyed(store: Store, flushes: Flushes) -> None:
    store.create("a/b/c.json", b"1", durable=False)
    assert flushes.paths == []
    assert not store.create("a/b/c.json", b"2")
    assert flushes.paths == leading_to(store, "a/b/c.json")


@pytest.mark.parametrize("many", [1, FEW, FEW + 1])
def test_what_is_settled_is_synced(store: Store, flushes: Flushes, many: int) -> None:
    keys = [f"a/{number}" for number in range(many)]
    for key in keys:
        store.create(key, b"1", durable=False)
    store.settle(keys)
    every = {path for key in keys for path in leading_to(store, key)}
    assert set(flushes.paths) == ({"everything"} if many > FEW else every)


def test_a_sync_that_fails_is_no_success(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="cannot sync"):
        store.create("a", b"1")


# --- answers that get lost ------------------------------------------------------------------------------------------


class LossyWorld:
    """A store whose first answers are lost after the write."""

    def __init__(self, store: Store, losses: int) -> None:
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
            case Sleep():
                return None
            case _:
                raise AssertionError(op)


@pytest.mark.parametrize("losses", [0, 1, 3])
def test_whose_object_it_is_is_known_although_answers_are_lost(store: Store, losses: int) -> None:
    mine, other = StoreId(id="mine"), StoreId(id="other")
    assert ledger.drive(ledger.create("slot", mine), LossyWorld(store, losses)) is True
    assert ledger.drive(ledger.create("slot", other), LossyWorld(store, losses)) is False
    assert store.get("slot") == encode(mine)
