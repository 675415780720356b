"""What the doctor finds in a project: each thing as ok, or with the gcloud command that mends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foretell import load
from foretell.doctor.kinds import image, kinds
from foretell.platforms.compute_engine.checks import needs as needs_of
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.system.check import Check
from foretell.warehouses.bigquery.location import readable
from tests.standins.google.cloud import PROJECT, Cloud
from tests.standins.google.standin import Misbehaviour

SERVICE = f"""\
name = "toy"
[actions.training]
command = "true"
[actions.application]
command = "true"
secrets = {{TOKEN = "projects/{PROJECT}/secrets/token/versions/3"}}
[actions.application.delivery]
file = "p.csv"
columns = "a:STRING"
[image]
registry = "europe-docker.pkg.dev/{PROJECT}/services"
[targets.production]
store = "gs://toy-bucket"
[targets.production.platform]
kind = "compute-engine"
project = "{PROJECT}"
zones = ["europe-west1-b"]
service_account = "machine@{PROJECT}.iam.gserviceaccount.com"
external_ip = false
subnet = "private"
[targets.production.warehouse]
kind = "bigquery"
dataset = "toy"
location = "EU"
"""
SECRET = f"projects/{PROJECT}/secrets/token/versions/3"
REPOSITORY = f"projects/{PROJECT}/locations/europe/repositories/services"
DIGEST = "sha256:" + "0" * 64


def mend(cloud: Cloud) -> None:
    """Make it a project in which nothing is missing."""
    cloud.clear()
    cloud.services.secrets[SECRET] = b"value"
    cloud.services.repositories.add(REPOSITORY)
    cloud.services.buckets["toy-bucket"] = {"location": "EU"}
    cloud.services.datasets["toy"] = "EU"


@pytest.fixture
def sound(cloud: Cloud) -> Cloud:
    """A project in which nothing is missing."""
    mend(cloud)
    return cloud


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., dict[str, list[Check]]]:
    def found(old: str = "", new: str = "") -> dict[str, list[Check]]:
        (tmp_path / "foretell.toml").write_text(SERVICE.replace(old, new) if old else SERVICE)
        (tmp_path / "foretell.lock").write_text(
            f'[production]\nimage = "europe-docker.pkg.dev/{PROJECT}/services/toy@{DIGEST}"\n'
            'tag = "t"\nfingerprint = "0"\nrevision = ""\n'
        )
        service = load(tmp_path)
        told: dict[str, list[Check]] = {}
        for check in kinds(service, service.targets["production"]):
            told.setdefault(check.name, []).append(check)
        return told

    return found


Found = Callable[..., dict[str, list[Check]]]


def test_where_nothing_is_missing_all_is_ok(sound: Cloud, look: Found) -> None:
    told = look()
    assert {check.state for checks in told.values() for check in checks} == {"ok"}
    assert list(told) == [
        "credentials", "services", "permissions", "account", "rows", "bucket",
        "dataset", "registry", "machine", "subnet", "secret", "image",
    ]  # fmt: skip


MENDED: dict[str, tuple[Callable[[Cloud], object], str, str]] = {
    "service": (
        lambda cloud: setattr(cloud.services, "enabled", {"compute.googleapis.com"}),
        "services",
        "gcloud services enable serviceusage.googleapis.com storage.googleapis.com",
    ),
    "launcher": (
        lambda cloud: cloud.services.denied.add("compute.instances.create"),
        "permissions",
        f"gcloud projects add-iam-policy-binding {PROJECT} --member=",
    ),
    "account": (
        lambda cloud: cloud.services.denied.add("iam.serviceAccounts.actAs"),
        "account",
        f"gcloud iam service-accounts add-iam-policy-binding machine@{PROJECT}.iam.gserviceaccount.com",
    ),
    "objects": (
        lambda cloud: cloud.services.denied.add("storage.objects.delete"),
        "bucket",
        "gcloud storage buckets add-iam-policy-binding gs://toy-bucket",
    ),
    "bucket": (
        lambda cloud: cloud.services.buckets.clear(),
        "bucket",
        "gcloud storage buckets create gs://toy-bucket --location=EU",
    ),
    "dataset elsewhere": (
        lambda cloud: cloud.services.datasets.update(toy="US"),
        "dataset",
        'set location = "US"',
    ),
    "bucket elsewhere": (
        lambda cloud: cloud.services.buckets["toy-bucket"].update(location="US-CENTRAL1"),
        "dataset",
        "gcloud storage buckets create gs://NAME --location=EU",
    ),
    "registry": (
        lambda cloud: cloud.services.repositories.clear(),
        "registry",
        f"gcloud artifacts repositories create services --repository-format=docker --location=europe --project={PROJECT}",
    ),
    "secret": (
        lambda cloud: cloud.services.secrets.clear(),
        "secret",
        f"gcloud secrets versions add token --project={PROJECT}",
    ),
}


@pytest.mark.parametrize(("spoil", "name", "fix"), MENDED.values(), ids=MENDED)
def test_what_is_missing_comes_with_the_command_that_mends_it(
    sound: Cloud, look: Found, spoil: Callable[[Cloud], object], name: str, fix: str
) -> None:
    spoil(sound)
    told = look()
    (check,) = [check for check in told[name] if check.state != "ok"]
    assert check.state == "missing"
    assert check.fix.startswith(fix)
    others = [one for key, checks in told.items() for one in checks if key != name and one.state == "missing"]
    assert others == []


def test_soft_delete_is_warned_of(sound: Cloud, look: Found) -> None:
    sound.services.buckets["toy-bucket"]["softDeletePolicy"] = {"retentionDurationSeconds": "604800"}
    (check,) = look()["soft delete"]
    assert check.state == "warning"
    assert "for 7 days" in check.detail
    assert check.fix == "gcloud storage buckets update gs://toy-bucket --clear-soft-delete"


def test_without_an_image_it_is_to_be_built(sound: Cloud, tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text(SERVICE)
    service = load(tmp_path)
    check = image(tmp_path, service.targets["production"])
    assert (check.state, check.fix) == ("missing", "foretell build --push --on production")


def test_without_an_account_of_its_own_a_machine_may_do_too_much(sound: Cloud, look: Found) -> None:
    told = look(f'service_account = "machine@{PROJECT}.iam.gserviceaccount.com"\n', "")
    assert told["account"][0].state == "warning"


def test_a_machine_type_that_is_not_to_be_had_is_told(sound: Cloud, look: Found) -> None:
    told = look('zones = ["europe-west1-b"]', 'zones = ["europe-west1-b"]\nmachine_type = "n9-imaginary-4"')
    (check,) = told["machine"]
    assert check.state == "missing"
    assert check.fix == f"gcloud compute machine-types list --zones=europe-west1-b --project={PROJECT}"


@pytest.mark.parametrize("method", ["cloudresourcemanager*", "serviceusage*", "storage*", "compute.regions*"])
def test_what_may_not_be_looked_at_is_a_warning(sound: Cloud, look: Found, method: str) -> None:
    sound.stand_in.misbehave(Misbehaviour(method=method, how="refuse", status=403, count=None))
    told = look()
    states = {check.state for checks in told.values() for check in checks}
    assert states == {"ok", "warning"}
    assert all(check.fix for checks in told.values() for check in checks if check.state != "ok")


def test_without_credentials_it_says_how_to_get_them(
    sound: Cloud, look: Found, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"):
        monkeypatch.setenv(name, "127.0.0.1:9")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    told = look()
    assert list(told) == ["credentials"]
    assert told["credentials"][0].fix == "gcloud auth application-default login"


# --- pure -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bucket", "dataset", "fits"),
    [
        ("EU", "EU", True),
        ("europe-west1", "EU", True),
        ("EUROPE-WEST2", "EU", False),
        ("EUR4", "EU", True),
        ("US", "EU", False),
        ("asia-east1", "US", True),
        ("EUROPE-WEST1", "europe-west1", True),
        ("EUROPE-WEST4", "europe-west1", False),
        ("EU", "europe-west1", False),
    ],
)
def test_a_bucket_goes_with_a_dataset(bucket: str, dataset: str, *, fits: bool) -> None:
    assert readable(bucket, dataset) == fits


KNOWN = dict.fromkeys(
    (
        "CPUS",
        "N2_CPUS",
        "PREEMPTIBLE_CPUS",
        "INSTANCES",
        "IN_USE_ADDRESSES",
        "NVIDIA_T4_GPUS",
        "NVIDIA_L4_GPUS",
    ),
    8.0,
)


@pytest.mark.parametrize(
    ("kind", "more", "needs"),
    [
        ("n1-standard-4", {}, {"CPUS": 4, "IN_USE_ADDRESSES": 1}),
        ("n2-standard-4", {"external_ip": False}, {"N2_CPUS": 4}),
        ("c9-standard-4", {"external_ip": False}, {"CPUS": 4}),
        ("n2-standard-4", {"spot": True, "external_ip": False}, {"PREEMPTIBLE_CPUS": 4}),
        (
            "n1-standard-4",
            {"accelerators": {"nvidia-tesla-t4": 2}, "external_ip": False},
            {"CPUS": 4, "NVIDIA_T4_GPUS": 2},
        ),
    ],
)
def test_a_machine_takes_of_its_own_quotas(
    kind: str, more: dict[str, object], needs: dict[str, float]
) -> None:
    settings = ComputeEngineSettings(project="p", zones=("z-1-b",), **more)
    assert needs_of(settings, kind, 4, KNOWN) == {**needs, "INSTANCES": 1}
