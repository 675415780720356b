"""Commands on a target in Google's cloud against the same on this machine: what loading and setting up cost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from bench import timing
from bench.timing import Contestant
from tests.standins.google import bigquery as warehouses
from tests.standins.google import cloud as clouds
from tests.standins.google import storage as storages
from tests.standins.google.bigquery import PROJECT as WAREHOUSE
from tests.standins.google.cloud import PROJECT

ROUNDS = 15
IMAGE = f"europe-docker.pkg.dev/{PROJECT}/services/toy@sha256:{'0' * 64}"
SERVICE = f"""\
name = "toy"
[actions.training]
command = "true"
[actions.application]
command = "true"
[actions.application.delivery]
file = "predictions.csv"
columns = "a:STRING"
[targets.production]
store = "gs://toy-bucket"
[targets.production.platform]
kind = "compute-engine"
project = "{PROJECT}"
zones = ["europe-west1-b"]
[targets.production.warehouse]
project = "{WAREHOUSE}"
"""
TARGETS = ("local", "production")
VERBS = (
    "runs",
    "models",
    "plan training",
    "plan application",
    "start training",
    "start application",
    "show",
    "logs",
)
"""The second action delivers: whoever starts it has looked whether its rows can be taken."""


def main(home: Path | None) -> None:
    """Start the stand-ins of Google's services, and measure in a process that has no other children."""
    if home:
        _measure(home, timing.environment())
        return
    with (
        clouds.started() as cloud,
        storages.started() as storage,
        warehouses.started(storage.environ) as warehouse,
        tempfile.TemporaryDirectory(prefix="foretell-bench-") as place,
    ):
        storage.make_bucket("toy-bucket")
        Path(place, "foretell.toml").write_text(SERVICE)
        stand_ins = {**cloud.environ, **storage.environ, **warehouse.environ}
        env = {**os.environ, **stand_ins, "CLOUDSDK_CONFIG": place}
        subprocess.run([sys.executable, "-m", "bench.production", place], env=env, check=True)


def _measure(home: Path, env: dict[str, str]) -> None:
    """Print one table. What is asked is asked on this machine, so no time is a network's."""
    print(timing.machine())
    run = {target: _started(home, env, target) for target in TARGETS}
    contestants = {
        f"{verb} on {target}": _foretell(home, env, _arguments(verb, run[target], target))
        for verb in VERBS
        for target in TARGETS
    }
    results = timing.in_turn(contestants, rounds=ROUNDS, warmup=2)
    rows = []
    for verb in VERBS:
        local, production = results[f"{verb} on local"], results[f"{verb} on production"]
        pairs = list(zip(local, production, strict=True))
        rows.append(
            [
                f"`foretell {verb}`",
                f"{median(usage.wall for usage in local):.3f}",
                f"{median(usage.wall for usage in production):.3f}",
                timing.spread([1000 * (far.wall - near.wall) for near, far in pairs], 0),
                timing.spread([1000 * (far.own - near.own) for near, far in pairs], 0),
            ]
        )
    print(f"\n{timing.table(['', 'local, s', 'production, s', 'more, ms', 'of it CPU'], rows)}")


def _arguments(verb: str, run: str, target: str) -> list[str]:
    """Give what a verb is called with; what is started is new each time."""
    if verb in ("show", "logs"):
        return [verb, run, "--on", target]
    image = ["--image", IMAGE] if target == "production" and " " in verb else []
    return [*verb.split(), *image, "--on", target]


def _started(home: Path, env: dict[str, str], target: str) -> str:
    """Start one run, so that there is something to show."""
    said = home / f"{target}.run"
    command = " ".join(
        [
            str(_program()),
            *_arguments("start training", "", target),
            "--date",
            "2026-11-21T06:00:00Z",
            ">",
            str(said),
        ]
    )
    timing.command(["sh", "-c", command], cwd=home, env=env)
    return said.read_text().strip()


def _foretell(home: Path, env: dict[str, str], arguments: list[str]) -> Contestant:
    return partial(timing.command, [_program(), *arguments], cwd=home, env=env)


def _program() -> Path:
    return Path(sys.executable).with_name("foretell")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
