"""The stand-in of Cloud Storage keeps the promises that Google's documentation makes, and breaks them on order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.error import URLError

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import GCSStore

from tests.standins.google.faults import Fault
from tests.standins.google.storage import Storage


def client(storage: Storage, bucket: str) -> GCSStore:
    options = {"allow_http": True, "timeout": "5s"}
    return GCSStore(
        bucket,
        base_url=storage.url,
        bearer_token="token",
        client_options=options,
        retry_config={"max_retries": 0},
    )


def test_both_interfaces_see_the_same(storage: Storage, bucket: str) -> None:
    xml = client(storage, bucket)
    for name in ("a", "b c/#1.json", "d/é?x=1&y", "e/100%"):
        obstore.put(xml, name, name.encode(), mode="create")
        assert storage.read(bucket, name) == name.encode()
    storage.write(bucket, "by/json", b"json")
    assert bytes(obstore.get(xml, "by/json").bytes()) == b"json"
    assert obstore.list_with_delimiter(xml)["common_prefixes"] == ["b c", "by", "d", "e"]


@pytest.mark.parametrize("size", [64, 1024 * 1024])
def test_of_thirty_two_racers_one_wins(storage: Storage, bucket: str, size: int) -> None:
    def race(number: int) -> bool:
        try:
            obstore.put(client(storage, bucket), "slot", bytes([number]) * size, mode="create")
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(32) as racers:
        won = list(racers.map(race, range(32)))
    assert won.count(True) == 1
    assert storage.read(bucket, "slot") == bytes([won.index(True)]) * size


def test_a_listing_has_pages(storage: Storage, bucket: str) -> None:
    xml = client(storage, bucket)
    names = sorted(f"{folder}/{number}" for folder in ("x", "y") for number in range(1100))
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda name: obstore.put(xml, name, b""), names))
    assert [found["path"] for page in obstore.list(xml) for found in page] == names
    asked = [seen.target for seen in storage.log() if "list-type" in seen.target]
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("fault", "executed"),
    [
        (Fault(action="lose"), True),
        (Fault(action="lose", reset=True), True),
        (Fault(action="status", status=503, after=True), True),
        (Fault(action="drop"), False),
        (Fault(action="drop", reset=True), False),
        (Fault(action="status", status=429), False),
    ],
    ids=["lose", "lose, reset", "503 after", "drop", "drop, reset", "429"],
)
def test_an_answer_that_is_lost_says_nothing_of_the_write(
    storage: Storage, bucket: str, fault: Fault, *, executed: bool
) -> None:
    storage.fault(fault)
    with pytest.raises(BaseError):
        obstore.put(client(storage, bucket), "a", b"1", mode="create")
    assert (storage.names(bucket) == ["a"]) == executed
    assert [seen.fault for seen in storage.log()] == [fault.action]


def test_an_outage_refuses_connections_and_loses_nothing(storage: Storage, bucket: str) -> None:
    storage.write(bucket, "a", b"1")
    storage.outage(0.5)
    refused = 0
    while True:
        try:
            found = storage.read(bucket, "a")
        except (URLError, OSError):
            refused += 1
        else:
            if refused:
                break
    assert found == b"1"


def test_a_bucket_that_is_not_there_is_told_apart_from_an_object(storage: Storage, bucket: str) -> None:
    for name, code in ((bucket, "NoSuchKey"), ("nowhere", "NoSuchBucket")):
        with pytest.raises(FileNotFoundError, match=code):
            obstore.get(client(storage, name), "a")
