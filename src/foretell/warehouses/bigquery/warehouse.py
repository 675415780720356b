"""
Predictions in a dataset of BigQuery.

The checked files are loaded into a staging table that expires, and from there by one transaction into the table,
together with the ledger's row. Ledger and lock stand in the dataset of the table; see docs/bigquery.md.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC
from typing import TypeVar

import msgspec
from google.api_core.exceptions import Forbidden, NotFound
from google.cloud import bigquery
from google.cloud.bigquery import Client
from google.cloud.bigquery.job import QueryJob
from google.cloud.bigquery.table import Row
from msgspec.structs import replace

from foretell.errors import UsageError, WarehouseError
from foretell.google import credentials
from foretell.google.inspection import Inspection
from foretell.protocol import keys
from foretell.protocol.records import Receipt
from foretell.service.delivery import Delivery
from foretell.system.backoff import Backoff
from foretell.system.check import Check
from foretell.warehouses.base import Rows, SchemaMismatchError, Shipment, Warehouse
from foretell.warehouses.bigquery import checks, withdrawal
from foretell.warehouses.bigquery import location as place
from foretell.warehouses.bigquery import scripts as script
from foretell.warehouses.bigquery import table as tables
from foretell.warehouses.bigquery.dry_run import drawing, shipped
from foretell.warehouses.bigquery.errors import CHANGED, FAILURES, PermanentError, RetryableError, told
from foretell.warehouses.bigquery.jobs import ONCE, REQUEST, RETRY, Jobs
from foretell.warehouses.bigquery.reading import ask, read
from foretell.warehouses.bigquery.settings import BigQuerySettings
from foretell.warehouses.bigquery.staging import stage
from foretell.warehouses.bigquery.table import MADE_BY, Table

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds to begin again while others are in the way, or the service is away."""
BACKOFF = Backoff(first=0.1, longest=5, jitter=0.5)
TURN = Backoff(first=0.75, longest=0.75, jitter=0.67)
"""Between two tries of one transaction: two that met are not to go on meeting."""
TURNS = 5
"""Tries of one transaction again, before everything else is looked at again."""
FIELDS = ("uid", "state", "table", "scope", "owner", "run", "attempt", "rows", "cause", "at")
RECEIPT = ", ".join(f"`{field}`" for field in FIELDS)
"""The ledger's row as Receipt has it."""


class BigQueryWarehouse(Warehouse):
    """The Warehouse in a dataset of BigQuery. `patience` is in seconds, `turns` are tries of one transaction."""

    def __init__(
        self,
        settings: BigQuerySettings,
        *,
        patience: float = PATIENCE,
        turns: int = TURNS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.patience = patience
        self.turns = turns
        self._sleep = sleep

    def deliver(self, shipment: Shipment) -> Receipt:
        return self._patiently(lambda jobs: self._deliver(jobs, shipment))

    def withdraw(self, shipment: Shipment) -> Receipt:
        def settle(jobs: Jobs) -> Receipt:
            table = self._table(jobs, shipment.delivery.table)
            self._make(jobs, table)
            asked = withdrawal.transaction(jobs, table, shipment)
            return self._transact(jobs, table, shipment, asked, stands=withdrawal.settled)

        return self._patiently(settle)

    def held(self, shipment: Shipment) -> str:
        def see(jobs: Jobs) -> str:
            table = self._table(jobs, shipment.delivery.table)
            return withdrawal.held(jobs, table, shipment)

        return self._patiently(see)

    def query(self, table: str, *, limit: int | None = 20) -> Rows:
        rows = self._patiently(lambda jobs: self._rows(jobs, self._table(jobs, table), limit))
        if rows is None:
            known = ", ".join(self.tables())
            raise UsageError(
                f'there is no table "{table}"',
                where=f"the dataset {self.settings.dataset}",
                why=f"there is {known}" if known else "nothing was delivered there",
                hint="run the action that delivers it",
            )
        return rows

    def claim(self, delivery: Delivery, owner: str) -> tuple[str, ...]:
        own = keys.nonce()

        def take(jobs: Jobs) -> tuple[str, ...]:
            table = self._table(jobs, delivery.table)
            self._make(jobs, table)
            values = {"table": table.key, "owner": owner}
            done = self._run(jobs, f"foretell_claim_{own}", script.sql("claim", table), values)
            return tuple(row["owner"] for row in done.result(timeout=REQUEST, job_retry=None))

        return self._patiently(take)

    def tables(self) -> Sequence[str]:
        def find(jobs: Jobs) -> list[str]:
            query = f"SELECT DISTINCT `table` FROM {{}} WHERE {script.LAID}"
            ledgers = [ledger.sql for ledger in self._ledgers(jobs)]
            found = [row["table"] for ledger in ledgers for row in ask(jobs, query.format(ledger), {})]
            return [self._shown(key) for key in sorted(found)]

        return self._patiently(find)

    def ready(self, delivery: Delivery, store: str) -> None:
        def see(jobs: Jobs) -> None:
            table = self._table(jobs, delivery.table)
            self._dataset(jobs, table)
            if store.startswith("gs://"):
                place.must_be_readable(store, location=self.settings.location, dataset=table.dataset)

        self._patiently(see)

    def plan(self, shipment: Shipment) -> Sequence[Mapping[str, object]]:
        with drawing(self.settings) as (client, drawn), shipped(shipment) as whole:
            jobs = Jobs(client, member="")
            table = self._table(jobs, whole.delivery.table)
            self._make(jobs, table)
            self._shape(jobs, table, whole)
            put = script.put(table, whole.delivery, stage(jobs, table, whole))
            self._run(jobs, *self._transaction(table, whole, put))
        return drawn

    def google_services(self) -> Iterator[str]:
        yield "bigquery.googleapis.com"

    def access(self, look: Inspection) -> Iterator[Check]:
        yield checks.access(look)

    def checks(self, look: Inspection | None) -> Iterator[Check]:
        if look:
            yield checks.dataset(self.settings, look)

    # --- one delivery -----------------------------------------------------------------------------------------

    def _deliver(self, jobs: Jobs, shipment: Shipment) -> Receipt:
        """Look whether there is anything to do, stage the rows, and decide."""
        table = self._table(jobs, shipment.delivery.table)
        self._make(jobs, table)
        (seen,) = ask(jobs, script.peek(table, RECEIPT), script.values(table, shipment))
        if seen["uid"] is not None:
            return self._told(seen)
        if seen["expected"] != "delivered":
            return self._decide(jobs, table, shipment)
        staging: list[Table] = []
        try:
            with _last_word(jobs):
                self._shape(jobs, table, shipment)
                staging += stage(jobs, table, shipment)
            receipt = self._decide(jobs, table, shipment, put=script.put(table, shipment.delivery, staging))
        except SchemaMismatchError as no:
            return self._decide(jobs, table, shipment, rejected=_refused(shipment, no))
        for each in staging:
            with suppress(*FAILURES):  # it expires in any case
                jobs.client.delete_table(each.id, not_found_ok=True, retry=ONCE, timeout=REQUEST)
        return receipt

    def _shape(self, jobs: Jobs, table: Table, shipment: Shipment) -> None:
        """Make table and view where they are missing, with columns that were gained: a transaction cannot."""
        delivery = shipment.delivery
        changed = tables.shape(jobs.client, table, shipment, self.settings.labels)
        view = table.beside(f"{table.name}_latest")
        if delivery.mode == "partition" and (changed or not tables.knows(jobs.client, view, script.LEDGER)):
            text = script.sql("latest", table, **tables.latest(table, delivery))
            self._run(jobs, f"foretell_view_{keys.nonce()}", text, {})

    def _decide(
        self, jobs: Jobs, table: Table, shipment: Shipment, *, put: str = "", rejected: str = ""
    ) -> Receipt:
        """The one transaction of the protocol. Without anything to put, it is for a verdict that is known before."""
        return self._transact(jobs, table, shipment, self._transaction(table, shipment, put, rejected))

    def _transact(
        self,
        jobs: Jobs,
        table: Table,
        shipment: Shipment,
        transaction: tuple[str, str, dict[str, str | int]],
        stands: Callable[[Receipt], bool] = lambda _: True,
    ) -> Receipt:
        """Have a transaction done in the table's turn, and give the ledger's row; `stands` says whether it is in it."""
        stem, text, values = transaction

        def written() -> Receipt | None:
            return self._receipt(jobs, script.ledger_of(table), shipment.uid)

        def done(_: object) -> bool:
            receipt = written()
            return receipt is not None and stands(receipt)

        pauses = itertools.islice(TURN.pauses(), self.turns)
        while True:
            try:
                self._run(jobs, stem, text, values, stands=done)
                break
            except RetryableError as error:  # most likely another has the turn; what is staged is still good
                pause = next(pauses, None)
                if pause is None or CHANGED in str(error):
                    raise
                self._sleep(pause)
        receipt = written()
        if receipt is None:
            raise RetryableError("the ledger does not show what was just written")
        return receipt

    @staticmethod
    def _transaction(
        table: Table, shipment: Shipment, put: str, rejected: str = ""
    ) -> tuple[str, str, dict[str, str | int]]:
        """Return the stem of its job's name, its script and its values."""
        verb = "reject" if rejected else "deliver"
        stem = f"foretell_{verb}_{shipment.uid}_{script.mark(table.key)}"
        return stem, script.deliver(table, put), script.values(table, shipment, rejected=rejected)

    # --- what is there ----------------------------------------------------------------------------------------

    def _make(self, jobs: Jobs, table: Table) -> None:
        """Make dataset, ledger and lock where they are missing; the lock comes last, so where it is, all are."""
        lock = script.lock_of(table)
        if tables.find(jobs.client, lock):
            return
        self._dataset(jobs, table)
        ledger = tables.ledger(script.ledger_of(table))
        jobs.client.create_table(ledger, exists_ok=True, retry=ONCE, timeout=REQUEST)

        def stands(_: object) -> bool:
            return tables.find(jobs.client, lock) is not None

        stem = f"foretell_lock_{script.mark(table.key)}"
        self._run(jobs, stem, script.sql("lock", table), {}, stands=stands)

    def _dataset(self, jobs: Jobs, table: Table) -> None:
        """Make the dataset where it is missing; UsageError where it is in another location than declared."""
        whole = f"{table.project}.{table.dataset}"
        try:
            there = jobs.client.get_dataset(whole, retry=RETRY, timeout=REQUEST)
        except NotFound:
            made = bigquery.Dataset(whole)
            made.location = self.settings.location
            made.description = "Made by Foretell, for predictions"
            made.labels = {**MADE_BY, **self.settings.labels}
            there = jobs.client.create_dataset(made, exists_ok=True, retry=ONCE, timeout=REQUEST)
        place.must_be_the_same(there.location, declared=self.settings.location, dataset=table.dataset)

    def _ledgers(self, jobs: Jobs) -> Iterator[Table]:
        """Return the ledgers of the project, that of the warehouse's own dataset first."""
        found = [self.settings.dataset]
        with suppress(Forbidden):
            listed = jobs.client.list_datasets(retry=RETRY, timeout=REQUEST)
            found += [each.dataset_id for each in listed if each.dataset_id != self.settings.dataset]
        for dataset in found:
            ledger = Table(jobs.client.project, dataset, script.LEDGER)
            if tables.find(jobs.client, ledger):
                yield ledger

    def _receipt(self, jobs: Jobs, ledger: Table, uid: str) -> Receipt | None:
        query = f"SELECT {RECEIPT} FROM {ledger.sql} WHERE uid = @uid"
        rows = ask(jobs, query, {"uid": uid})
        return self._told(rows[0]) if rows else None

    def _told(self, row: Row) -> Receipt:
        fields = {field: row[field] for field in FIELDS}
        at = row["at"].astimezone(UTC).isoformat(timespec="milliseconds")
        return msgspec.convert(fields | {"table": self._shown(row["table"]), "at": at}, Receipt)

    def _rows(self, jobs: Jobs, table: Table, limit: int | None) -> Rows | None:
        there = tables.find(jobs.client, table)
        if there is None:
            return None
        ledger = script.ledger_of(table)
        standing: list[Receipt] = []
        if tables.find(jobs.client, ledger):
            query = script.sql("standing", table, receipt=RECEIPT)
            standing = [self._told(row) for row in ask(jobs, query, {"table": table.key})]
        found, total = read(jobs, table, there, standing, limit)
        return Rows(
            table=self._shown(table.key),
            columns=tuple(field.name for field in there.schema),
            rows=tuple(tuple(map(tables.plain, row.values(), there.schema)) for row in found),
            total=total,
            receipts=tuple(standing),
        )

    def _table(self, jobs: Jobs, name: str) -> Table:
        dataset, _, table = name.rpartition(".")
        return Table(jobs.client.project, dataset or self.settings.dataset, table)

    def _shown(self, key: str) -> str:
        return key.removeprefix(f"{self.settings.dataset}.")

    # --- asking -----------------------------------------------------------------------------------------------

    def _run(
        self,
        jobs: Jobs,
        stem: str,
        text: str,
        values: Mapping[str, str | int],
        *,
        stands: Callable[[QueryJob], bool] = lambda _: True,
    ) -> QueryJob:
        """Run a script that changes something, once."""

        def asked(name: str) -> QueryJob:
            config = script.parameters(values)
            return jobs.client.query(
                text, job_id=name, job_config=config, retry=ONCE, timeout=REQUEST, job_retry=None
            )

        return jobs.finish(stem, asked, same=lambda job: job.query == text, stands=stands)

    def _patiently(self, work: Callable[[Jobs], T]) -> T:
        """Begin again for as long as another is in the way; WarehouseError when patience or hope ends."""
        pauses = replace(BACKOFF, patience=self.patience).pauses(since=time.monotonic())
        while True:
            try:
                with self._open() as jobs:
                    return work(jobs)
            except RetryableError as error:
                pause = next(pauses, None)
                if pause is None:
                    raise WarehouseError(
                        f"BigQuery stays busy or away for {self.patience:.0f} s",
                        where=f"the dataset {self.settings.dataset}",
                        why=str(error),
                        hint="deliver again with `foretell tidy`",
                    ) from error
            self._sleep(pause)

    @contextmanager
    def _open(self) -> Iterator[Jobs]:
        """Connect for one piece of work, and say what its failures mean."""
        project, member = self.settings.project or "", ""
        try:
            identity, usual = place.identity()
            project, member = self.settings.project or usual, credentials.member(identity)
            location = self.settings.location
            with Client(
                project=project,
                credentials=identity,
                location=location,
                client_options=place.options(),
            ) as client:
                yield Jobs(client, member=member, sleep=self._sleep)
        except FAILURES as error:
            raise told(error, project=project, member=member) from error


@contextmanager
def _last_word(jobs: Jobs) -> Iterator[None]:
    """Take what BigQuery finds wrong with data and shapes in here for its last word about these rows."""
    try:
        yield
    except (PermanentError, *FAILURES) as no:
        said = (
            no
            if isinstance(no, PermanentError)
            else told(no, project=jobs.client.project, member=jobs.member)
        )
        if isinstance(said, PermanentError):
            raise SchemaMismatchError(said.why) from no
        raise said from no


def _refused(shipment: Shipment, no: SchemaMismatchError) -> str:
    return f'the table "{shipment.delivery.table}" does not take the rows: {no}'
