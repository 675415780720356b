"""The command: python -m prediction.main --action training --config configs/training.json."""

from __future__ import annotations

import argparse
import csv
import json
import logging
from pathlib import Path
from typing import Any

from prediction.model import Model, fit

LOG = logging.getLogger(__name__)
FEATURES = ("orders", "days_since_order")


def train(config: dict[str, Any]) -> None:
    """Fit on three customers of four, score on the fourth, keep the model and the score."""
    customers = read(config["data"])
    known, unseen = [c for i, c in enumerate(customers) if i % 4], customers[::4]
    model = fit(features(known), left(known), rounds=config["rounds"], rate=config["rate"])
    right = sum(
        (model.probability(x) >= 0.5) == y for x, y in zip(features(unseen), left(unseen), strict=True)
    )
    metrics = {"accuracy": right / len(unseen), "customers": len(known)}
    write(config["model"], json.dumps(model.parameters()))
    write(config["metrics"], json.dumps(metrics))
    LOG.info("accuracy %.2f on %d customers that the model has not seen", metrics["accuracy"], len(unseen))


def apply(config: dict[str, Any]) -> None:
    """Say of every customer how likely it is that they leave."""
    model = Model(**json.loads(Path(config["model"]).read_text()))
    customers = read(config["data"])
    lines = ["customer_id,probability,label"]
    for customer, x in zip(customers, features(customers), strict=True):
        probability = model.probability(x)
        lines.append(f"{customer['customer_id']},{probability:.4f},{str(probability >= 0.5).lower()}")
    write(config["predictions"], "\n".join(lines) + "\n")
    LOG.info("%d customers", len(customers))


def read(path: str) -> list[dict[str, str]]:
    """Read the customers."""
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def features(customers: list[dict[str, str]]) -> list[list[float]]:
    """Return what the model looks at."""
    return [[float(customer[name]) for name in FEATURES] for customer in customers]


def left(customers: list[dict[str, str]]) -> list[bool]:
    """Return what the model is to foretell."""
    return [customer["left"] == "true" for customer in customers]


def write(path: str, text: str) -> None:
    """Write a file, and the directory it is in."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def main() -> None:
    """Read the command line, then do what it asks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--action", choices=["training", "application"], required=True)
    parser.add_argument("--config", type=Path, required=True)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = json.loads(args.config.read_text())
    {"training": train, "application": apply}[args.action](config)


if __name__ == "__main__":
    main()
