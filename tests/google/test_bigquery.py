"""BigQuery: jobs by names of our own under every fault, what is made there, and what is told when it refuses."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.bigquery import Client

from foretell.errors import UsageError, WarehouseError
from foretell.service.delivery import Column, Delivery
from foretell.testing.warehouses.shipping import APPEND, DAYS, OTHER, PARTITION, REPLACE, Shipper, ids
from foretell.warehouses.base import Shipment
from foretell.warehouses.bigquery import errors as failures
from foretell.warehouses.bigquery.settings import BigQuerySettings
from foretell.warehouses.bigquery.warehouse import BigQueryWarehouse
from tests.standins.google.bigquery import PROJECT, BigQuery
from tests.standins.google.faults import Fault
from tests.standins.google.storage import Storage


@pytest.fixture
def ship(tmp_path: Path) -> Shipper:
    return Shipper(tmp_path)


@pytest.fixture
def settings(bigquery: BigQuery) -> BigQuerySettings:
    return BigQuerySettings(dataset=f"house_{uuid.uuid4().hex[:12]}", labels={"team": "churn"})


@pytest.fixture
def warehouse(settings: BigQuerySettings) -> BigQueryWarehouse:
    return BigQueryWarehouse(settings)


@pytest.fixture
def client(settings: BigQuerySettings) -> Client:
    return Client(PROJECT, AnonymousCredentials(), location="EU")


def once(settings: BigQuerySettings) -> BigQueryWarehouse:
    """A warehouse without patience: what goes wrong once is told."""
    return BigQueryWarehouse(settings, patience=0, turns=0)


def posts(bigquery: BigQuery, part: str = "") -> list[str]:
    return [seen.target for seen in bigquery.log() if seen.method == "POST" and part in seen.target]


def jobs(client: Client, since: datetime) -> list[Any]:
    """List this test's jobs."""
    return [job for job in client.list_jobs() if job.created >= since.replace(microsecond=0)]


def told_by(warehouse: BigQueryWarehouse, shipment: Shipment) -> WarehouseError | None:
    """Deliver, and give the error that this comes to, if it does."""
    try:
        warehouse.deliver(shipment)
    except WarehouseError as error:
        return error
    return None


# --- a delivery under faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [{"action": "lose"}, {"action": "status", "status": 503}],
    ids=["answer lost", "503"],
)
def test_whatever_request_fails_the_rows_stand_once(
    bigquery: BigQuery, warehouse: BigQueryWarehouse, ship: Shipper, fault: dict[str, Any]
) -> None:
    warehouse.deliver(ship("u0", "first", delivery=APPEND, day="2026-10-01"))
    bigquery.clear()
    warehouse.deliver(ship("u1", "r1", delivery=APPEND, day=DAYS[1]))
    changing = len(posts(bigquery))
    assert changing >= 4  # look, staging table, load, transaction, look
    for number in range(changing):
        bigquery.clear()
        bigquery.fault(Fault(method="POST", skip=number, **fault))
        uid = f"u{number + 2}"
        receipt = warehouse.deliver(ship(uid, f"r{number + 2}", delivery=APPEND, day=DAYS[number + 2]))
        assert (receipt.state, receipt.rows) == ("delivered", 1)
        assert any(seen.fault for seen in bigquery.log())
    assert ids(warehouse) == ["first", *(f"r{number + 1}" for number in range(changing + 1))]


def test_a_lost_answer_is_no_second_job(
    bigquery: BigQuery, warehouse: BigQueryWarehouse, ship: Shipper, client: Client
) -> None:
    began = datetime.now(UTC)
    bigquery.fault(Fault(action="lose", method="POST", match="/upload/"))
    bigquery.fault(Fault(action="lose", method="POST", match=r"/jobs\?", skip=1))  # the first makes the lock
    warehouse.deliver(ship("u1", "a", "b"))
    made = sorted(job.job_id.partition("_u1_")[0] for job in jobs(client, began) if "_u1_" in job.job_id)
    assert made == ["foretell_deliver", "foretell_load"]
    assert [seen.fault for seen in bigquery.log() if seen.fault] == ["lose", "lose"]


def test_a_transaction_that_stops_after_any_statement_leaves_nothing(
    bigquery: BigQuery, settings: BigQuerySettings, ship: Shipper
) -> None:
    patient = BigQueryWarehouse(settings)
    patient.deliver(ship("u0", "first", delivery=PARTITION, day="2026-10-01"))
    stopped = 0
    for number in range(0, 12, 2):
        shipment = ship(f"u{number + 1}", f"r{number:02}", delivery=PARTITION, day=DAYS[number])
        before = ids(patient)
        bigquery.stop_script(number)
        if trouble := told_by(once(settings), shipment):
            assert "on order" in trouble.why
            stopped += 1
            assert ids(patient) == before
        assert patient.deliver(shipment).state == "delivered"
        assert ids(patient) == sorted([*before, f"r{number:02}"])
    assert stopped >= 4


KILLED = """
import os, pickle, signal, sys
import requests
from foretell.warehouses.bigquery.warehouse import BigQueryWarehouse
settings, shipment, point, after = pickle.load(open(sys.argv[1], "rb"))
ask, asked = requests.Session.request, []
def mortal(self, *args, **options):
    asked.append(args)
    if len(asked) == point and not after: os.kill(os.getpid(), signal.SIGKILL)
    answer = ask(self, *args, **options)
    if len(asked) == point and after: os.kill(os.getpid(), signal.SIGKILL)
    return answer
requests.Session.request = mortal
BigQueryWarehouse(settings).deliver(shipment)
"""


def test_killed_between_any_two_requests_and_repeated_the_rows_stand_once(
    warehouse: BigQueryWarehouse,
    settings: BigQuerySettings,
    ship: Shipper,
    tmp_path: Path,
    bigquery: BigQuery,
) -> None:
    warehouse.deliver(ship("u0", "first", delivery=APPEND, day="2026-10-01"))
    killed = 0
    for number, (point, after) in enumerate([(4, True), (5, False), (5, True), (6, True), (7, True)]):
        shipment = ship(f"u{number + 1}", f"r{number}", delivery=APPEND, day=DAYS[number])
        (tmp_path / "job").write_bytes(pickle.dumps((settings, shipment, point, after)))
        command = [sys.executable, "-c", KILLED, str(tmp_path / "job")]
        killed += subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
        assert warehouse.deliver(shipment).state == "delivered"
    assert killed >= 4
    assert ids(warehouse) == ["first", "r0", "r1", "r2", "r3", "r4"]


def test_a_job_that_failed_has_used_up_its_name(
    bigquery: BigQuery, warehouse: BigQueryWarehouse, ship: Shipper, client: Client
) -> None:
    began = datetime.now(UTC)
    bigquery.stop_script(1)
    assert warehouse.deliver(ship("u1", "a")).state == "delivered"
    states = {
        job.job_id[-2:]: job.error_result is None for job in jobs(client, began) if "deliver" in job.job_id
    }
    assert states == {"_1": False, "_2": True}


def test_what_was_loaded_is_not_loaded_again_while_it_is_there(
    bigquery: BigQuery,
    settings: BigQuerySettings,
    warehouse: BigQueryWarehouse,
    ship: Shipper,
    client: Client,
) -> None:
    began, shipment = datetime.now(UTC), ship("u1", "a", "b")
    bigquery.stop_script(1)
    with pytest.raises(WarehouseError):
        once(settings).deliver(shipment)
    (staging,) = [table for table in client.list_tables(settings.dataset) if "staging" in table.table_id]
    kept = client.get_table(staging.reference).expires - datetime.now(UTC)
    assert timedelta(hours=23) < kept < timedelta(hours=25)
    assert warehouse.deliver(shipment).state == "delivered"
    assert len([job for job in jobs(client, began) if job.job_type == "load"]) == 1
    assert not [table for table in client.list_tables(settings.dataset) if "staging" in table.table_id]


def test_what_was_loaded_and_expired_is_loaded_again(
    bigquery: BigQuery,
    settings: BigQuerySettings,
    warehouse: BigQueryWarehouse,
    ship: Shipper,
    client: Client,
) -> None:
    shipment = ship("u1", "a", "b")
    bigquery.stop_script(1)
    with pytest.raises(WarehouseError):
        once(settings).deliver(shipment)
    (staging,) = [table for table in client.list_tables(settings.dataset) if "staging" in table.table_id]
    client.delete_table(staging.reference)
    assert warehouse.deliver(shipment).rows == 2
    assert ids(warehouse) == ["a", "b"]


# --- what the stand-in does where BigQuery documents something ----------------------------------------------------------

SLOW = "SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 2000000)) AS each WHERE MOD(each * each, 7) = 3;"


def at_once(client: Client, script: str) -> list[str]:
    """Run a script twice at once; give the errors."""
    errors: list[str] = []

    def run() -> None:
        job = client.query(script, job_retry=None)
        while job.state != "DONE":
            time.sleep(0.05)
            job.reload()
        if job.error_result:
            errors.append(job.error_result["message"])

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_of_transactions_that_update_a_table_at_once_all_but_one_are_aborted_and_inserts_are_not(
    warehouse: BigQueryWarehouse, settings: BigQuerySettings, ship: Shipper, client: Client
) -> None:
    warehouse.deliver(ship("u1", "a"))
    lock, table = (
        f"`{PROJECT}.{settings.dataset}.{name}`" for name in ("foretell_lock_predictions", "predictions")
    )
    update = f"BEGIN TRANSACTION; UPDATE {lock} SET turn = turn + 1 WHERE TRUE; {SLOW} COMMIT TRANSACTION"
    (error,) = at_once(client, update)
    assert "aborted due to concurrent update" in error
    insert = f"BEGIN TRANSACTION; INSERT INTO {table} (id) VALUES ('b'); {SLOW} COMMIT TRANSACTION"
    assert at_once(client, insert) == []
    assert ids(warehouse) == ["a", "b", "b"]  # so without the lock's update, two deliveries would stand twice


# --- what is made -----------------------------------------------------------------------------------------------------


def test_what_is_made_is_partitioned_clustered_described_and_labelled(
    warehouse: BigQueryWarehouse, settings: BigQuerySettings, ship: Shipper, client: Client
) -> None:
    delivery = Delivery(
        file="p.csv",
        table="predictions",
        columns=(
            Column(name="id", type="STRING", source="id", description="Whose prediction it is"),
            Column(name="label", type="BOOL", source="label", mode="REQUIRED"),
            Column(name="day", type="DATE", source="@date"),
        ),
        mode="partition",
        partition="day",
        granularity="month",
        cluster=("id",),
        description="Who leaves",
    )
    warehouse.deliver(ship("u1", "a", delivery=delivery))
    table = client.get_table(f"{settings.dataset}.predictions")
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("MONTH", "day")
    assert (table.clustering_fields, table.description) == (["id"], "Who leaves")
    assert table.labels == {
        "made_by": "foretell",
        "service": "churn",
        "action": "application",
        "team": "churn",
    }
    assert [field.mode for field in table.schema] == ["NULLABLE", "REQUIRED", "NULLABLE"]
    assert table.schema[0].description == "Whose prediction it is"
    dataset = client.get_dataset(settings.dataset)
    assert (dataset.location, dataset.labels) == ("EU", {"made_by": "foretell", "team": "churn"})
    assert {each.table_id for each in client.list_tables(settings.dataset)} == {
        "predictions",
        "predictions_latest",
        "foretell_ledger",
        "foretell_lock_predictions",
    }


def test_several_files_are_one_delivery(warehouse: BigQueryWarehouse, ship: Shipper) -> None:
    first, second = ship("u1", "a", "b"), ship("u2", "c")
    both = Shipment(
        **{name: getattr(first, name) for name in first.__struct_fields__}
        | {"files": first.files + second.files, "rows": 3}
    )
    assert warehouse.deliver(both).rows == 3
    assert ids(warehouse) == ["a", "b", "c"]


def test_files_in_the_bucket_are_loaded_from_there(
    warehouse: BigQueryWarehouse, ship: Shipper, storage: Storage, bigquery: BigQuery, bucket: str
) -> None:
    shipment = ship("u1", "a", "b")
    storage.write(bucket, "runs/x/000000.parquet", shipment.files[0].read_bytes())
    there = {"files": (), "uris": (f"gs://{bucket}/runs/x/000000.parquet",)}
    known = {name: getattr(shipment, name) for name in shipment.__struct_fields__}
    assert warehouse.deliver(Shipment(**known | there)).state == "delivered"
    assert ids(warehouse) == ["a", "b"]
    assert not posts(bigquery, "/upload/")
    gone = known | {
        "uid": "u2",
        "files": (),
        "uris": (f"gs://{bucket}/runs/x/gone.parquet",),
        "date": DAYS[1],
    }
    trouble = told_by(warehouse, Shipment(**gone))
    assert trouble
    assert "Not found" in trouble.why
    assert [each.uid for each in warehouse.query("predictions").receipts] == ["u1"]


def test_rows_of_partitions_come_newest_first_and_no_more_is_read_than_needed(
    warehouse: BigQueryWarehouse, ship: Shipper
) -> None:
    for number in range(3):
        warehouse.deliver(
            ship(f"u{number}", f"a{number}", f"b{number}", day=DAYS[number], delivery=PARTITION)
        )
    found = warehouse.query("predictions", limit=3)
    assert [row[2] for row in found.rows] == [DAYS[2], DAYS[2], DAYS[1]]
    assert found.total == 6
    assert [row[2] for row in warehouse.query("predictions_latest").rows] == [DAYS[2]] * 2


# --- before a machine is paid for ---------------------------------------------------------------------------------------


def test_a_dataset_elsewhere_is_told(warehouse: BigQueryWarehouse, settings: BigQuerySettings) -> None:
    warehouse.ready(REPLACE, "file:///store")  # makes it, in the EU
    elsewhere = BigQueryWarehouse(BigQuerySettings(dataset=settings.dataset, location="US"))
    with pytest.raises(UsageError, match="is in EU, not in US") as told:
        elsewhere.ready(REPLACE, "file:///store")
    assert 'location = "EU"' in told.value.hint


def test_a_bucket_elsewhere_is_told(warehouse: BigQueryWarehouse, storage: Storage, bucket: str) -> None:
    warehouse.ready(REPLACE, f"gs://{bucket}/runs")  # both in the EU
    far = BigQueryWarehouse(BigQuerySettings(dataset=f"far_{uuid.uuid4().hex[:12]}", location="asia-east1"))
    with pytest.raises(UsageError, match="in asia-east1 does not load from the bucket") as told:
        far.ready(REPLACE, f"gs://{bucket}/runs")
    assert "gcloud storage buckets create gs://NAME --location=asia-east1" in told.value.hint
    with pytest.raises(UsageError, match='there is no bucket "no-such-bucket"'):
        warehouse.ready(REPLACE, "gs://no-such-bucket")


# --- what is told -------------------------------------------------------------------------------------------------------


def test_what_is_not_allowed_is_told_with_the_command_that_mends_it(
    bigquery: BigQuery, settings: BigQuerySettings, ship: Shipper
) -> None:
    bigquery.fault(Fault(action="status", status=403, count=None))
    with pytest.raises(WarehouseError) as told:
        once(settings).deliver(ship("u1", "a"))
    assert f"gcloud projects add-iam-policy-binding {PROJECT}" in told.value.hint
    assert "roles/bigquery.dataEditor" in told.value.hint
    bigquery.clear()
    assert list(once(settings).tables()) == []


def test_a_service_that_is_away_is_waited_for_and_then_told(
    bigquery: BigQuery, settings: BigQuerySettings, ship: Shipper
) -> None:
    warehouse = once(settings)
    bigquery.fault(Fault(action="status", status=503, method="POST", count=None))
    with pytest.raises(WarehouseError, match="stays busy or away"):
        warehouse.deliver(ship("u1", "a"))
    bigquery.clear()
    assert warehouse.deliver(ship("u1", "a")).state == "delivered"


@pytest.mark.parametrize(
    ("reason", "message", "kind", "part"),
    [
        ("quotaExceeded", "Quota exceeded: loads", WarehouseError, "iam-admin/quotas?project=p"),
        (
            "accessDenied",
            "User does not have bigquery.jobs.create permission",
            WarehouseError,
            "bigquery.jobUser",
        ),
        (
            "forbidden",
            "BigQuery API has not been used in project 1",
            WarehouseError,
            "gcloud services enable",
        ),
        ("notFound", "Not found: Project nope", WarehouseError, "bq ls"),
        ("invalidQuery", "Transaction is aborted due to concurrent update", failures.RetryableError, ""),
        ("backendError", "Error encountered during execution", failures.RetryableError, ""),
        ("invalid", "Provided schema does not match", failures.PermanentError, ""),
        (
            "invalidQuery",
            "foretell unfit: Required field id cannot be null at [23:5]",
            failures.SchemaMismatchError,
            "",
        ),
        ("invalidQuery", "foretell unfit: Not found: Table p:d.staging", failures.RetryableError, ""),
        ("invalidQuery", "foretell rows: 1 at [9:1]", WarehouseError, "foretell tidy"),
        ("somethingNew", "what is this", WarehouseError, "foretell doctor"),
    ],
)
def test_what_an_error_of_a_job_means(reason: str, message: str, kind: type[Exception], part: str) -> None:
    found = failures.judged({"reason": reason, "message": message}, project="p", member="user:YOU")
    assert type(found) is kind
    assert part in getattr(found, "hint", "")


def test_no_credentials_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setitem(os.environ, "GOOGLE_APPLICATION_CREDENTIALS", "")
    with pytest.raises(WarehouseError, match="no Google credentials") as told:
        BigQueryWarehouse(BigQuerySettings(dataset="d"), patience=0).tables()
    assert told.value.hint == "gcloud auth application-default login"


def test_a_claim_whose_answer_is_lost_tells_who_was(
    bigquery: BigQuery, warehouse: BigQueryWarehouse, ship: Shipper
) -> None:
    warehouse.deliver(ship("u1", "a"))
    bigquery.fault(Fault(action="lose", method="POST", match=r"/jobs\?"))
    assert warehouse.claim(REPLACE, OTHER) == ("store-1/churn/application",)
