"""Trains and applies: python -m prediction.main --action training --config configs/training.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd


def customers(config: dict[str, str]) -> pd.DataFrame:
    """Read who visited how often, and who left."""
    return pd.read_csv(config["customers"], dtype={"customer_id": str})


def train(config: dict[str, str]) -> None:
    """Find the number of visits half-way between those who left and those who stayed."""
    visits = customers(config).groupby("left")["visits"].mean()
    Path(config["model"]).write_text(json.dumps({"threshold": visits.mean()}))


def apply(config: dict[str, str]) -> None:
    """Label who visits less often than that."""
    threshold = json.loads(Path(config["model"]).read_text())["threshold"]
    table = customers(config)
    table["label"] = table["visits"] < threshold
    table[["customer_id", "label"]].to_csv(config["predictions"], index=False)


ACTIONS = {"training": train, "application": apply}


def act(action: str) -> None:
    """Carry out one action, as configured beside this package."""
    Path("output").mkdir(exist_ok=True)
    ACTIONS[action](json.loads(Path(f"configs/{action}.json").read_text()))


def main() -> None:
    """Read the command line, then do what it asks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--action", choices=ACTIONS, required=True)
    parser.add_argument("--config", type=Path, required=True)
    arguments = parser.parse_args()
    Path("output").mkdir(exist_ok=True)
    ACTIONS[arguments.action](json.loads(arguments.config.read_text()))


if __name__ == "__main__":
    main()
