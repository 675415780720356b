"""One authorised way to Google's services: what it repeats, what it says, and what the stand-in refuses."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from foretell.google.errors import Category, Failure
from foretell.google.rest import Rest
from tests.standins.google.cloud import PROJECT, Cloud
from tests.standins.google.standin import Misbehaviour

ZONE = "europe-west1-b"
INSTANCES = f"projects/{PROJECT}/zones/{ZONE}/instances"


def body(name: str = "one", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "machineType": f"zones/{ZONE}/machineTypes/n1-standard-1",
        "disks": [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": "an-image"}}],
        "networkInterfaces": [{"network": "global/networks/default"}],
        **more,
    }


def test_a_request_carries_credentials_found_as_googles_own_clients_find_them(cloud: Cloud) -> None:
    rest = Rest()
    assert rest.get("compute", INSTANCES) == {"items": []}
    assert rest.project == PROJECT
    assert [seen.who for seen in cloud.stand_in.seen("compute.*")] == ["launcher"]


def test_another_account_is_acted_as_where_that_is_asked_for(cloud: Cloud) -> None:
    account = "maker@example-project.iam.gserviceaccount.com"
    assert Rest(impersonate=account).get("compute", INSTANCES) == {"items": []}
    assert [seen.who for seen in cloud.stand_in.seen("compute.*")] == [account]
    assert [seen.who for seen in cloud.stand_in.seen("iamcredentials.*")] == ["launcher"]


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (403, "rateLimitExceeded", Category.BUSY),
        (429, "", Category.BUSY),
        (403, "forbidden", Category.DENIED),
        (403, "quotaExceeded", Category.QUOTA),
        (401, "", Category.DENIED),
        (404, "", Category.ABSENT),
        (409, "", Category.EXISTS),
        (412, "", Category.INVALID),
        (503, "", Category.AWAY),
    ],
)
def test_a_failure_is_told_apart_by_status_and_reason(
    cloud: Cloud, status: int, reason: str, kind: Category
) -> None:
    cloud.stand_in.misbehave(Misbehaviour(method="*", how="refuse", count=None, status=status, reason=reason))
    said = Rest().call("GET", "compute", INSTANCES)
    assert isinstance(said, Failure)
    assert (said.category, said.status, said.passes) == (kind, status, kind in (Category.BUSY, Category.AWAY))
    assert "as the test wants it" in said.why


@pytest.mark.parametrize("how", ["drop", "lose", "refuse"])
def test_what_passes_is_asked_again_where_that_is_safe(cloud: Cloud, how: Any) -> None:
    cloud.stand_in.misbehave(Misbehaviour(method="compute.instances.list", how=how, count=2))
    assert Rest(sleep=lambda _: None).get("compute", INSTANCES) == {"items": []}
    assert len(cloud.stand_in.seen("compute.instances.list")) == 3


def test_what_is_not_safe_to_repeat_is_sent_once(cloud: Cloud) -> None:
    cloud.stand_in.misbehave(Misbehaviour(method="compute.instances.insert", how="lose"))
    said = Rest().call("POST", "compute", INSTANCES, body=body())
    assert isinstance(said, Failure)
    assert said.category is Category.AWAY
    assert len(cloud.stand_in.seen("compute.instances.insert")) == 1
    assert [machine.name for machine in cloud.compute.machines.values()] == ["one"]


def test_patience_ends(cloud: Cloud) -> None:
    cloud.stand_in.misbehave(Misbehaviour(method="*", how="refuse", count=None))
    began = time.monotonic()
    said = Rest(patience=0.6).get("compute", INSTANCES)
    assert isinstance(said, Failure)
    assert said.status == 503
    assert time.monotonic() - began < 5
    assert len(cloud.stand_in.seen("compute.*")) > 1


def test_no_credentials_are_a_failure_with_a_reason(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    said = Rest().get("compute", INSTANCES)
    assert isinstance(said, Failure)
    assert (said.category, said.reason) == (Category.DENIED, "credentials")


def test_all_pages_of_a_list_are_read(cloud: Cloud) -> None:
    for number in range(5):
        assert not isinstance(Rest().call("POST", "compute", INSTANCES, body=body(f"m{number}")), Failure)
    pages = list(Rest().pages("compute", INSTANCES, {"maxResults": 2}))
    assert [len(page["items"]) for page in pages if not isinstance(page, Failure)] == [2, 2, 1]


# --- the stand-in is strict ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"machinType": "x"}, "unknown field 'machinType'"),
        ({"disks": [{"boot": "yes"}]}, "expected boolean"),
        ({"scheduling": {"provisioningModel": "CHEAP"}}, "none of the enum"),
        ({"name": "Capital"}, "name"),
        ({"name": "x" * 64}, "name"),
        ({"disks": []}, "boot disk"),
        ({"networkInterfaces": []}, "network interface"),
        ({"machineType": "n1-standard-1"}, "machineType"),
        ({"labels": {"a": "Not"}}, "labels"),
        ({"metadata": {"items": [{"key": "gce-container-declaration", "value": ""}]}}, "startup agent"),
        ({"scheduling": {"maxRunDuration": {"seconds": "29"}}}, "maxRunDuration"),
        ({"scheduling": {"provisioningModel": "SPOT"}}, "Spot machines"),
        ({"guestAccelerators": [{"acceleratorCount": 1}]}, "live migration"),
        ({"serviceAccounts": [{"email": "a@b.c"}]}, "scopes"),
    ],
)
def test_the_stand_in_refuses_what_google_would(cloud: Cloud, more: dict[str, Any], why: str) -> None:
    cloud.stand_in.tolerates.append("compute.instances.insert")
    said = Rest().call("POST", "compute", INSTANCES, body=body(**{"name": "one", **more}))
    assert isinstance(said, Failure)
    assert said.status == 400
    assert why in said.message
    assert not cloud.compute.machines


def test_the_stand_in_refuses_what_is_described_nowhere(cloud: Cloud) -> None:
    said = Rest().get("compute", "projects/p/machines")
    assert isinstance(said, Failure)
    assert said.status == 404
    assert cloud.stand_in.complaints.pop()
    said = Rest().get("compute", INSTANCES, {"fliter": "x"})
    assert isinstance(said, Failure)
    assert "unknown parameter 'fliter'" in said.message
    assert cloud.stand_in.complaints.pop()


def test_the_same_request_id_is_the_same_operation_and_no_second_machine(cloud: Cloud) -> None:
    query = {"requestId": str(uuid.uuid4())}
    first, second = (Rest().call("POST", "compute", INSTANCES, body=body(), query=query) for _ in range(2))
    assert not isinstance(first, Failure)
    assert not isinstance(second, Failure)
    assert first["name"] == second["name"]
    third = Rest().call("POST", "compute", INSTANCES, body=body())
    assert isinstance(third, Failure)
    assert (third.category, third.reason) == (Category.EXISTS, "alreadyExists")


def test_logs_secrets_and_a_look_around_are_answered(cloud: Cloud) -> None:
    rest = Rest()
    entry = {"severity": "INFO", "jsonPayload": {"message": "hello"}, "labels": {"run": "r"}}
    told = {
        "logName": f"projects/{PROJECT}/logs/foretell",
        "resource": {"type": "global"},
        "entries": [entry],
        "labels": {"service": "toy"},
    }
    assert rest.call("POST", "logging", "v2/entries:write", body=told) == {}
    assert cloud.services.entries[0]["labels"] == {"service": "toy", "run": "r"}
    bad = rest.call("POST", "logging", "v2/entries:write", body={**told, "resource": {}})
    assert isinstance(bad, Failure)
    name = f"projects/{PROJECT}/secrets/key/versions/3"
    missing = rest.get("secretmanager", f"v1/{name}:access")
    assert isinstance(missing, Failure)
    assert missing.category is Category.ABSENT
    cloud.services.secrets[name] = b"hush"
    found = rest.get("secretmanager", f"v1/{name}:access")
    assert not isinstance(found, Failure)
    assert found["payload"]["data"] == "aHVzaA=="
    cloud.services.denied.add("compute.instances.create")
    held = rest.call(
        "POST",
        "cloudresourcemanager",
        f"v1/projects/{PROJECT}:testIamPermissions",
        body={"permissions": ["compute.instances.create", "compute.instances.get"]},
    )
    assert held == {"permissions": ["compute.instances.get"]}
    cloud.services.enabled = {"compute.googleapis.com"}
    names = [f"projects/{PROJECT}/services/{name}.googleapis.com" for name in ("compute", "logging")]
    told_services = rest.get("serviceusage", f"v1/projects/{PROJECT}/services:batchGet", {"names": names})
    assert not isinstance(told_services, Failure)
    assert [service["state"] for service in told_services["services"]] == ["ENABLED", "DISABLED"]


def test_the_credentials_of_a_person_are_read_without_asking_gcloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """google-auth asks it for a project that nobody needs, and that takes a second."""
    told = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    (tmp_path / "application_default_credentials.json").write_text(json.dumps(told))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    rest = Rest()
    assert rest.project == ""
    assert rest._connection.session.credentials.refresh_token == "r"
    (tmp_path / "application_default_credentials.json").write_text("no json")
    answer = Rest().get("storage", "b/x")
    assert isinstance(answer, Failure)
    assert (answer.category, answer.reason) == (Category.DENIED, "credentials")
