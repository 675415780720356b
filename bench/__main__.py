"""Runs all benchmarks, or those that are named: python -m bench overhead startup."""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = {
    "overhead": "training and application of the least model: Foretell, others, the bare commands",
    "startup": "`foretell --help` against `python -c pass`",
    "production": "commands on a target in Google's cloud against the same on this machine",
    "history": "`foretell runs` and `foretell models` after ten years of runs",
    "copies": "a snapshot and a working directory against `cp -r`",
    "artifacts": "saving and loading outputs against `cp -r`",
    "images": "a changed line rebuilt and pushed against a plain Dockerfile; a run in a container against one beside",
    "graphs": "a thousand services read by Airflow against plain DAGs, the seed's loader and dag-factory",
    "waiting": "a thousand runs deferred in Airflow at once; how soon an end is noticed",
    "delivery": "delivering ten million rows against a bare INSERT",
    "bigquery": "delivering ten million rows to BigQuery's stand-in against a bare load job",
}


def main(chosen: list[str]) -> int:
    """Run each in a process of its own, so that none is measured in what another left behind."""
    if unknown := [name for name in chosen if name not in BENCHMARKS]:
        lines = [f"  {name:10} {text}" for name, text in BENCHMARKS.items()]
        print(f'there is no benchmark "{unknown[0]}"; choose from:', *lines, sep="\n", file=sys.stderr)
        return 2
    for name in chosen or BENCHMARKS:
        print(f"\n## {name}: {BENCHMARKS[name]}\n", flush=True)
        if code := subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
