"""The command: python -m prediction.main --action training --config configs/training.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from prediction.evaluation import evaluate
from prediction.model import fit
from prediction.orders import load


def train(config: dict[str, Any]) -> None:
    """Score the method on the newest quarter, then make the model that has learnt from that quarter."""
    orders, as_of = load(config["orders"]), pd.Timestamp(config["as_of"])
    horizon = pd.Timedelta(days=config["horizon_days"])
    metrics = evaluate(orders, as_of, horizon)
    joblib.dump(fit(orders, as_of, horizon), _made(config["model"]))
    _made(config["metrics"]).write_text(json.dumps(metrics, indent=2) + "\n")
    for name, score in metrics.items():
        print(f"{name:32}{score:12g}")


def apply(config: dict[str, Any]) -> None:
    """Foretell the quarter after the newest order for every customer."""
    model = joblib.load(config["model"])
    predictions = model.predict(load(config["orders"]), pd.Timestamp(config["as_of"]))
    predictions.to_csv(_made(config["predictions"]))
    print(f"{len(predictions)} customers, {predictions['label'].sum()} of them likely to order again")


def _made(path: str) -> Path:
    """Give the path, in a directory that is there."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(path)


def main() -> None:
    """Read the command line, then do what it asks."""
    parser = argparse.ArgumentParser(description="Customer lifetime value.")
    parser.add_argument("--action", choices=["training", "application"], required=True)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    arguments = parser.parse_args()
    config = json.loads(arguments.config.read_text())
    {"training": train, "application": apply}[arguments.action](config)


if __name__ == "__main__":
    main()
