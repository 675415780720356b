"""The store in a bucket when answers are lost, late, or a refusal: what it repeats, what it never does, what it says."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from foretell.errors import StoreError, StoreRefusedError
from foretell.protocol import effects
from foretell.protocol.effects import Create, Get, Sleep
from foretell.protocol.keys import nonce
from foretell.protocol.records import StoreId
from foretell.store import Store
from foretell.store import bucket as buckets
from foretell.store.bucket import LARGE
from tests.standins.google.faults import Fault
from tests.standins.google.storage import Storage

ROUNDS, RACERS = 10, 32
LOST = {
    "answer lost": Fault(action="lose"),
    "connection reset": Fault(action="lose", reset=True),
    "503 after the write": Fault(action="status", status=503, after=True),
}
PASSING = LOST | {
    "dropped": Fault(action="drop"),
    "dropped, reset": Fault(action="drop", reset=True),
    "dropped half-way": Fault(action="drop", early=True),
    "429": Fault(action="status", status=429, headers={"Retry-After": "1"}),
    "408": Fault(action="status", status=408),
    "500": Fault(action="status", status=500),
    "503": Fault(action="status", status=503),
    "409": Fault(action="status", status=409),
}


@pytest.fixture
def store(storage: Storage, bucket: str) -> Store:
    return Store(f"gs://{bucket}")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter pauses, and less patience; how they relate stays as it is."""
    monkeypatch.setattr(buckets, "READ", replace(buckets.READ, first=0.02, patience=1.5))
    monkeypatch.setattr(buckets, "WRITE", replace(buckets.WRITE, first=0.1, patience=1.5))


def sent(storage: Storage, method: str = ".*") -> list[str]:
    return [
        seen.method for seen in storage.log() if Fault(action="drop", method=method).fits(seen.method, "")
    ]


# --- what may pass is repeated ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_record_is_written_once_and_known_as_ours(store: Store, storage: Storage, fault: Fault) -> None:
    storage.fault(fault)
    assert store.create("a", b"mine")
    assert not store.create("a", b"other")
    assert store.get("a") == b"mine"
    assert len(sent(storage, "PUT")) == 3


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_read_is_repeated(store: Store, storage: Storage, fault: Fault) -> None:
    store.create("a/b", b"1")
    for ask, answer in (
        (lambda: store.get("a/b"), b"1"),
        (lambda: store.folders(""), ["a"]),
        (lambda: b"".join(store.chunks("a/b")), b"1"),
        (lambda: store.get("none"), None),
    ):
        storage.clear()
        storage.fault(fault)
        assert ask() == answer
        assert len(sent(storage)) == 2


def test_a_second_try_of_a_write_waits_for_the_name(store: Store, storage: Storage) -> None:
    """One name takes one write a second, and the first may have been one."""
    storage.fault(Fault(action="lose"))
    store.create("a", b"1")
    times = [seen.at for seen in storage.log() if seen.method == "PUT"]
    assert times[1] - times[0] > 0.45


@pytest.mark.usefixtures("quick")
def test_an_outage_is_sat_out(store: Store, storage: Storage) -> None:
    store.create("a", b"1")
    storage.outage(0.5)
    time.sleep(0.1)
    assert store.get("a") == b"1"


@pytest.mark.usefixtures("quick")
def test_patience_ends(store: Store, storage: Storage) -> None:
    storage.fault(Fault(action="status", status=503, count=None))
    began = time.monotonic()
    with pytest.raises(StoreError, match='cannot read "a"') as told:
        store.get("a")
    assert time.monotonic() - began < 10
    assert not isinstance(told.value, StoreRefusedError)
    assert told.value.why == "503 Service Unavailable: on order"
    assert 3 <= len(sent(storage)) <= 12


def test_an_answer_that_is_late_is_no_answer(
    store: Store, storage: Storage, monkeypatch: pytest.MonkeyPatch, bucket: str
) -> None:
    monkeypatch.setattr(buckets, "RECORD_TIMEOUT", 0.5)
    storage.fault(Fault(action="delay", seconds=1.5, after=True))
    hasty = Store(f"gs://{bucket}")
    assert hasty.create("a", b"mine")
    assert hasty.get("a") == b"mine"


# --- races, with faults ----------------------------------------------------------------------------------------------


class World:
    """Carries out the talks of the protocol."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def perform(self, op: object) -> object:
        match op:
            case Create(key, data):
                return self.store.create(key, data)
            case Get(key):
                return self.store.get(key)
            case Sleep(seconds):
                time.sleep(min(seconds, 0.05))
                return None
            case _:
                raise AssertionError(op)


@pytest.mark.usefixtures("quick")
def test_of_thirty_two_racers_one_wins_whatever_is_lost(storage: Storage, bucket: str) -> None:
    """P10: exactly one believes that the record is its own, and it is."""
    stores = [Store(f"gs://{bucket}") for _ in range(RACERS)]
    for number in range(ROUNDS):
        key = f"slot/{number}"
        storage.clear()
        storage.fault(*havoc(number))
        start = threading.Barrier(RACERS)

        def race(store: Store, key: str = key, start: threading.Barrier = start) -> StoreId | None:
            mine = StoreId(id=nonce())
            start.wait()
            return mine if effects.execute(effects.create(key, mine), World(store)) else None

        with ThreadPoolExecutor(RACERS) as racers:
            winners = [mine for mine in racers.map(race, stores) if mine]
        storage.clear()
        assert [effects.execute(effects.get(key, StoreId), World(stores[0]))] == winners


def havoc(number: int) -> list[Fault]:
    """A bad moment: what is hit, and in which order, differs with the number."""
    return [
        Fault(action="lose", method="PUT", count=1),
        Fault(action="lose", method="PUT", reset=True, skip=number % 5, count=3),
        Fault(action="status", method="PUT", after=True, skip=number % 3, count=2),
        Fault(action="drop", method="PUT", skip=3, count=4),
        Fault(action="status", status=409, method="PUT", count=2),
        Fault(action="status", status=429, method="PUT", skip=8, count=3),
        Fault(action="delay", method="PUT", seconds=0.2, skip=number % 7, count=2),
        Fault(action="lose", method="GET", count=3),
        Fault(action="status", status=503, method="GET", skip=4, count=3),
    ]


# --- beats -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_a_beat_is_never_repeated(store: Store, storage: Storage) -> None:
    for fault in PASSING.values():
        storage.clear()
        storage.fault(fault)
        with pytest.raises(StoreError):
            store.put("beat.json", b"1")
        assert sent(storage) == ["PUT"]


def test_one_name_is_written_once_a_second_at_most(store: Store, storage: Storage) -> None:
    with ThreadPoolExecutor(2) as writers:
        list(writers.map(lambda name: [store.put(name, b"1") for _ in range(3)], ("a", "b")))
    for name in ("a", "b"):
        times = [seen.at for seen in storage.log() if seen.target.endswith(f"/{name}")]
        assert len(times) == 3
        assert all(later - earlier > 0.95 for earlier, later in itertools.pairwise(times))


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
@pytest.mark.parametrize("request_", ["uploads", "partNumber=2", "uploadId=[^&]*$"])
def test_a_large_file_gets_there(
    store: Store, storage: Storage, tmp_path: Path, fault: Fault, request_: str
) -> None:
    """Also when the answer to the last request is lost, after which the library finds no upload to clean up."""
    (tmp_path / "file").write_bytes(os.urandom(LARGE + 5))
    storage.fault(Fault(**{**{f: getattr(fault, f) for f in fault.__struct_fields__}, "match": request_}))
    assert store.create_file("a/file", tmp_path / "file")
    assert b"".join(store.chunks("a/file")) == (tmp_path / "file").read_bytes()
    done = [seen for seen in storage.log() if seen.method == "POST" and "?uploadId" in seen.target]
    assert [seen.status for seen in done if seen.status == 200] == [200]


def test_a_stream_that_is_cut_goes_on_from_there(store: Store, storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(LARGE + 5))
    store.create_file("file", tmp_path / "file")
    storage.clear()
    storage.fault(*[Fault(action="cut", method="GET", size=10_000_000)] * 2)
    assert b"".join(store.chunks("file")) == (tmp_path / "file").read_bytes()
    assert [seen.status for seen in storage.log()] == [200, 206, 206]


def test_a_file_is_not_held_in_memory(store: Store, tmp_path: Path) -> None:
    size = 200_000_000
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size)
    before = peak_memory()
    store.create_file("file", tmp_path / "file")
    assert sum(len(part) for part in store.chunks("file")) == size
    assert peak_memory() - before < size * 0.7


def peak_memory() -> int:
    with open("/proc/self/status") as status:
        found = next(line for line in status if line.startswith("VmHWM"))
    return int(found.split()[1]) * 1024


# --- refusals --------------------------------------------------------------------------------------------------------

ALL: dict[str, Callable[[Store], object]] = {
    "create": lambda store: store.create("a", b"1"),
    "put": lambda store: store.put("a", b"1"),
    "get": lambda store: store.get("a"),
    "chunks": lambda store: list(store.chunks("a")),
    "folders": lambda store: store.folders("a"),
    "remove": lambda store: store.remove("a"),
}


@pytest.mark.parametrize("ask", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "gcloud auth application-default login"), (403, "add-iam-policy-binding"), (400, "add-iam")],
)
def test_a_refusal_is_told_at_once(
    store: Store, storage: Storage, ask: Callable[[Store], object], status: int, hint: str
) -> None:
    storage.fault(Fault(action="status", status=status, count=None))
    with pytest.raises(StoreRefusedError) as told:
        ask(store)
    assert hint in told.value.hint
    assert len(sent(storage)) == 1


@pytest.mark.parametrize("name", [name for name in ALL if name != "remove"])
@pytest.mark.usefixtures("storage")
def test_a_bucket_that_is_not_there_is_no_empty_bucket(name: str) -> None:
    """P7: that nothing was found proves nothing where nothing could be."""
    with pytest.raises(StoreRefusedError) as told:
        ALL[name](Store("gs://nowhere"))
    assert told.value.why == "the bucket does not exist"
    assert told.value.hint.startswith("gcloud storage buckets create gs://nowhere ")


def test_without_credentials_it_says_how_to_get_them(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")  # where nobody listens
    monkeypatch.setattr(buckets, "READ", replace(buckets.READ, patience=0.1))
    monkeypatch.setattr(buckets, "WRITE", replace(buckets.WRITE, patience=0.1))
    with pytest.raises(StoreRefusedError, match="cannot read") as told:
        Store(f"gs://{bucket}").get("a")
    assert told.value.why.startswith("no credentials")
    assert told.value.hint == "gcloud auth application-default login"
