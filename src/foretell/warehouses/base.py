"""What a warehouse is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from foretell.errors import UsageError
from foretell.google.inspection import Inspection
from foretell.protocol.records import Outcome, Receipt, Request
from foretell.protocol.scope import owner
from foretell.service.delivery import Delivery
from foretell.system.check import Check
from foretell.system.times import sortable

SHOWN = 20
"""Columns that a message names at most."""


class Shipment(Struct, frozen=True, kw_only=True):
    """
    One run's predictions on their way.

    `uid` is the run's, unique over all stores. `owner` is store id/service/action. Order in a scope is (`date`, `n`):
    `date` is the run's date as RFC 3339 UTC with milliseconds, which sorts as text. `partition` is the value of the
    partition column (ISO date, or ISO time for hours) in mode "partition", else None. `files` are the checked Parquet
    files on this machine, holding exactly the declared columns in their declared order and types (but for those that
    the warehouse takes as text, see `text_types`); `rows` is their number of rows. `uris` are the same files in
    the store, for a warehouse that reads them there (`reads_store`): then `files` may be empty.
    """

    uid: str
    owner: str
    run: str
    attempt: int
    date: str
    n: int
    delivery: Delivery
    partition: str | None
    files: tuple[Path, ...]
    rows: int
    uris: tuple[str, ...] = ()


class SchemaMismatchError(Exception):
    """The table will not take the rows, ever. Its text says why, and what to do."""


class Rows(Struct, frozen=True, kw_only=True):
    """What a query gives: column names, and rows of JSON-ready values (str, int, float, bool, None, list, dict)."""

    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    total: int
    receipts: tuple[Receipt, ...] = ()
    """The ledger rows of the runs now standing in the table, newest first."""


class Warehouse(Protocol):
    """
    A place where predictions land. Holds settings, never connections: every call opens and closes its own.

    Every method raises WarehouseError when the warehouse cannot be reached or stays busy, and may then be called
    again: nothing is half done.
    """

    def deliver(self, shipment: Shipment) -> Receipt:
        """
        Put the rows into the table exactly once, by the one transaction of the protocol, and give the ledger row.

        Blocks until committed. Called twice, or by two at once, for one `uid`: the rows stand once and both get the
        same receipt. Makes table, ledger, lock row and (mode partition) the view TABLE_latest where missing. What the
        warehouse refuses for good (schema, type, another owner, an append of a date that is there) comes back as
        "rejected", which is itself a ledger row; an older run over a newer one as "superseded". Never raises for these.
        """
        ...

    def withdraw(self, shipment: Shipment) -> Receipt:
        """
        Take a run out of what counts, by the same transaction, and give the ledger row, whose state is "withdrawn".

        Rows that were appended are removed. Rows that replaced others stay until the next delivery, and later ones
        are not "superseded" by them any more. A run without a ledger row gets one, and is not delivered afterwards. A
        row that is "rejected" stays so, and that of an append whose rows cannot be told from others (see `held`).
        """
        ...

    def held(self, shipment: Shipment) -> str:
        """Say why the rows of an append could not be removed, "" where they can be: to be asked before `withdraw`."""
        ...

    def query(self, table: str, *, limit: int | None = 20) -> Rows:
        """
        Return rows of a delivered table, newest delivery first as far as the warehouse keeps an order.

        A table that is not there raises UsageError.
        """
        ...

    def claim(self, delivery: Delivery, owner: str) -> tuple[str, ...]:
        """Make `owner` the owner of the table and give who owned it before. Older rows stay until replaced."""
        ...

    def tables(self) -> Sequence[str]:
        """Return the tables that the ledger knows, sorted."""
        ...

    def ready(self, delivery: Delivery, store: str) -> None:
        """
        See, before a machine is paid for, that what it produces could be delivered from the store at this URL.

        UsageError where store and warehouse do not go together; WarehouseError where it cannot be reached.
        """
        ...

    def plan(self, shipment: Shipment) -> Sequence[Mapping[str, object]]:
        """
        Return the requests by which a service elsewhere would be asked to take this, were nothing there yet: method to
        address, and "body". By the code that delivers, asking nobody; what only a delivery can know is shown as <…>.
        """
        ...

    def google_services(self) -> Iterator[str]:
        """Return which services of Google's cloud must be enabled for it."""
        yield from ()

    def access(self, look: Inspection) -> Iterator[Check]:
        """Look whether whoever asks may deliver. Called where services of Google's are used, with credentials."""
        del look
        yield from ()

    def checks(self, look: Inspection | None) -> Iterator[Check]:
        """
        Look at what a delivery needs of it, for `foretell doctor`; nothing is made or changed, nothing is raised.

        That it opens is looked at by `tables`. `look` asks Google's services; None where the target uses none of them.
        """
        del look
        yield from ()


# --- what every kind says of a table that does not take a run's rows ----------------------------------------------


def belongs(table: str, other: str) -> str:
    """Tell of another owner."""
    return f'the table "{table}" belongs to "{other}"; `foretell claim {table}` makes it this action\'s'


def appended(run: str) -> str:
    """Tell of another run of the same date."""
    advice = 'mode = "partition" replaces the rows of a date that is run again'
    return f'the run "{run}" of the same date was appended before; {advice}'


def newer(run: str) -> str:
    """Tell of a run that is not to be replaced by an older one."""
    return f'the newer run "{run}" was delivered before'


STANDS = "withdrawn; its rows stand until the next delivery"
REMOVED = "withdrawn; its rows were removed"
NEVER = "withdrawn before it was delivered"
NOTHING = "withdrawn; none of its rows were in the table"
"""What the ledger says of a withdrawn run."""


def run_column(delivery: Delivery) -> str | None:
    """Return the column that says which run a row is of."""
    return next((column.name for column in delivery.columns if column.source == "@run"), None)


def unmarked(table: str) -> str:
    """Tell that no column says which run a row is of."""
    return f'no column of "{table}" says which run a row is of: none is `from = "@run"`'


def shared(table: str, run_id: str) -> str:
    """Tell that rows of other runs bear the same run id."""
    return f'rows of other runs in "{table}" bear the run id {run_id} too'


def other_columns(table: str, there: Mapping[str, str], declared: Mapping[str, str]) -> str:
    """Tell of columns, type by name as foretell.toml has them, that are not the declared ones."""
    told = [
        f'"{name}" is {kind} there and {declared[name]} here'
        if name in declared
        else f'"{name}" {kind} is not declared'
        for name, kind in there.items()
        if declared.get(name) != kind
    ]
    told += [f'"{name}" {kind} is not there' for name, kind in declared.items() if name not in there]
    more = f", and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return (
        f'the table "{table}" has other columns: {", ".join(told[:SHOWN])}{more};'
        " only NULLABLE columns can be added, and no mode changes a type:"
        " deliver to a new table, or drop this one"
    )


def shipment(
    request: Request,
    outcome: Outcome,
    files: tuple[Path, ...] = (),
    uris: tuple[str, ...] = (),
) -> Shipment:
    """Return the shipment of a produced run, from what is on record and the checked files."""
    if request.spec.delivery is None:
        raise UsageError(f'the action "{request.action}" declares no delivery')
    run = request.run
    return Shipment(
        uid=request.uid,
        owner=owner(request.store, request.service, request.action),
        run=run.label,
        attempt=outcome.attempt or 0,
        date=sortable(run.date),
        n=run.n,
        delivery=request.spec.delivery,
        partition=request.partition,
        files=files,
        uris=uris,
        rows=outcome.rows or 0,
    )
