"""The example is what its README says: the data are whole, the configs readable, the requirements pinned."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import tomllib
from datetime import date
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "lifetime-value"
ORDERS = EXAMPLE / "data" / "orders.csv.gz"


def orders() -> list[dict[str, str]]:
    with gzip.open(ORDERS, mode="rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_data_are_the_file_whose_digest_and_licence_the_readme_states() -> None:
    readme = (EXAMPLE / "data" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(ORDERS.read_bytes()).hexdigest() in readme
    assert "Permission is hereby granted, free of charge" in (EXAMPLE / "data" / "LICENSE").read_text("utf-8")


def test_the_orders_are_as_many_and_from_when_the_readme_says() -> None:
    rows = orders()
    days = sorted(date.fromisoformat(row["date"]) for row in rows)
    assert list(rows[0]) == ["customer_id", "date", "cds", "amount"]
    assert (len(rows), len({row["customer_id"] for row in rows})) == (69_659, 23_570)
    assert (days[0], days[-1]) == (date(1997, 1, 1), date(1998, 6, 30))


def test_both_actions_of_the_service_file_have_a_config_that_names_files_that_are_there() -> None:
    service = tomllib.loads((EXAMPLE / "foretell.toml").read_text(encoding="utf-8"))
    configs = {path.stem: json.loads(path.read_bytes()) for path in EXAMPLE.glob("configs/*.json")}
    assert configs.keys() == service["actions"].keys()
    assert all((EXAMPLE / config["orders"]).is_file() for config in configs.values())
    assert configs["training"]["model"] == configs["application"]["model"]


def test_every_requirement_is_pinned_to_one_version() -> None:
    lines = (EXAMPLE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines
    assert all(re.fullmatch(r"[a-z0-9-]+==\d+(\.\d+)*", line) for line in lines), lines
