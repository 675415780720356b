"""
Predictions in a DuckDB file.

One process writes to such a file at a time, threads of it at once. Whoever finds the file or the table's lock row
held begins again until its patience ends, so that nothing is ever half done.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from foretell.delivery.sql import duckdb
from foretell.errors import UsageError, WarehouseError
from foretell.protocol import scope
from foretell.protocol.records import Receipt, Verdict
from foretell.service.delivery import Delivery
from foretell.system.backoff import Backoff
from foretell.warehouses.base import (
    NEVER,
    Rows,
    SchemaMismatchError,
    Shipment,
    Warehouse,
    appended,
    belongs,
    newer,
    run_column,
    unmarked,
)
from foretell.warehouses.duckdb.settings import DuckDBSettings
from foretell.warehouses.duckdb.table import LAID, Table, columns, put, said, select
from foretell.warehouses.duckdb.withdrawal import held, withdraw

Connection: TypeAlias = duckdb.DuckDBPyConnection
T = TypeVar("T")

LEDGER = Path(__file__).parent / "ledger.sql"
PATIENCE = 60.0
"""Seconds to go on asking for a file or a table that others hold."""
HELD = (
    "Could not set lock",  # by another process
    "different configuration",  # by a thread of this one, to read where we write, or the other way
    "Unique file handle conflict",  # by a thread that is just closing it
    'Duplicate key "scope: ',  # a thread made the lock row at the same moment
)
"""Parts of what DuckDB says of a file that is in use."""
MOMENT = 2.0
"""Seconds of waiting that need no word."""
BACKOFF = Backoff(first=0.02, longest=0.2, factor=1.5)

FIELDS = ("uid", "state", "table", "scope", "owner", "run", "attempt", "rows", "cause", "at")
RECEIPT = (
    ", ".join(f'"{field}"' for field in FIELDS[:-1]) + ", strftime(\"at\", '%Y-%m-%dT%H:%M:%S.%g+00:00')"
)
"""The ledger's row as Receipt has it."""
OTHERS = f"""
    SELECT owner FROM foretell.ledger
    WHERE "table" = $1 AND {LAID} AND turn > $2 AND owner <> $3
        AND NOT ($4 = 'append' AND mode = 'append')
    ORDER BY turn DESC LIMIT 1"""
DELIVERED = """
    SELECT run, date, n FROM foretell.ledger
    WHERE "table" = $1 AND state = 'delivered' AND owner = $2 AND CASE $3
        WHEN 'replace' THEN true
        WHEN 'partition' THEN scope = $4 OR mode = 'replace'
        ELSE date = $5 END
    ORDER BY date DESC, n DESC LIMIT 1"""
"""What a run may not lie over, newest first: all the table for replace, the partition, the date for append."""
STANDING = f"""
    WITH laid AS (SELECT * FROM foretell.ledger WHERE "table" = ? AND {LAID})
    SELECT {RECEIPT} FROM laid
    WHERE turn >= coalesce((SELECT max(turn) FROM laid WHERE mode = 'replace'), 0)
    QUALIFY mode <> 'partition' OR row_number() OVER (PARTITION BY scope, mode ORDER BY turn DESC) = 1
    ORDER BY turn DESC"""
"""The deliveries that no later one replaced, those among them that were withdrawn."""


class Turn(Struct, frozen=True):
    """What the lock row says in this transaction: its number, who claimed the table, and since which number."""

    number: int
    owner: str | None
    since: int


class DuckDBWarehouse(Warehouse):
    """
    The Warehouse in a DuckDB file. `patience` is in seconds; `connect` is called as duckdb.connect is.

    `waits` is told, once, when the file has been held by another for longer than a moment.
    """

    def __init__(
        self,
        settings: DuckDBSettings,
        *,
        patience: float = PATIENCE,
        connect: Callable[..., Connection] = duckdb.connect,
        sleep: Callable[[float], None] = time.sleep,
        waits: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.patience = patience
        self._connect = connect
        self._sleep = sleep
        self._waits = waits
        self._has_waited = False

    def deliver(self, shipment: Shipment) -> Receipt:
        try:
            return self._patiently(lambda: self._decide(shipment))
        except SchemaMismatchError as no:
            cause = str(no)
            return self._patiently(lambda: self._decide(shipment, rejected=cause))

    def withdraw(self, shipment: Shipment) -> Receipt:
        return self._patiently(lambda: self._withdraw(shipment))

    def held(self, shipment: Shipment) -> str:
        table = self._table(shipment.delivery.table)
        if shipment.delivery.mode == "append" and run_column(shipment.delivery) is None:
            return unmarked(shipment.delivery.table)
        return self._read(lambda connection: held(connection, shipment, table)) or ""

    def query(self, table: str, *, limit: int | None = 20) -> Rows:
        wanted = self._table(table)
        rows = self._read(lambda connection: self._rows(connection, wanted, limit))
        if rows is None:
            known = ", ".join(self.tables())
            raise UsageError(
                f'there is no table "{table}"',
                where=self.settings.path,
                why=f"there is {known}" if known else "nothing was delivered there",
                hint="run the action that delivers it",
            )
        return rows

    def claim(self, delivery: Delivery, owner: str) -> tuple[str, ...]:
        return self._patiently(lambda: self._claim(self._table(delivery.table), owner))

    def tables(self) -> Sequence[str]:
        query = f"""SELECT DISTINCT "table" FROM foretell.ledger WHERE {LAID} ORDER BY 1"""
        found = self._read(lambda connection: connection.execute(query).fetchall()) or []
        return [self._shown(key) for (key,) in found]

    def ready(self, delivery: Delivery, store: str) -> None:
        """A file needs nothing before it is delivered to."""

    def plan(self, shipment: Shipment) -> Sequence[Mapping[str, object]]:  # noqa: ARG002 - as all warehouses have it
        """A file is no service that would be asked."""
        return ()

    def _table(self, name: str) -> Table:
        dataset, _, table = name.rpartition(".")
        return Table(dataset or self.settings.dataset, table)

    def _shown(self, key: str) -> str:
        return key.removeprefix(f"{self.settings.dataset}.".lower())

    def _patiently(self, work: Callable[[], T]) -> T:
        """Begin again for as long as another is in the way; WarehouseError when patience or hope ends."""
        begun = time.monotonic()
        pauses = replace(BACKOFF, patience=self.patience).pauses(since=begun)
        while True:
            try:
                return work()
            except (duckdb.Error, OSError) as error:
                pause = next(pauses, None) if _another_was_first(error) else None
                if pause is None:
                    raise self._failure(error) from error
                if time.monotonic() - begun > MOMENT and not self._has_waited:
                    self._has_waited = True
                    self._waits(
                        f'the warehouse "{self.settings.path}" is in use, so this waits: {said(error)}'
                    )
            self._sleep(pause)

    def _failure(self, error: Exception) -> WarehouseError:
        busy = _another_was_first(error)
        what = f"stays busy for {self.patience:.0f} s" if busy else "cannot be used"
        return WarehouseError(
            f'the warehouse "{self.settings.path}" {what}',
            why=said(error),
            hint="end the program that holds it, and deliver again with `foretell tidy`" if busy else "",
        )

    def _open(self, *, read_only: bool = False) -> Connection:
        connection = self._connect(self.settings.path, read_only=read_only)
        # Without the second, a table that is missing would be looked for among the variables of this program.
        connection.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
        return connection

    def _make(self) -> None:
        """Make the file, whole or not at all: one that was cut while it was made is refused by DuckDB for ever."""
        path = Path(self.settings.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
        new.unlink(missing_ok=True)
        with self._connect(str(new)):
            pass
        with suppress(OSError):  # another made it, or there are no links here, and DuckDB makes it in place
            os.link(new, path)
        new.unlink()

    def _read(self, work: Callable[[Connection], T]) -> T | None:
        """Return what `work` finds, None where nothing was delivered yet."""

        def read() -> T | None:
            if not Path(self.settings.path).exists():
                return None
            with self._open(read_only=True) as connection:
                try:
                    return work(connection)
                except duckdb.CatalogException:  # no ledger, or no such table
                    return None

        return self._patiently(read)

    @contextmanager
    def _turn(self, table: Table) -> Iterator[tuple[Connection, Turn]]:
        """Take the table's turn: a transaction that no other one of the table commits beside."""
        if not Path(self.settings.path).exists():
            self._make()
        with self._open() as connection:
            if not _has_turn(connection, table):
                connection.execute(LEDGER.read_text())
                connection.execute("INSERT OR IGNORE INTO foretell.lock VALUES (?, 0, NULL, 0)", [table.key])
            connection.execute("BEGIN")
            lock = "UPDATE foretell.lock SET turn = turn + 1 WHERE scope = ? RETURNING turn, owner, since"
            ((number, owner, since),) = connection.execute(lock, [table.key]).fetchall()
            yield connection, Turn(number, owner, since)
            connection.execute("COMMIT")

    def _decide(self, shipment: Shipment, *, rejected: str = "") -> Receipt:
        """The one transaction of the protocol: what the ledger holds stands, else decide, write rows and ledger."""
        table = self._table(shipment.delivery.table)
        with self._turn(table) as (connection, turn):
            if known := self._receipt(connection, shipment.uid):
                return known
            verdict: tuple[Verdict, str] = ("rejected", rejected)
            state, cause = verdict if rejected else _verdict(connection, shipment, table, turn)
            rows = put(connection, shipment, table) if state == "delivered" else 0
            return self._record(connection, shipment, turn, (state, cause, rows))

    def _withdraw(self, shipment: Shipment) -> Receipt:
        """The same transaction for a run that was taken back."""
        table = self._table(shipment.delivery.table)
        with self._turn(table) as (connection, _):
            known = self._receipt(connection, shipment.uid)
            if known is None:
                return self._record(connection, shipment, Turn(0, None, 0), ("withdrawn", NEVER, 0))
            settled = known.state in ("rejected", "withdrawn")
            if settled or (known.state == "delivered" and held(connection, shipment, table)):
                return known
            withdraw(connection, shipment, table, known.state)
            return self._receipt(connection, shipment.uid) or known

    def _record(
        self, connection: Connection, shipment: Shipment, turn: Turn, found: tuple[Verdict, str, int]
    ) -> Receipt:
        state, cause, rows = found
        key = self._table(shipment.delivery.table).key
        values = {
            "uid": shipment.uid,
            "table": key,
            "scope": scope.scope(key, shipment.partition),
            "owner": shipment.owner,
            "mode": shipment.delivery.mode,
            "date": shipment.date,
            "n": shipment.n,
            "state": state,
            "rows": rows,
            "run": shipment.run,
            "attempt": shipment.attempt,
            "cause": cause,
            "turn": turn.number,
        }
        row = ", ".join(f'${name} AS "{name}"' for name in values)
        select = f"SELECT {row}, now() AT TIME ZONE 'UTC' AS \"at\""
        insert = f"INSERT INTO foretell.ledger BY NAME {select} RETURNING {RECEIPT}"
        (receipt,) = connection.execute(insert, values).fetchall()
        return self._told(receipt)

    def _receipt(self, connection: Connection, uid: str) -> Receipt | None:
        row = connection.execute(f"SELECT {RECEIPT} FROM foretell.ledger WHERE uid = ?", [uid]).fetchone()
        return self._told(row) if row else None

    def _told(self, row: tuple[object, ...]) -> Receipt:
        fields = dict(zip(FIELDS, row, strict=True))
        return msgspec.convert(fields | {"table": self._shown(str(fields["table"]))}, Receipt)

    def _claim(self, table: Table, owner: str) -> tuple[str, ...]:
        with self._turn(table) as (connection, turn):
            query = f"""
                SELECT DISTINCT owner FROM foretell.ledger
                WHERE "table" = ? AND {LAID} AND turn > ? ORDER BY 1"""
            before = {owner for (owner,) in connection.execute(query, [table.key, turn.since]).fetchall()}
            claim = "UPDATE foretell.lock SET owner = ?, since = turn WHERE scope = ?"
            connection.execute(claim, [owner, table.key])
            return tuple(sorted(before | ({turn.owner} if turn.owner else set())))

    def _rows(self, connection: Connection, table: Table, limit: int | None) -> Rows:
        standing = [self._told(row) for row in connection.execute(STANDING, [table.key]).fetchall()]
        ((total,),) = connection.execute(f"SELECT count(*) FROM {table.sql}").fetchall()
        # One delivery shows its own order, of several the last inserted comes first. A view has no rowid.
        order = {0: "", 1: "ORDER BY rowid"}.get(len(standing), "ORDER BY rowid DESC")
        return Rows(
            table=self._shown(table.key),
            columns=tuple(columns(connection, table)),
            rows=tuple(select(connection, table, order=order, limit=limit)),
            total=total,
            receipts=tuple(standing),
        )


def _has_turn(connection: Connection, table: Table) -> bool:
    """Whether the table's lock row is there, as it is after the first delivery."""
    try:
        return bool(connection.execute("FROM foretell.lock WHERE scope = ?", [table.key]).fetchall())
    except duckdb.CatalogException:
        return False


def _another_was_first(error: Exception) -> bool:
    """Tell whether another holds the file, or took the table's turn."""
    return isinstance(error, duckdb.TransactionException) or any(sign in str(error) for sign in HELD)


def _verdict(connection: Connection, shipment: Shipment, table: Table, turn: Turn) -> tuple[Verdict, str]:
    """Decide by what stands in the table: does another own it, is it newer, was this date appended already."""
    mode, owner = shipment.delivery.mode, shipment.owner
    if other := _other_owner(connection, shipment, table, turn):
        return "rejected", belongs(shipment.delivery.table, other)
    values = [table.key, owner, mode, scope.scope(table.key, shipment.partition), shipment.date]
    delivered = connection.execute(DELIVERED, values).fetchall()
    if mode == "append":
        return ("rejected", appended(delivered[0][0])) if delivered else ("delivered", "")
    later = [run for run, date, n in delivered if (date, n) > (shipment.date, shipment.n)]
    return ("superseded", newer(later[0])) if later else ("delivered", "")


def _other_owner(connection: Connection, shipment: Shipment, table: Table, turn: Turn) -> str | None:
    """Another owner of the table. The last claim makes one; without it, a delivery does, but appends go together."""
    if turn.owner and turn.owner != shipment.owner:
        return turn.owner
    values = [table.key, turn.since, shipment.owner, shipment.delivery.mode]
    row = connection.execute(OTHERS, values).fetchone()
    return str(row[0]) if row else None
