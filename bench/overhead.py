"""Training and application of the least model: by Foretell, by others, and by the two commands alone."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import uv

from bench import timing
from bench.timing import Contestant, Results
from foretell import load
from foretell.agent import environment
from foretell.system import paths

HERE = Path(__file__).parent
MODEL = HERE / "model"
PEERS = HERE / "peers"
ROUNDS = 15
COMMAND = "python -m prediction.main --action {0} --config configs/{0}.json"
PINS = {"Metaflow": "metaflow==2.19.39", "DVC": "dvc==3.67.1"}
BARE = "the two commands"
OURS = "`foretell run`, twice"
QUIET = {
    "METAFLOW_USER": "bench",
    "METAFLOW_CHECK_FOR_UPDATES": "0",
    "DVC_NO_ANALYTICS": "true",
}
"""Variables by which the others neither ask who we are nor tell anybody about us."""


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--alone", action="store_true", help="without the others, which are installed first")
    arguments = parser.parse_args()
    print(timing.machine())
    with tempfile.TemporaryDirectory(prefix="foretell-bench-") as place:
        contestants = {BARE: _bare(Path(place, "bare")), OURS: _foretell(Path(place, "foretell"))}
        if not arguments.alone:
            contestants["Metaflow"] = _metaflow(Path(place, "metaflow"))
            contestants["DVC, `repro --force`"] = _dvc(Path(place, "dvc"))
        print(f"\n{_table(timing.in_turn(contestants, rounds=arguments.rounds))}")


def _table(results: Results) -> str:
    rows = [
        [
            name,
            timing.spread(usage.wall for usage in usages),
            timing.spread(timing.ratios(results, name, BARE)),
            timing.spread(timing.ratios(results, name, BARE, lambda usage: usage.cpu)),
            f"{max(usage.memory for usage in usages) / 2**20:.0f}",
        ]
        for name, usages in results.items()
    ]
    return timing.table(["", "seconds", "wall, ratio", "CPU, ratio", "peak MiB, largest process"], rows)


# --- the contestants --------------------------------------------------------------------------------------------------


def _bare(home: Path) -> Contestant:
    """The two commands, in the very environment that Foretell makes for them."""
    shutil.copytree(MODEL, home)
    source = load(home / "foretell.toml").source
    cache = paths.cache(os.environ) / "environments"
    place = environment.ensure(source, home, cache, log=lambda _: None, environ=os.environ)
    if place is None:
        raise AssertionError(source)
    both = " && ".join(COMMAND.format(action) for action in ("training", "application"))
    return _shell(both, home, place / "bin")


def _foretell(home: Path) -> Contestant:
    """The same model as a service, with its predictions delivered to DuckDB."""
    shutil.copytree(MODEL, home)
    return _shell("foretell run training && foretell run application", home, Path(sys.executable).parent)


def _metaflow(home: Path) -> Contestant:
    shutil.copytree(MODEL, home)
    shutil.copy(PEERS / "flow.py", home)
    return _shell("python flow.py run", home, _venv("Metaflow"))


def _dvc(home: Path) -> Contestant:
    shutil.copytree(MODEL, home)
    shutil.copy(PEERS / "dvc.yaml", home)
    (home / "output").mkdir()
    place = _venv("DVC")
    for line in (
        "dvc init --quiet --no-scm",
        "dvc config core.analytics false",
        "dvc config core.check_update false",
    ):
        _shell(line, home, place)()
    return _shell("dvc repro --force", home, place)


def _shell(line: str, home: Path, bin_: Path) -> Contestant:
    env = timing.environment(**QUIET)
    env["PATH"] = f"{bin_}{os.pathsep}{env['PATH']}"
    return partial(timing.command, ["sh", "-c", line], cwd=home, env=env)


def _venv(peer: str) -> Path:
    """Give the bin of a peer's own environment, made once, with the model's requirements in it."""
    place = paths.cache(os.environ) / "bench" / PINS[peer].replace("==", "-")
    if not (place / "complete").exists():
        tool = uv.find_uv_bin()
        subprocess.run([tool, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True)
        install = [
            tool,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(place / "bin" / "python"),
        ]
        subprocess.run([*install, PINS[peer], "-r", str(MODEL / "requirements.txt")], check=True)
        (place / "complete").touch()
    return place / "bin"


if __name__ == "__main__":
    main()
