"""A changed line, rebuilt and pushed, against a plain Dockerfile; and a run in a container against one beside it."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from bench import timing
from tests.standins.containers.engine import REGISTRY, Engine, running, started, why_not

ROUNDS = 3
RUNS = 15
EXAMPLE = Path(__file__).parents[1] / "examples" / "lifetime-value"
FORETELL = Path(sys.executable).with_name("foretell")
OURS, PLAIN = "`foretell build --push`", "a plain Dockerfile: `COPY`, then `pip install`"
INSIDE, BESIDE = "`foretell run --on docker`", "`foretell run --on local`"
DOCKERFILE = """\
FROM python:3.11-slim
WORKDIR /app
ARG PIP_INDEX_URL
COPY . .
RUN python -m pip install --quiet --root-user-action ignore -r requirements.txt
ENTRYPOINT ["python", "-m", "prediction.main"]
"""
IMAGE = f'\n[image]\nregistry = "{REGISTRY}/bench"\nnetwork = "host"\n[source]\npython = "{running()}"\n'
LEAST = "[actions.training]\ncommand = \"/bin/sh -c 'echo model > output/model'\"\n"


def main() -> None:
    """Print two tables."""
    if reason := why_not():
        print(reason)
        return
    print(timing.machine())
    with (
        tempfile.TemporaryDirectory(prefix="foretell-bench-") as aside,
        started(Path(aside) / "engine") as engine,
    ):
        print(f"\n{_a_changed_line(engine, Path(aside))}\n")
        print(_a_run(engine, Path(aside)))


def _a_changed_line(engine: Engine, aside: Path) -> str:
    needs = (EXAMPLE / "requirements.txt").read_text().split()
    engine.fetch(needs)
    ours, plain = aside / "ours", aside / "plain"
    for place in (ours, plain):
        shutil.copytree(EXAMPLE, place, ignore=shutil.ignore_patterns(".foretell", "output", "__pycache__"))
    with (ours / "foretell.toml").open("a") as file:
        file.write(IMAGE)
    (plain / "Dockerfile").write_text(DOCKERFILE)
    bytes_pushed: dict[str, list[int]] = {OURS: [], PLAIN: []}
    env = timing.environment(**engine.environ, DOCKER_BUILDKIT="1")

    def ours_again() -> timing.Usage:
        _change(ours)
        usage, size = _pushing(
            engine, [[str(FORETELL), "build", "--push", "--on", "docker"]], cwd=ours, env=env
        )
        bytes_pushed[OURS].append(size)
        return usage

    def plain_again() -> timing.Usage:
        _change(plain)
        tag = f"{REGISTRY}/bench/plain:1"
        build = ["docker", "build", "--network", "host", "--build-arg", "PIP_INDEX_URL", "--tag", tag, "."]
        usage, size = _pushing(engine, [build, ["docker", "push", tag]], cwd=plain, env=env)
        bytes_pushed[PLAIN].append(size)
        return usage

    results = timing.in_turn({PLAIN: plain_again, OURS: ours_again}, rounds=ROUNDS)
    rows = [
        [
            name,
            timing.spread((usage.wall for usage in usages), 1),
            timing.spread(timing.ratios(results, name, PLAIN), 3),
            f"{statistics.median(bytes_pushed[name][1:]):,.0f}",
        ]
        for name, usages in results.items()
    ]
    return timing.table(["a changed line", "seconds", "ratio", "bytes pushed"], rows)


def _a_run(engine: Engine, aside: Path) -> str:
    service = aside / "least"
    service.mkdir()
    (service / "foretell.toml").write_text(
        f'name = "least"\n{LEAST}{IMAGE.replace("registry", "# registry")}'
    )
    env = timing.environment(**engine.environ, DOCKER_BUILDKIT="1")
    outside = timing.environment(FORETELL_CACHE=str(aside / "cache"))
    results = timing.in_turn(
        {
            BESIDE: partial(_timed, FORETELL, "run", "training", "--on", "local", cwd=service, env=outside),
            INSIDE: partial(_timed, FORETELL, "run", "training", "--on", "docker", cwd=service, env=env),
        },
        rounds=RUNS,
    )
    more = [
        1000 * (inside.wall - beside.wall)
        for inside, beside in zip(results[INSIDE], results[BESIDE], strict=True)
    ]
    rows = [
        [
            name,
            timing.spread((usage.wall for usage in usages), 3),
            timing.spread(timing.ratios(results, name, BESIDE)),
            timing.spread(more, 0) if name == INSIDE else "0",
        ]
        for name, usages in results.items()
    ]
    return timing.table(["the least run", "seconds", "ratio", "more, in ms"], rows)


def _timed(*argv: str | Path, cwd: Path, env: dict[str, str]) -> timing.Usage:
    """Time a program alone: whoever waited for all its children would wait for the engine."""
    began = time.perf_counter()
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return timing.Usage(time.perf_counter() - began, 0.0)


def _change(place: Path) -> None:
    with (place / "prediction" / "main.py").open("a") as file:
        file.write(f"# {os.urandom(4).hex()}\n")


def _pushing(
    engine: Engine, commands: list[list[str]], *, cwd: Path, env: dict[str, str]
) -> tuple[timing.Usage, int]:
    """Time commands, and count what they have brought to the registry."""
    before = _stored(engine)
    wall = sum(_timed(*argv, cwd=cwd, env=env).wall for argv in commands)
    return timing.Usage(wall, 0.0), _stored(engine) - before


def _stored(engine: Engine) -> int:
    said = subprocess.run(["du", "-sb", engine.home / "registry"], capture_output=True, text=True, check=True)
    return int(said.stdout.split()[0])


if __name__ == "__main__":
    main()
