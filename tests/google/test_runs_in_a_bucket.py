"""Whole runs whose records are in a bucket: on this machine, by the command line, with the bucket out of reach too."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foretell.protocol.keys import Run, run_of
from foretell.protocol.records import Outcome, decode
from tests.standins.google.faults import Fault
from tests.standins.google.storage import Storage

FORETELL = Path(sys.executable).with_name("foretell")
SERVICE = """\
name = "toy"
[actions.training]
command = "/bin/sh train.sh"
[actions.application]
command = "/bin/sh apply.sh"
inputs = ["training"]
[actions.application.delivery]
file = "predictions.csv"
columns = "a:STRING,b:INT64"
[targets.production]
store = "gs://{bucket}/runs"
[targets.production.times]
beat = "1s"
fence = "8s"
kill = "1s"
lease = "12s"
stale = "6s"
boot = "30s"
poll = "1s"
deliver = "30s"
grace = "5s"
"""
TRAIN = "echo training; echo model > output/model.txt; head -c 40000000 /dev/zero > output/large.bin\n"
APPLY = 'cat output/model.txt; sleep ${PAUSE:-0}; printf "a,b\\nx,1\\ny,2\\n" > output/predictions.csv\n'
PATIENCE = 90


class Service:
    """A service on this machine, whose store is the bucket."""

    def __init__(self, root: Path, bucket: str) -> None:
        self.root = root
        self.bucket = bucket
        root.mkdir()
        (root / "foretell.toml").write_text(SERVICE.format(bucket=bucket))
        (root / "train.sh").write_text(TRAIN)
        (root / "apply.sh").write_text(APPLY)

    def spawn(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [FORETELL, *args, "--on", "production"],
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str, code: int = 0) -> str:
        with self.spawn(*args) as process:
            out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == code, errors
        return out


@pytest.fixture
def service(tmp_path: Path, bucket: str) -> Service:
    return Service(tmp_path / "toy", bucket)


def run_named_in(out: str) -> str:
    return out.split(maxsplit=1)[0]


def test_training_and_application(service: Service, storage: Storage, tmp_path: Path) -> None:
    assert service("run", "training").endswith(" succeeded\n")
    label = run_named_in(service("run", "application"))
    rows = json.loads(service("predictions", "--json"))["rows"]
    assert rows == [{"a": "x", "b": 1}, {"a": "y", "b": 2}]
    assert service("logs", label) == "model\n"
    assert service("get", label, "--to", str(tmp_path / "got"))
    assert (tmp_path / "got" / "predictions.csv").read_text() == "a,b\nx,1\ny,2\n"
    assert "training" in service("models")
    story = json.loads(service("show", label, "--json"))
    assert story["records"].startswith(f"gs://{service.bucket}/runs/toy/1/application/")
    assert not (service.root / ".foretell" / "store").exists()
    assert service("tidy") == ""


def test_a_log_is_followed_while_it_grows(service: Service) -> None:
    (service.root / "train.sh").write_text(
        "for i in 1 2 3 4; do echo $i; sleep 1; done; echo > output/model.txt\n"
    )
    label = service("start", "training").strip()
    began = time.monotonic()
    with service.spawn("logs", label, "--follow") as process:
        assert process.stdout
        first = process.stdout.readline()
        at = time.monotonic() - began
        rest = process.stdout.read()
        took = time.monotonic() - began
    assert (first, rest) == ("1\n", "2\n3\n4\n")
    assert at < took - 0.5


def test_a_secret_is_in_no_object_of_the_bucket(
    service: Service, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (service.root / "foretell.toml").read_text()
    secret = '[actions.training]\nsecrets = {TOKEN = "projects/p/secrets/token/versions/1"}\n'
    (service.root / "foretell.toml").write_text(text.replace("[actions.training]\n", secret))
    monkeypatch.setenv("TOKEN", "s3cret-value")
    show = "printf s3cret-; sleep 1; echo $TOKEN >&2; echo value; echo $TOKEN; exit 3\n"
    (service.root / "train.sh").write_text(show)
    with service.spawn("run", "training") as process:
        out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "***TOKEN***" in errors
    assert "s3cret-value" not in out + errors + service("show", run_named_in(out), "--json")
    for name in storage.names(service.bucket):
        assert b"s3cret-value" not in storage.read(service.bucket, name)


def test_the_path_of_a_run_lists_nothing_and_writes_every_name_once(
    service: Service, storage: Storage
) -> None:
    service("run", "training")
    log = storage.log()
    assert not [seen.target for seen in log if "list-type" in seen.target]
    written = Counter(seen.target for seen in log if seen.method == "PUT" and "partNumber" not in seen.target)
    assert {name for name, count in written.items() if count > 1} <= {
        name for name in written if name.endswith("/beat.json")
    }


def test_a_long_history_costs_no_request(service: Service, storage: Storage) -> None:
    """What a start, a training and an application ask of the bucket is the same after 1,000 runs as after 10."""
    service("run", "training")
    asked = []
    for runs in (10, 1000):
        remember(service, storage, runs)
        storage.clear()
        for action in ("training", "application"):
            service("wait", service("start", action).strip())
        asked.append(counted(storage))
    short, long = asked
    assert short == long


def counted(storage: Storage) -> Counter[str]:
    """Requests by kind of object; how often who waits looks, and an agent beats, is a matter of time."""
    often = (
        "beat.json",
        "claim.json",
        "host.json",
        "exit.json",
        "outcome.json",
        "launch.json",
        "delivery.json",
    )
    told = Counter[str]()
    for seen in storage.log():
        path, _, query = seen.target.partition("?")
        name = "list" if "list-type" in query else path.rpartition("/")[2]
        if not (seen.method == "GET" and name in often) and name != "beat.json":
            told[f"{seen.method} {name}"] += 1
    return told


def remember(service: Service, storage: Storage, runs: int) -> None:
    """Leave the records of older runs of both actions, one an hour, ended without success."""
    newest = datetime(2026, 6, 30, tzinfo=UTC)
    outcome = b'{"kind":"failed","by":"x","cause":"long ago","format":1}'
    assert decode(outcome, Outcome, "outcome").kind == "failed"
    for age in range(runs):
        for action in ("training", "application"):
            run = Run("toy", "1", action, newest - timedelta(hours=age), 1)
            storage.write(service.bucket, f"runs/{run.outcome}", outcome)


# --- a bucket out of reach -------------------------------------------------------------------------------------------


def test_a_short_outage_in_the_middle_is_sat_out(service: Service, storage: Storage) -> None:
    service("run", "training")
    (service.root / "apply.sh").write_text(f"sleep 4\n{APPLY}")
    with service.spawn("run", "application") as process:
        until_claimed(storage, service.bucket, "application")
        storage.outage(4)
        out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert out.endswith(" succeeded\n")
    story = json.loads(service("show", run_named_in(out), "--json"))
    assert len(story["attempts"]) == 1


def test_a_long_outage_fences_the_agent_and_another_attempt_succeeds(
    service: Service, storage: Storage
) -> None:
    """P5: who cannot reach the bucket for FENCE kills its command and never comes back."""
    service("run", "training")
    (service.root / "apply.sh").write_text(f'[ "$FORETELL_ATTEMPT" = 1 ] && sleep 60\n{APPLY}')
    with service.spawn("run", "application") as process:
        until_claimed(storage, service.bucket, "application")
        storage.outage(14)
        out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    story = json.loads(service("show", run_named_in(out), "--json"))
    assert len(story["attempts"]) == 2
    assert json.loads(service("predictions", "--json"))["rows"] == [{"a": "x", "b": 1}, {"a": "y", "b": 2}]


def until_claimed(storage: Storage, bucket: str, action: str) -> None:
    end = time.monotonic() + PATIENCE
    while not any(name.endswith("/beat.json") for name in storage.names(bucket, f"runs/toy/1/{action}/")):
        assert time.monotonic() < end, "nobody begins"
        time.sleep(0.05)


def test_rough_weather_all_the_time(service: Service, storage: Storage) -> None:
    """Every tenth answer is lost, refused for now, or late; one outcome, rows once."""
    kinds = (
        {"action": "lose"},
        {"action": "status", "status": 503},
        {"action": "lose", "reset": True},
        {"action": "status", "status": 429},
        {"action": "status", "status": 503, "after": True},
        {"action": "delay", "seconds": 0.5},
        {"action": "drop"},
    )
    storage.fault(*(Fault(**kinds[number % len(kinds)], skip=10 * number + 5) for number in range(100)))
    for action in ("training", "application"):
        assert service("run", action).endswith(" succeeded\n")
    hit = [seen.fault for seen in storage.log() if seen.fault]
    storage.clear()
    assert len(hit) > 10
    assert json.loads(service("predictions", "--json"))["rows"] == [{"a": "x", "b": 1}, {"a": "y", "b": 2}]
    for name in storage.names(service.bucket, "runs/toy/"):
        if name.endswith("/outcome.json"):
            assert run_of(name.removeprefix("runs/").removesuffix("/outcome.json"))
            assert decode(storage.read(service.bucket, name), Outcome, name).kind == "produced"


# --- what a person reads ---------------------------------------------------------------------------------------------


def test_a_bucket_that_is_not_there_is_told_with_the_command_that_makes_it(
    service: Service, storage: Storage
) -> None:
    text = (service.root / "foretell.toml").read_text()
    (service.root / "foretell.toml").write_text(text.replace(service.bucket, "nowhere"))
    with service.spawn("run", "training") as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    assert "the bucket does not exist" in errors
    assert "next  gcloud storage buckets create gs://nowhere" in " ".join(errors.split(": ")).replace(
        "next ", "next  "
    )
    assert "Traceback" not in errors


def test_a_refusal_ends_a_command_at_once(service: Service, storage: Storage) -> None:
    storage.fault(Fault(action="status", status=403, count=None))
    began = time.monotonic()
    with service.spawn("run", "training") as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 3
    assert "add-iam-policy-binding" in errors
    assert time.monotonic() - began < 10
