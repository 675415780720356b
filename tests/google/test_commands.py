"""The commands that people are told: gcloud itself takes them, and the guide names every permission that is needed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

from foretell import load
from foretell.google.errors import Failure
from foretell.google.secrets import _refused
from foretell.platforms.compute_engine.checks import INSTANCES
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.store.errors import told
from foretell.system.check import Check
from foretell.warehouses.bigquery.settings import BigQuerySettings
from tests.google.test_doctor import MENDED, look, mend, sound
from tests.standins.google.cloud import Cloud

__all__ = ["look", "sound"]

GUIDE = Path(__file__).parents[2] / "docs" / "google-cloud.md"
SMOKE = Path(__file__).parents[2] / "tools" / "smoke-gcp.sh"
COMMAND = r"""gcloud (?:[^\n|>&;()"']|"(?:[^"\\]|\\.)*"|'[^']*')+"""
VALUES = {
    "$PROJECT": "example-project",
    "$LOCATION": "EU",
    "$REGION": "europe-west1",
    "$BUCKET": "gs://example",
    "$MACHINE": "serviceAccount:machine@example-project.iam.gserviceaccount.com",
    "$LAUNCHER": "serviceAccount:launcher@example-project.iam.gserviceaccount.com",
    '"$(gcloud config get account)"': "me@example.com",
}
GCLOUD = pytest.mark.skipif(
    not shutil.which("gcloud"), reason="gcloud is not installed, which parses its commands"
)


def refused(commands: list[str], aside: Path) -> list[str]:
    """What gcloud does not take, each with the reason; nothing is carried out."""
    for name, value in VALUES.items():
        commands = [command.replace(name, value) for command in commands]
    commands = sorted(set(commands))
    file = aside / "commands.json"
    file.write_text(json.dumps([{"command_string": command} for command in commands]))
    environ = {"CLOUDSDK_CONFIG": str(aside), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "PATH": "/usr/bin:/bin"}
    lint = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}"]
    done = subprocess.run(lint, env=environ, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert len(said) == len(commands)
    return [f"{one['command_string']}: {one['error_message']}" for one in said if not one["success"]]


@GCLOUD
def test_gcloud_tells_a_bad_command(tmp_path: Path) -> None:
    assert len(refused(["gcloud storage buckets create gs://x --no-such-flag"], tmp_path)) == 1


@GCLOUD
def test_every_command_of_the_guide_is_one(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text().replace("\\\n", " "), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    commands = [found[0] for line in lines if (found := re.search(r"gcloud .*", line))]
    assert len(commands) > 20
    assert refused(commands, tmp_path) == []


@GCLOUD
def test_every_command_of_the_smoke_test_is_one(tmp_path: Path) -> None:
    """What it does can only be seen in a real project; that it is a script of commands that exist, here."""
    subprocess.run(["sh", "-n", SMOKE], check=True)
    text = SMOKE.read_text().replace("\\\n", " ")
    text = text.replace("$account", "smoke@example.iam.gserviceaccount.com").replace(
        "$bucket", "gs://example"
    )
    text = text.replace("$member", "serviceAccount:smoke@example.iam.gserviceaccount.com")
    found = re.findall(COMMAND, text)
    commands = [re.sub(r"\$\([^)]*\)|\$\w+", "x", one.replace('\\"', "")) for one in found if "--" in one]
    assert len(commands) > 12
    assert refused(commands, tmp_path) == []


@GCLOUD
def test_every_command_of_the_doctor_is_one(
    sound: Cloud, look: Callable[..., dict[str, list[Check]]], tmp_path: Path
) -> None:
    commands = set()
    for spoil, _, _ in MENDED.values():
        mend(sound)
        spoil(sound)
        commands |= {check.fix for checks in look().values() for check in checks}
    mend(sound)
    sound.services.buckets["toy-bucket"]["softDeletePolicy"] = {"retentionDurationSeconds": "604800"}
    commands |= {check.fix for checks in look().values() for check in checks}
    sound.services.denied.add("bigquery.*")
    commands |= {fix for check in look()["rows"] for fix in check.fix.split(" && ")}
    commands |= {check.fix for check in look("n1-standard-1", "n9-none-1").get("machine", [])}
    told_to_run = sorted(command for command in commands if command.startswith("gcloud "))
    assert len(told_to_run) > 8
    assert refused(told_to_run, tmp_path) == []


@GCLOUD
def test_every_command_of_a_refusal_is_one(tmp_path: Path) -> None:
    assert refused(list(of_refusals()), tmp_path) == []


def of_refusals() -> Iterator[str]:
    for error in (
        PermissionDeniedError("status code: 403 Forbidden"),
        UnauthenticatedError("status code: 401 Unauthorized"),
        GenericError("status code: 404 Not Found: <Code>NoSuchBucket</Code>"),
    ):
        yield told("write", "a", "gs://bucket/place", error).hint
    for status in (403, 404, 400):
        failure = Failure(status=status, reason="x", message="x")
        yield _refused("projects/p/secrets/s/versions/3", failure).hint


def test_the_guides_service_file_is_one(tmp_path: Path) -> None:
    (told,) = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "foretell.toml").write_text(f'name = "toy"\n[actions.training]\ncommand = "true"\n{told}')
    target = load(tmp_path).targets["production"]
    assert isinstance(target.platform, ComputeEngineSettings)
    assert isinstance(target.warehouse, BigQuerySettings)
    assert (target.store, target.warehouse.location) == ("gs://example-prediction-service", "EU")


def test_the_guide_grants_a_launcher_what_the_doctor_asks_for() -> None:
    (role,) = re.findall(r"cat > launcher.yaml << END\n(.*?)END\n", GUIDE.read_text(), re.DOTALL)
    assert set(INSTANCES) <= set(yaml.safe_load(role)["includedPermissions"])
