"""Staging: the checked files, loaded into tables that expire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.cloud.bigquery import Client, LoadJob, LoadJobConfig
from google.cloud.bigquery.format_options import ParquetOptions

from foretell.errors import WarehouseError
from foretell.google.labels import label
from foretell.warehouses.base import Shipment
from foretell.warehouses.bigquery import table as tables
from foretell.warehouses.bigquery.errors import miscounted
from foretell.warehouses.bigquery.jobs import ONCE, REQUEST, Jobs
from foretell.warehouses.bigquery.scripts import mark
from foretell.warehouses.bigquery.table import MADE_BY, Table

STAGING = "foretell_staging_"
KEPT = timedelta(days=1)
"""How long a staging table stays if nobody is left to remove it."""


def stage(jobs: Jobs, table: Table, shipment: Shipment) -> list[Table]:
    """Load the checked files, and give the tables that hold them once they hold as many rows as were checked."""
    if not shipment.rows:
        return []
    parts = 1 if shipment.uris else len(shipment.files)
    loads = [Load(jobs.client, table, shipment, part) for part in range(parts)]
    done = [jobs.finish(load.stem, load.ask, same=load.same, stands=load.stands) for load in loads]
    rows = sum(job.output_rows or 0 for job in done)
    if rows != shipment.rows:
        raise miscounted(str(rows))
    return [load.staging(job.job_id) for load, job in zip(loads, done, strict=True)]


class Load:
    """
    The load job of one part of a shipment: all its files in the store, or one of this machine.

    Every number of a job has a staging table of its own, which nothing else writes to.
    """

    def __init__(self, client: Client, table: Table, shipment: Shipment, part: int) -> None:
        self._client = client
        self._table = table
        self._shipment = shipment
        self._part = part
        self.stem = f"foretell_load_{shipment.uid}_{mark(table.key)}_{part}"

    def staging(self, job: str) -> Table:
        """Return the table that the job of a name fills."""
        return self._table.beside(f"{STAGING}{job.removeprefix('foretell_load_')}")

    def ask(self, name: str) -> LoadJob:
        staging = self.staging(name)
        described = tables.staged(staging, self._shipment.delivery.columns, datetime.now(UTC) + KEPT)
        self._client.create_table(described, exists_ok=True, retry=ONCE, timeout=REQUEST)
        config = LoadJobConfig(
            source_format="PARQUET",
            schema=described.schema,
            create_disposition="CREATE_NEVER",
            write_disposition="WRITE_EMPTY",
            decimal_target_types=["NUMERIC", "BIGNUMERIC"],
            labels={**MADE_BY, "run": label(self._shipment.run)},
        )
        config.parquet_options = ParquetOptions()
        config.parquet_options.enable_list_inference = True
        if self._shipment.uris:
            return self._client.load_table_from_uri(
                list(self._shipment.uris),
                staging.id,
                job_id=name,
                job_config=config,
                retry=ONCE,
                timeout=REQUEST,
            )
        return self._upload(staging, name, config)

    def _upload(self, staging: Table, name: str, config: LoadJobConfig) -> LoadJob:
        path = self._shipment.files[self._part]
        try:
            opened, size = path.open("rb"), path.stat().st_size
        except OSError as error:
            raise WarehouseError(
                f'the checked file "{path.name}" cannot be read', where=str(path), why=error.strerror or ""
            ) from error
        with opened as file:
            return self._client.load_table_from_file(
                file, staging.id, job_id=name, job_config=config, size=size, timeout=REQUEST
            )

    def same(self, job: LoadJob) -> bool:
        staging = self.staging(job.job_id)
        into = (job.destination.project, job.destination.dataset_id, job.destination.table_id)
        return into == (staging.project, staging.dataset, staging.name) and tuple(
            job.source_uris or ()
        ) == tuple(self._shipment.uris)

    def stands(self, job: LoadJob) -> bool:
        """Whether what was loaded is still there: a staging table expires, and is removed by who has delivered."""
        there = tables.find(self._client, self.staging(job.job_id))
        return there is not None and there.num_rows == job.output_rows
