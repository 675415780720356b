"""
The warehouse adapter as a black box, in several steps: begin, decide, commit, under snapshot isolation.

Inserts never conflict with inserts; what is updated or deleted conflicts. So the lock row of a scope is what
makes two deliveries of it conflict, and without it (a mutant) both go through.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from foretell.errors import WarehouseError
from foretell.protocol.effects import Revoke, Ship, Sleep
from foretell.protocol.records import Receipt, Verdict
from foretell.protocol.scope import owner, scope
from tests.simulation.world import Process, Talk, World


class ConflictError(WarehouseError):
    """The transaction was aborted: another one touched what this one touches."""


class RefusalError(WarehouseError):
    """The warehouse says no for good: schema, type."""


class Rows(NamedTuple):
    """One delivery's rows in a scope."""

    uid: str
    run: str
    attempt: int
    owner: str
    order: tuple[str, int]
    mode: str


class Entry(NamedTuple):
    """One row of the ledger."""

    uid: str
    scope: str
    state: Verdict
    rows: Rows
    laid: bool
    """Whether its rows were put into the table, and not removed by its withdrawal."""


class Snapshot(NamedTuple):
    """What a transaction sees."""

    version: int
    ledger: tuple[Entry, ...]
    tables: dict[str, tuple[Rows, ...]]


class Open(NamedTuple):
    """Begin a transaction; answered by its snapshot."""

    scope: str


class Commit(NamedTuple):
    """Commit what a transaction did."""

    scope: str
    snapshot: Snapshot
    entry: Entry | None
    rows: Rows | None
    delete: tuple[Rows, ...]

    @property
    def revokes(self) -> bool:
        return self.entry is not None and self.entry.state == "withdrawn"


class Warehouse:
    """Tables by scope, and the ledger. `committed` is called after every commit."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ledger: list[Entry] = []
        self.history: defaultdict[str, list[Verdict]] = defaultdict(list)
        """Every state that a run's row of the ledger has had, by uid."""
        self.tables: defaultdict[str, list[Rows]] = defaultdict(list)
        self.committed: Callable[[Process, Commit], None] = lambda _, __: None
        self._version = 0
        self._touched: list[tuple[int, str]] = []
        world.requests[Open] = (self._open, WarehouseError)
        world.requests[Commit] = (self._commit, WarehouseError)
        world.reads.add(Open)
        world.risks[Commit] = world.hazards.commit_fault
        world.nested[Ship] = self.ship
        world.nested[Revoke] = self.revoke

    def states(self, uid: str) -> list[Verdict]:
        return self.history[uid]

    def state(self, uid: str) -> Verdict | None:
        return next((entry.state for entry in self.ledger if entry.uid == uid), None)

    def ship(self, process: Process, wish: Ship) -> Talk:
        """Deliver as PROTOCOL says: lock, read the ledger inside, then rows and ledger together."""
        rows, place = _rows_of(wish)
        process.shipped = True
        while True:
            snapshot: Snapshot = yield Open(place)
            for entry in snapshot.ledger:
                if entry.uid == rows.uid:
                    return _receipt(entry)
            state = _verdict(snapshot.ledger, rows, place, counts=self._counts)
            entry = Entry(rows.uid, place, state, rows, laid=state == "delivered")
            try:
                yield from self._transact(snapshot, entry)
            except RefusalError:
                entry = entry._replace(state="rejected", laid=False)
                if not self.world.rules.rejection_in_ledger:
                    return _receipt(entry)
                try:
                    yield from self._transact(snapshot, entry)
                except ConflictError:
                    yield Sleep(2)
                    continue
            except ConflictError:
                yield Sleep(2)
                continue
            return _receipt(entry)

    def _counts(self, entry: Entry) -> bool:
        """Whether an earlier run's order matters to a later one."""
        return entry.state == "delivered" or (entry.laid and not self.world.rules.withdrawn_free)

    def revoke(self, process: Process, wish: Revoke) -> Talk:
        """Take a run out of what counts: its row of the ledger, and of an append its rows too."""
        rows, place = _rows_of(wish)
        process.shipped = True
        while True:
            snapshot: Snapshot = yield Open(place)
            known = next((entry for entry in snapshot.ledger if entry.uid == rows.uid), None)
            if known and known.state in ("rejected", "withdrawn"):
                return _receipt(known)
            removed = tuple(old for old in snapshot.tables.get(place, ()) if old.uid == rows.uid)
            removed = removed if rows.mode == "append" else ()
            laid = known is not None and known.laid and rows.mode != "append"
            entry = Entry(rows.uid, place, "withdrawn", known.rows if known else rows, laid)
            try:
                yield Commit(place, snapshot, entry, None, removed)
            except ConflictError:
                yield Sleep(2)
                continue
            return _receipt(entry)

    def _transact(self, snapshot: Snapshot, entry: Entry) -> Talk:
        delivered = entry.state == "delivered"
        rows = entry.rows if delivered else None
        delete = snapshot.tables.get(entry.scope, ()) if delivered and entry.rows.mode != "append" else ()
        if self.world.rules.ledger_inside:
            yield Commit(entry.scope, snapshot, entry, rows, delete)
            return
        yield Commit(entry.scope, snapshot, None, rows, delete)
        later = yield Open(entry.scope)
        yield Commit(entry.scope, later, entry, None, ())

    def _reach(self) -> None:
        if not self.world.calm and any(a <= self.world.now < b for a, b in self.world.hazards.warehouse_down):
            raise WarehouseError("the warehouse is down")

    def _open(self, _: Process, __: Open) -> Snapshot:
        self._reach()
        return Snapshot(
            self._version, tuple(self.ledger), {name: tuple(rows) for name, rows in self.tables.items()}
        )

    def _commit(self, process: Process, wish: Commit) -> None:
        self._reach()
        touched = any(v > wish.snapshot.version and place == wish.scope for v, place in self._touched)
        if touched and (self.world.rules.lock_row or wish.delete):
            raise ConflictError("could not serialize")
        if wish.rows and self.world.now < self.world.hazards.rejected_until:
            raise RefusalError("a value is not of its type")
        self._version += 1
        self._touched.append((self._version, wish.scope))
        table = self.tables[wish.scope]
        for old in wish.delete:
            if old in table:
                table.remove(old)
        if wish.rows:
            table.append(wish.rows)
        if wish.entry:
            self.ledger = [old for old in self.ledger if old.uid != wish.entry.uid or not wish.revokes]
            self.ledger.append(wish.entry)
            self.history[wish.entry.uid].append(wish.entry.state)
        self.world.say(process.name, "COMMITS", wish.entry and wish.entry.state, wish.rows)
        self.committed(process, wish)


def _rows_of(wish: Ship | Revoke) -> tuple[Rows, str]:
    request = wish.request
    delivery = request.spec.delivery
    if delivery is None:
        raise AssertionError(request)
    who = owner(request.store, request.service, request.action)
    attempt = wish.outcome.attempt or 0
    rows = Rows(request.uid, wish.request.run.folder, attempt, who, (request.date, request.n), delivery.mode)
    return rows, scope(delivery.table, request.partition)


def _verdict(
    ledger: tuple[Entry, ...], rows: Rows, place: str, *, counts: Callable[[Entry], bool]
) -> Verdict:
    here = [entry for entry in ledger if entry.scope == place]
    others = [entry.rows for entry in here if counts(entry)]
    if rows.mode == "append":
        again = any(other.owner == rows.owner and other.order[0] == rows.order[0] for other in others)
        return "rejected" if again else "delivered"
    if any(entry.laid and entry.rows.owner != rows.owner for entry in here):
        return "rejected"
    return "superseded" if any(other.order > rows.order for other in others) else "delivered"


def _receipt(entry: Entry) -> Receipt:
    rows = entry.rows
    return Receipt(
        uid=entry.uid,
        state=entry.state,
        table=entry.scope.split("$", maxsplit=1)[0],
        scope=entry.scope,
        owner=rows.owner,
        run=rows.run,
        attempt=rows.attempt,
        rows=1,
    )
