"""What an agent says on a machine of Google's: secrets from Secret Manager, and its log in Cloud Logging."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from foretell import load
from foretell.agent import log as voices
from foretell.agent import secrets
from foretell.agent.log import AttemptLog
from foretell.errors import EnvironmentFailedError, PlatformError
from foretell.google import rest as rests
from foretell.google.rest import Rest
from foretell.google.secrets import access
from foretell.protocol.frames import unframe
from foretell.protocol.records import Request
from tests.standins.google.cloud import Cloud
from tests.standins.google.standin import Misbehaviour
from tests.support.records import request_of

SERVICE = """\
name = "toy"
[actions.training]
command = "true"
secrets = {TOKEN = "projects/p/secrets/token/versions/3"}
[targets.production]
store = "gs://toy"
[targets.production.platform]
kind = "compute-engine"
project = "p"
zones = ["europe-west1-b"]
"""
TOKEN = "projects/p/secrets/token/versions/3"


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    (tmp_path / "foretell.toml").write_text(SERVICE)
    return request_of(load(tmp_path), "training", "production")


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_a_secret_comes_from_secret_manager(cloud: Cloud, request_: Request) -> None:
    cloud.services.secrets[TOKEN] = "päss\nword".encode()
    assert secrets.values(request_, {"TOKEN": "not this one"}) == {"TOKEN": "päss\nword"}


def test_elsewhere_it_is_the_variable_of_the_same_name(request_: Request, tmp_path: Path) -> None:
    local = replace(request_, target=load(tmp_path).targets["local"])
    assert secrets.values(local, {"TOKEN": "here", "OTHER": "x"}) == {"TOKEN": "here"}
    with pytest.raises(EnvironmentFailedError, match='the secret "TOKEN"'):
        secrets.values(local, {})


def test_a_secret_that_is_not_there_is_told_with_a_command(cloud: Cloud, request_: Request) -> None:
    with pytest.raises(EnvironmentFailedError, match=TOKEN) as told:
        secrets.values(request_, {})
    assert told.value.hint == "gcloud secrets versions list token --project=p"


def test_a_secret_that_may_not_be_read_is_told_with_a_command(cloud: Cloud) -> None:
    cloud.stand_in.misbehave(
        Misbehaviour(method="secretmanager*", how="refuse", status=403, reason="forbidden")
    )
    with pytest.raises(EnvironmentFailedError) as told:
        access(Rest(), TOKEN)
    assert told.value.hint.startswith("gcloud secrets add-iam-policy-binding token --project=p --member=")


def test_a_busy_secret_manager_is_asked_again(cloud: Cloud) -> None:
    cloud.services.secrets[TOKEN] = b"value"
    for how, status in (("refuse", 503), ("refuse", 429), ("lose", 0)):
        cloud.stand_in.misbehave(Misbehaviour(method="secretmanager*", how=how, status=status))
        assert access(Rest(), TOKEN) == b"value"


def test_one_that_stays_away_is_no_verdict_on_the_action(cloud: Cloud) -> None:
    cloud.stand_in.misbehave(Misbehaviour(method="secretmanager*", how="refuse", count=None))
    with pytest.raises(PlatformError):
        access(Rest(patience=0.5), TOKEN)


def test_a_value_that_was_changed_on_its_way_is_refused(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.services.secrets[TOKEN] = b"value"
    untouched = rests.Rest.get

    def changed(self: Rest, *asked: str) -> object:
        answer = untouched(self, *asked)
        assert isinstance(answer, dict)
        answer["payload"]["data"] = "VkFMVUU="
        return answer

    monkeypatch.setattr(rests.Rest, "get", changed)
    with pytest.raises(PlatformError, match="did not arrive"):
        access(Rest(), TOKEN)


def test_nothing_with_a_nul_becomes_a_variable(cloud: Cloud, request_: Request) -> None:
    cloud.services.secrets[TOKEN] = b"a\0b"
    with pytest.raises(EnvironmentFailedError, match="NUL"):
        secrets.values(request_, {})


# --- logs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little patience with Cloud Logging at the end."""
    monkeypatch.setattr(voices, "LAST_WORDS", 0.5)


def spoken(request: Request) -> tuple[AttemptLog, list[bytes]]:
    chunks: list[bytes] = []
    return AttemptLog(lambda _, chunk: chunks.append(chunk), request, 2), chunks


def test_what_is_said_is_in_the_store_whole_and_in_cloud_logging_by_lines(
    cloud: Cloud, request_: Request
) -> None:
    voice, chunks = spoken(request_)
    voice.hide({"TOKEN": "s3cret-value"})
    voice.event("INFO", "begins", machine="m")
    voice.add(1, b"hello s3cret-")
    voice.add(2, b"WARNING: careful\n")
    voice.add(1, b"value\nrest")
    voice.close()
    voice.finish()
    stored = [pair for chunk in chunks for pair in unframe(chunk)]
    assert b"".join(data for stream, data in stored if stream == 1) == b"hello ***TOKEN***\nrest"
    texts = {entry.get("textPayload") for entry in cloud.services.entries}
    assert {"hello ***TOKEN***", "WARNING: careful", "rest"} <= texts
    assert "s3cret" not in str(cloud.services.entries)
    for entry in cloud.services.entries:
        assert entry["labels"].items() >= {"service": "toy", "action": "training", "attempt": "2"}.items()
        assert entry["resource"]["labels"]["location"] == "europe-west1"
    warning = next(
        entry for entry in cloud.services.entries if entry.get("textPayload") == "WARNING: careful"
    )
    assert (warning["severity"], warning["labels"]["stream"]) == ("WARNING", "stderr")


@pytest.mark.parametrize("status", [403, 503, 429])
def test_a_cloud_logging_that_refuses_costs_nothing(
    cloud: Cloud, request_: Request, brief: None, status: int
) -> None:
    cloud.stand_in.misbehave(Misbehaviour(method="logging*", how="refuse", status=status, count=None))
    voice, chunks = spoken(request_)
    began = time.monotonic()
    for number in range(1000):
        voice.add(1, f"line {number}\n".encode())
    voice.close()
    assert time.monotonic() - began < 2
    voice.finish()
    assert time.monotonic() - began < 10
    assert b"".join(data for chunk in chunks for _, data in unframe(chunk)).count(b"\n") == 1000


def test_an_eager_model_is_not_held_up(cloud: Cloud, request_: Request, brief: None) -> None:
    voice, _ = spoken(request_)
    piece = b"a line of an eager model\n" * 1000
    began = time.monotonic()
    for _ in range(100):
        voice.add(1, piece)
    voice.close()
    assert time.monotonic() - began < 10
    voice.finish()
    assert cloud.services.entries


def test_elsewhere_nothing_goes_to_cloud_logging(cloud: Cloud, request_: Request, tmp_path: Path) -> None:
    voice, chunks = spoken(replace(request_, target=load(tmp_path).targets["local"]))
    voice.add(1, b"said elsewhere\n")
    voice.close()
    voice.finish()
    assert chunks
    # what an eager model has said may still be on its way
    assert not [seen for seen in cloud.stand_in.seen("logging*") if "said elsewhere" in str(seen.body)]
