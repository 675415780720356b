"""The suite of warehouses on every kind, and what DuckDB alone promises."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import duckdb
import pytest

from foretell.errors import WarehouseError
from foretell.service.delivery import Delivery
from foretell.testing.warehouses import WarehouseSuite
from foretell.testing.warehouses.candidate import Candidate
from foretell.testing.warehouses.shipping import APPEND, DAYS, PARTITION, Shipper, ids, marked
from foretell.warehouses import connect
from foretell.warehouses.base import Shipment
from foretell.warehouses.bigquery.settings import BigQuerySettings
from foretell.warehouses.duckdb.settings import DuckDBSettings
from foretell.warehouses.duckdb.warehouse import DuckDBWarehouse


def of_duckdb(request: pytest.FixtureRequest) -> Candidate:
    path = request.getfixturevalue("tmp_path") / "new" / "warehouse.duckdb"
    return Candidate(settings=DuckDBSettings(path=str(path)), ordered=True, folds_case=True)


def of_bigquery(request: pytest.FixtureRequest) -> Candidate:
    request.getfixturevalue("bigquery")
    return Candidate(settings=BigQuerySettings(dataset=f"house_{uuid.uuid4().hex[:12]}"), threads=3)


KINDS = (
    pytest.param(of_duckdb, id="duckdb"),
    pytest.param(of_bigquery, id="bigquery", marks=pytest.mark.google),
)


class TestEveryWarehouse(WarehouseSuite):
    @pytest.fixture(params=KINDS)
    def candidate(self, request: pytest.FixtureRequest) -> Candidate:
        return request.param(request)


@pytest.fixture
def ship(tmp_path: Path) -> Shipper:
    (tmp_path / "staged").mkdir()
    return Shipper(tmp_path / "staged")


# DuckDB: how its statements interleave, and dying between any two of them


class Scheduler:
    """Lets one of several threads execute one statement at a time, in an order drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.condition = threading.Condition()
        self.waiting: set[int] = set()
        self.running = 0
        self.chosen: int | None = None

    def run(self, works: list[Callable[[], object]]) -> None:
        self.running = len(works)
        threads = [threading.Thread(target=self._work, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)

    def _work(self, work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            with self.condition:
                self.running -= 1
                self._choose()

    def statement(self) -> None:
        me = threading.get_ident()
        with self.condition:
            self.waiting.add(me)
            self._choose()
            self.condition.wait_for(lambda: self.chosen == me, timeout=30)
            self.chosen = None
            self.waiting.discard(me)

    def _choose(self) -> None:
        if self.waiting and len(self.waiting) == self.running and self.chosen is None:
            self.chosen = self.random.choice(sorted(self.waiting))
            self.condition.notify_all()


class Scheduled:
    """A connection whose statements ask the scheduler first. Without the lock, it leaves out the lock's update."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, scheduler: Scheduler, *, lock: bool) -> None:
        self.connection = connection
        self.scheduler = scheduler
        self.lock = lock

    def execute(self, query: str, *values: object) -> duckdb.DuckDBPyConnection:
        self.scheduler.statement()
        if query.startswith("UPDATE foretell.lock") and not self.lock:
            query = "SELECT turn + 1, owner, since FROM foretell.lock WHERE scope = ?"
        return self.connection.execute(query, *values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def interleaved(path: Path, works: list[Shipment], seed: int, *, lock: bool) -> list[str]:
    """Deliver in threads whose statements interleave; give the ids that stand."""
    scheduler = Scheduler(seed)

    def open_scheduled(*args: object, **options: object) -> Scheduled:
        scheduler.statement()
        return Scheduled(duckdb.connect(*args, **options), scheduler, lock=lock)

    settings = DuckDBSettings(path=str(path))
    warehouse = DuckDBWarehouse(settings, connect=open_scheduled, sleep=lambda _: None)
    scheduler.run([lambda each=each: warehouse.deliver(each) for each in works])
    return ids(DuckDBWarehouse(settings))


def delivered_and_withdrawn(path: Path, shipment: Shipment, seed: int) -> tuple[str, list[object]]:
    """Deliver and withdraw a run in threads whose statements interleave; give its state, and the ids that stand."""
    scheduler = Scheduler(seed)

    def open_scheduled(*args: object, **options: object) -> Scheduled:
        scheduler.statement()
        return Scheduled(duckdb.connect(*args, **options), scheduler, lock=True)

    settings = DuckDBSettings(path=str(path))
    warehouse = DuckDBWarehouse(settings, connect=open_scheduled, sleep=lambda _: None)
    scheduler.run([lambda: warehouse.deliver(shipment), lambda: warehouse.withdraw(shipment)])
    quiet = DuckDBWarehouse(settings)
    return quiet.deliver(shipment).state, ids(quiet)


@pytest.fixture
def races(ship: Shipper) -> Iterator[list[tuple[list[Shipment], list[str]]]]:
    """Deliveries at once into an empty table, and the ids that must stand afterwards."""
    one = ship("u1", "a", delivery=APPEND)
    old, new = ship("old", "old"), ship("new", "new", day=DAYS[1])
    return [([one, one], ["a"]), ([old, new], ["new"]), ([old, new, new], ["new"])]


def race(
    tmp_path: Path, ship: Shipper, races: list[tuple[list[Shipment], list[str]]], *, lock: bool
) -> Iterator[int]:
    """Give the seeds whose interleaving leaves other rows than it must."""
    for seed in range(32):
        works, expected = races[seed % len(races)]
        path = tmp_path / f"{seed}.duckdb"
        first = ship("u0", day="2026-10-01", delivery=works[0].delivery)
        DuckDBWarehouse(DuckDBSettings(path=str(path))).deliver(first)
        if interleaved(path, works, seed, lock=lock) != expected:
            yield seed


@pytest.mark.slow
def test_no_interleaving_of_statements_delivers_twice(tmp_path: Path, ship: Shipper, races: list) -> None:
    assert list(race(tmp_path, ship, races, lock=True)) == []


@pytest.mark.slow
def test_without_the_lock_row_they_do(tmp_path: Path, ship: Shipper, races: list) -> None:
    assert next(race(tmp_path, ship, races, lock=False), None) is not None


def test_a_withdrawal_and_a_delivery_meet_in_the_ledger(tmp_path: Path, ship: Shipper) -> None:
    shipment = marked(ship, "u1", "a", "b")
    for seed in range(8):
        path = tmp_path / f"{seed}.duckdb"
        DuckDBWarehouse(DuckDBSettings(path=str(path))).deliver(marked(ship, "u0", "c", day="2026-10-01"))
        assert delivered_and_withdrawn(path, shipment, seed) == ("withdrawn", ["c"]), seed


def test_inserts_alone_do_not_conflict_in_duckdb() -> None:
    with duckdb.connect() as base:
        base.execute("CREATE TABLE ledger (uid VARCHAR); CREATE TABLE t (x INTEGER)")
        both = [base.cursor(), base.cursor()]
        for each in both:
            each.execute("BEGIN")
            assert each.execute("SELECT count(*) FROM ledger").fetchone() == (0,)
            each.execute("INSERT INTO t VALUES (1); INSERT INTO ledger VALUES ('u')")
        for each in both:
            each.execute("COMMIT")
        assert base.execute("SELECT count(*) FROM t").fetchone() == (2,)


KILLED = """
import os, pickle, random, signal, sys, time
import duckdb
from foretell.warehouses.duckdb.warehouse import DuckDBWarehouse

class Mortal:
    def __init__(self, connection, life): self.connection, self.life = connection, life
    def execute(self, *query):
        if self.life.pop() == 0: os.kill(os.getpid(), signal.SIGKILL)
        return self.connection.execute(*query)
    def __enter__(self): return self
    def __exit__(self, *_):
        if self.life.pop() == 0: os.kill(os.getpid(), signal.SIGKILL)
        self.connection.close()

settings, shipment, points, verb = pickle.load(open(sys.argv[1], "rb"))

def deliver_and_die(point):
    life = list(range(point, -1000, -1))[::-1]
    mortal = DuckDBWarehouse(settings, connect=lambda *a, **o: Mortal(duckdb.connect(*a, **o), life))
    getattr(mortal, verb)(shipment)

def in_child(work):
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    return child

killed = 0
for point in points:
    whole = lambda: getattr(DuckDBWarehouse(settings), verb)(shipment)
    if verb == "withdraw":
        before = in_child(lambda: DuckDBWarehouse(settings).deliver(shipment))
        assert os.waitpid(before, 0)[1] == 0
    child = in_child((lambda: deliver_and_die(point)) if isinstance(point, int) else whole)
    if isinstance(point, float):
        time.sleep(point)
        os.kill(child, signal.SIGKILL)
    killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    again = in_child(whole)
    assert os.waitpid(again, 0)[1] == 0
    found = in_child(lambda: sys.exit(DuckDBWarehouse(settings).query("predictions").total))
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(found, 0)[1])
    finally:
        for end in ("", ".wal"):
            if os.path.exists(settings.path + end): os.remove(settings.path + end)
    assert status == (shipment.rows if verb == "deliver" else 0), (point, status)
print(killed)
"""


@pytest.mark.slow
@pytest.mark.parametrize("delivery", [APPEND, PARTITION], ids=["append", "partition"])
def test_killed_between_any_two_statements_and_repeated_the_rows_stand_once(
    ship: Shipper, tmp_path: Path, delivery: Delivery
) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    shipment = ship("u1", "a", "b", delivery=delivery)
    points = [*range(20), *[random.Random(place).uniform(0, 0.1) for place in range(8)]]
    assert killed(settings, shipment, points, "deliver", tmp_path) >= 18


@pytest.mark.slow
def test_killed_between_any_two_statements_of_a_withdrawal_and_repeated_the_rows_are_gone(
    ship: Shipper, tmp_path: Path
) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    assert killed(settings, marked(ship, "u1", "a", "b"), [*range(16)], "withdraw", tmp_path) >= 12


def killed(
    settings: DuckDBSettings, shipment: Shipment, points: list[int | float], verb: str, tmp_path: Path
) -> int:
    """Die at each of these statements or seconds of a verb, and repeat it; give how often it was so."""
    (tmp_path / "job").write_bytes(pickle.dumps((settings, shipment, points, verb)))
    command = [sys.executable, "-W", "error", "-c", KILLED, str(tmp_path / "job")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


# DuckDB: files that cannot be used


def test_a_file_that_another_process_holds_is_waited_for(ship: Shipper, tmp_path: Path) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    hold = (
        "import duckdb, sys\nc = duckdb.connect(sys.argv[1])\nprint('held', flush=True)\nsys.stdin.readline()"
    )
    command = [sys.executable, "-c", hold, settings.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(WarehouseError, match="stays busy") as caught:
            DuckDBWarehouse(settings, patience=0.1).deliver(ship("u1", "a"))
        assert str(holder.pid) in caught.value.why
        with pytest.raises(WarehouseError, match="stays busy"):
            DuckDBWarehouse(settings, patience=0.1).tables()
        threading.Timer(0.3, holder.stdin.close).start()
        assert DuckDBWarehouse(settings).deliver(ship("u1", "a")).state == "delivered"


def test_waiting_for_a_file_is_told_once_and_only_when_it_lasts(
    ship: Shipper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    monkeypatch.setattr("foretell.warehouses.duckdb.warehouse.MOMENT", 0.2)
    told: list[str] = []
    hold = (
        "import duckdb, sys\nc = duckdb.connect(sys.argv[1])\nprint('held', flush=True)\nsys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, settings.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        threading.Timer(0.8, holder.stdin.close).start()
        warehouse = connect(settings, told.append)
        assert warehouse.deliver(ship("u1", "a")).state == "delivered"
        (sentence,) = told
        assert sentence.startswith(f'the warehouse "{settings.path}" is in use, so this waits: ')
        assert str(holder.pid) in sentence
    assert warehouse.query("predictions").total == 1
    assert len(told) == 1


def test_a_file_that_is_no_database_is_told(ship: Shipper, tmp_path: Path) -> None:
    (tmp_path / "w.duckdb").write_bytes(b"not a database" * 1000)
    for path in (tmp_path / "w.duckdb", tmp_path, tmp_path / "w.duckdb" / "under a file", Path("/dev/full")):
        warehouse = DuckDBWarehouse(DuckDBSettings(path=str(path)))
        with pytest.raises(WarehouseError, match="cannot be used"):
            warehouse.deliver(ship("u1", "a"))
    assert (tmp_path / "w.duckdb").read_bytes() == b"not a database" * 1000


def test_the_file_is_made_whole_or_not_at_all(ship: Shipper, tmp_path: Path) -> None:
    def stop(path: str, **options: object) -> duckdb.DuckDBPyConnection:
        if Path(path).name != "w.duckdb":
            Path(path).touch()
            raise KeyboardInterrupt
        return duckdb.connect(path, **options)

    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    with pytest.raises(KeyboardInterrupt):
        DuckDBWarehouse(settings, connect=stop).deliver(ship("u1", "a"))
    assert not Path(settings.path).exists()
    assert DuckDBWarehouse(settings).deliver(ship("u1", "a")).state == "delivered"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["w.duckdb"]


NO_ROOM = """
import pickle, resource, signal, sys
from foretell.errors import WarehouseError
from foretell.warehouses.duckdb.warehouse import DuckDBWarehouse
settings, shipment = pickle.load(open(sys.argv[1], "rb"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
try:
    DuckDBWarehouse(settings).deliver(shipment)
except WarehouseError as error:
    print(error)
"""


def test_no_room_for_the_rows_is_no_verdict(ship: Shipper, tmp_path: Path) -> None:
    settings = DuckDBSettings(path=str(tmp_path / "w.duckdb"))
    DuckDBWarehouse(settings).deliver(ship("u0", "a"))
    big = ship("u1", select="SELECT md5(range::VARCHAR) AS id, true AS label FROM range(400000)", day=DAYS[1])
    (tmp_path / "job").write_bytes(pickle.dumps((settings, big)))
    command = [sys.executable, "-c", NO_ROOM, str(tmp_path / "job")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "cannot be used" in done.stdout
    warehouse = DuckDBWarehouse(settings)
    assert ids(warehouse) == ["a"]
    assert warehouse.deliver(big).rows == 400_000
