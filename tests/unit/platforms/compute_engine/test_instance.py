"""The instance that a launch asks for, held against Google's own description; and what ends it, whatever is set."""

from __future__ import annotations

from typing import Any

from foretell.platforms.compute_engine import instance
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.protocol.records import Launch
from tests.support.records import IMAGE, RUN, STORE, launch, request_on, settings


def body(platform: ComputeEngineSettings, asked: Launch | None = None, **more: Any) -> dict[str, Any]:
    asked = asked or launch()
    return instance.body(platform, request_on(platform, **more), asked, zone="europe-west1-b", store=STORE)


def told(made: dict[str, Any]) -> dict[str, str]:
    return {item["key"]: item["value"] for item in made["metadata"]["items"]}


def test_a_machine_ends_by_itself_whatever_is_set() -> None:
    everything = {
        "name": "mine",
        "scheduling": {
            "maxRunDuration": {"seconds": "1"},
            "terminationTime": "2030-01-01T00:00:00Z",
            "instanceTerminationAction": "STOP",
            "automaticRestart": True,
            "provisioningModel": "FLEX_START",
            "minNodeCpus": 1,
        },
        "disks": [{"boot": True, "autoDelete": False, "initializeParams": {"sourceImage": "mine"}}],
        "labels": {"team": "a", "foretell_run": "another"},
        "metadata": {"items": [{"key": "foretell-store", "value": "another"}, {"key": "mine", "value": "1"}]},
    }
    made = body(settings(body=everything), timeout=3600)
    assert made["scheduling"] == {
        "onHostMaintenance": "MIGRATE",
        "minNodeCpus": 1,
        "automaticRestart": False,
        "instanceTerminationAction": "DELETE",
        "maxRunDuration": {"seconds": str(900 + 3600 + 15 + 900 + 180)},
        "provisioningModel": "STANDARD",
    }
    assert made["disks"] == [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": "mine"}}]
    assert made["name"] == "toy-training-1-a1b2"
    assert (made["labels"]["team"], made["labels"]["foretell_run"]) == ("a", "20261121t060000-123z-1")
    assert (told(made)["foretell-store"], told(made)["mine"]) == ("gs://bucket/x", "1")


def test_a_limit_is_within_what_google_takes() -> None:
    short = body(settings(), timeout=1, boot=3, deliver=1, grace=1, kill=1)
    assert short["scheduling"]["maxRunDuration"] == {"seconds": "30"}
    long = body(settings(), timeout=400 * 24 * 3600)
    assert long["scheduling"]["maxRunDuration"] == {"seconds": str(120 * 24 * 3600)}


def test_what_a_machine_is_told_is_a_pointer_and_no_secret() -> None:
    words = told(body(settings()))
    assert words["foretell-run"] == RUN
    assert words["foretell-image"] == IMAGE
    assert words["foretell-registry"] == "europe-docker.pkg.dev"
    assert not [value for value in words.values() if "hush" in value or "secrets/s" in value]
    assert "gce-container-declaration" not in words


def test_a_strangers_registry_is_not_shown_the_machines_token() -> None:
    assert not instance.GOOGLES.fullmatch("ghcr.io")
    assert not instance.GOOGLES.fullmatch("pkg.dev.example.com")
    assert instance.GOOGLES.fullmatch("eu.gcr.io")


def test_settings_become_what_gcloud_would_make_of_them() -> None:
    made = body(
        settings(
            subnet="inner", external_ip=False, service_account="m@p.iam", labels={"a": "b"}, tags=("t",),
            disk_size=50, accelerators={"nvidia-tesla-t4": 2},
        )
    )  # fmt: skip
    assert made["networkInterfaces"] == [{"subnetwork": "regions/europe-west1/subnetworks/inner"}]
    assert made["serviceAccounts"] == [{"email": "m@p.iam", "scopes": [instance.SCOPE]}]
    assert made["tags"] == {"items": ["t"]}
    assert made["disks"][0]["initializeParams"]["diskSizeGb"] == "50"
    kind = "zones/europe-west1-b/acceleratorTypes/nvidia-tesla-t4"
    assert made["guestAccelerators"] == [{"acceleratorType": kind, "acceleratorCount": 2}]
    assert made["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert told(made)["foretell-gpu"] == "yes"
    plain = body(settings())
    assert plain["networkInterfaces"][0]["network"] == "global/networks/default"
    assert plain["networkInterfaces"][0]["accessConfigs"]


def test_the_ladder_is_read_from_the_launch_alone() -> None:
    ladder = settings(machine_type=("small", "middle", "large"), spot=True)
    kinds = [instance.machine_type(ladder, launch(growths_left=left)) for left in (2, 1, 0)]
    assert kinds == ["small", "middle", "large"]
    spot = body(ladder, launch(spots_left=1))["scheduling"]
    assert (spot["provisioningModel"], spot["onHostMaintenance"]) == ("SPOT", "TERMINATE")
    assert body(ladder, launch(spots_left=0))["scheduling"]["provisioningModel"] == "STANDARD"


def test_a_wish_is_the_same_for_whoever_repeats_it_and_another_elsewhere() -> None:
    assert instance.wish(launch(), "a") == instance.wish(launch(), "a")
    assert instance.wish(launch(), "a") != instance.wish(launch(), "b")
    assert instance.wish(launch(), "a") != instance.wish(launch(nonce="c3"), "a")


def test_the_start_up_text_is_a_unit_and_its_script() -> None:
    text = instance.user_data()
    assert text.startswith("#cloud-config\n")
    assert "@SCRIPT@" not in text
    assert "ExecStart=/bin/sh /etc/foretell/attempt.sh" in text
    assert len(text) < 20_000
