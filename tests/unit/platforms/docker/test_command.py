"""How an attempt becomes a container: arguments alone, no engine."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from foretell.platforms.docker.command import command
from foretell.platforms.docker.settings import DockerSettings
from foretell.protocol.records import Request
from foretell.service.load import load
from foretell.warehouses.duckdb.settings import DuckDBSettings
from tests.support.records import launch, request_of

LAUNCH = launch()


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    (tmp_path / "foretell.toml").write_text('name = "toy"\n[actions.training]\ncommand = "true"\n')
    service = load(tmp_path, environ={})
    (tmp_path / ".foretell/store").mkdir(parents=True)
    return request_of(service, "training", "docker", store="id-of-the-store", image="sha256:abc")


def arguments(request: Request, environ: dict[str, str] | None = None, **settings: object) -> list[str]:
    made = DockerSettings(**settings)
    store = request.target.store
    return command(made, request, LAUNCH, store=store, boot="b", environ=environ or {})


def values(found: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(found) if name == option]


def test_a_container_is_named_labelled_and_never_restarted(request_: Request) -> None:
    found = arguments(request_)
    assert values(found, "--name") == [LAUNCH.machine]
    assert values(found, "--restart") == ["no"]
    assert values(found, "--pull") == ["never"]
    assert {"foretell.store=id-of-the-store", "foretell.attempt=1", "foretell.boot=b"} <= set(
        values(found, "--label")
    )
    at = found.index("sha256:abc")
    assert found[at + 1 :][:5] == [
        request_.target.store, "toy/1/training/2026-11/20261121T060000Z-1", "1", LAUNCH.machine, "/tmp/foretell",
    ]  # fmt: skip
    assert found[-2:] == ["b", "-1"]


def test_limits_are_passed_and_memory_is_not_swapped(request_: Request) -> None:
    found = arguments(request_, memory="4g", cpus=2, gpus="all", network="team", volumes=("/a:/b:ro",))
    assert (values(found, "--memory"), values(found, "--memory-swap")) == (["4g"], ["4g"])
    assert (values(found, "--cpus"), values(found, "--gpus")) == (["2"], ["all"])
    assert (values(found, "--network"), values(found, "--volume")) == (["team"], ["/a:/b:ro"])


def test_secrets_are_named_and_never_told(request_: Request) -> None:
    request = replace(request_, spec=replace(request_.spec, secrets={"TOKEN": "x", "LACKING": "x"}))
    found = arguments(request, {"TOKEN": "s3cret"}, env={"A": "b"})
    assert {"A=b", "TOKEN", f"FORETELL_MACHINE={LAUNCH.machine}"} <= set(values(found, "--env"))
    assert "LACKING" not in values(found, "--env")
    assert not any("s3cret" in part for part in found)


def test_store_and_warehouse_are_mounted_where_they_are_and_nothing_twice(
    request_: Request, tmp_path: Path
) -> None:
    within = f"type=bind,source={tmp_path}/.foretell,target={tmp_path}/.foretell"
    assert values(arguments(request_), "--mount") == [within]
    elsewhere = DuckDBSettings(path=str(tmp_path / "a, b" / "w.duckdb"))
    request = replace(request_, target=replace(request_.target, warehouse=elsewhere))
    store = f"{tmp_path}/.foretell/store"
    assert values(arguments(request), "--mount") == [
        f"type=bind,source={store},target={store}",
        f'type=bind,"source={tmp_path}/a, b","target={tmp_path}/a, b"',
    ]


def test_a_store_elsewhere_is_reached_by_its_address(request_: Request) -> None:
    request = replace(request_, target=replace(request_.target, store="gs://bucket"))
    found = command(DockerSettings(), request, LAUNCH, store="gs://bucket", boot="b", environ={})
    assert not values(found, "--user")


def test_it_runs_as_the_owner_of_the_store(request_: Request, tmp_path: Path) -> None:
    owner = (tmp_path / ".foretell/store").stat()
    assert values(arguments(request_), "--user") == [f"{owner.st_uid}:{owner.st_gid}"]


def test_the_users_google_credentials_are_mounted_read_only_where_that_is_asked_for(
    request_: Request, tmp_path: Path
) -> None:
    place = tmp_path / ".config/gcloud/application_default_credentials.json"
    place.parent.mkdir(parents=True)
    place.write_text("{}")
    environ = {"HOME": str(tmp_path)}
    assert not any(str(place) in part for part in arguments(request_, environ))
    found = arguments(request_, environ, google_credentials=True)
    assert any(part.startswith(f"type=bind,source={place},") and part.endswith(",readonly") for part in found)
    assert any(part.startswith("GOOGLE_APPLICATION_CREDENTIALS=") for part in found)


def test_an_env_file_is_mounted_to_be_read_and_its_values_are_not_told(
    request_: Request, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    asked = replace(request_, env_file=str(file))
    assert not any("foretell.env" in mount for mount in values(arguments(asked), "--mount"))
    file.write_text("TOKEN=hunter2\n")
    found = arguments(asked)
    assert f"type=bind,source={file},target=/tmp/foretell.env,readonly" in values(found, "--mount")
    assert "hunter2" not in " ".join(found)
