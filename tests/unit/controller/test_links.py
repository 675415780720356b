"""Addresses of Google's console: of what is Google's alone, and of this run alone."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from foretell import load
from foretell.controller.links import addresses
from foretell.protocol.records import Launch
from foretell.service.model import Service
from tests.support.records import request_of

SERVICE = """\
name = "toy"
[actions.training]
command = "true"
[actions.application]
command = "true"
[actions.application.delivery]
file = "p.csv"
columns = "a:STRING"
[targets.production]
store = "gs://toy-bucket/runs"
[targets.production.platform]
kind = "compute-engine"
project = "p-1"
zones = ["europe-west1-b"]
[targets.bucket]
store = "gs://toy-bucket"
"""
LAUNCH = Launch(nonce="n", machine="toy-training-1-abc", failures_left=0, losses_left=2)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    (tmp_path / "foretell.toml").write_text(SERVICE)
    return load(tmp_path)


def found(service: Service, action: str, target: str, launch: Launch | None = LAUNCH) -> dict[str, str]:
    return addresses(request_of(service, action, target), launch)


def test_everything_of_a_run_on_google_has_an_address(service: Service) -> None:
    told = found(service, "application", "production")
    assert list(told) == ["machine", "log", "bucket", "table"]
    assert told["machine"].endswith(
        "/compute/instancesDetail/zones/europe-west1-b/instances/toy-training-1-abc?project=p-1"
    )
    folder = "/storage/browser/toy-bucket/runs/toy/1/application/2026-11/20261121T060000Z-1"
    assert urlsplit(told["bucket"]).path == folder
    table = parse_qs(urlsplit(told["table"]).query)
    assert (table["d"], table["t"], table["p"]) == (["toy"], ["predictions"], ["p-1"])


def test_the_log_is_that_of_this_run_in_its_time(service: Service) -> None:
    address = unquote(found(service, "training", "production")["log"])
    for part in (
        'logName="projects/p-1/logs/foretell"',
        'labels.action="training"',
        'labels.run="20261121T060000Z-1"',
        "timeRange=2026-11-21T05:00:00+00:00/2026-11-21T",
    ):
        assert part in address


def test_what_delivers_nothing_has_no_table_and_what_is_not_launched_no_machine(service: Service) -> None:
    assert list(found(service, "training", "production", None)) == ["log", "bucket"]


def test_what_is_not_googles_has_no_address(service: Service) -> None:
    assert found(service, "application", "local") == {}
    assert list(found(service, "application", "bucket")) == ["bucket"]


def test_in_one_of_several_zones_the_list_is_shown(service: Service, tmp_path: Path) -> None:
    text = SERVICE.replace('zones = ["europe-west1-b"]', 'zones = ["europe-west1-b", "europe-west1-c"]')
    (tmp_path / "foretell.toml").write_text(text)
    several = load(tmp_path)
    assert found(several, "training", "production")["machine"].endswith("/compute/instances?project=p-1")
