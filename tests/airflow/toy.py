"""A service whose commands wait at a gate, so that a test decides when they end, and how."""

from __future__ import annotations

import os
import time
from pathlib import Path

import duckdb

from foretell.controller.controller import Controller, connect
from foretell.controller.history import lines
from foretell.service import load
from foretell.system.processes import survivors

FILE = """\
name = "{name}"
target = "{target}"
timezone = "Europe/Stockholm"

[env]
GATE = "{gate}"

[actions.training]
schedule = "0 4 1 * *"
command = "sh toy.sh"

[actions.application]
schedule = "0 6 * * *"
after = ["training"]
inputs = ["training"]
command = "sh toy.sh"

[actions.application.delivery]
file = "rows.csv"
columns = "customer:STRING,score:FLOAT64"
mode = "partition"
partition = "day"
"""
SCRIPT = """\
echo "$ACTION of $FORETELL_DATE begins: $FORETELL_INTERVAL_START to $FORETELL_INTERVAL_END"
touch "$GATE/$ACTION.${FORETELL_RUN##*/}.$FORETELL_ATTEMPT"
while [ -e "$GATE/closed" ]; do sleep 0.1; done
if [ -e "$GATE/fail.$ACTION" ]; then echo "no luck" >&2; exit 7; fi
mkdir -p output
echo "$FORETELL_RUN" > output/model
printf 'customer,score\\na,1\\nb,2\\n' > output/rows.csv
echo '{"accuracy": 0.5}' > output/metrics.json
echo done
"""


class Toy:
    """The service in `place`, its gate open at first."""

    def __init__(self, place: Path, *, name: str = "toy", target: str = "local", more: str = "") -> None:
        self.place = place
        self.name = name
        self.target = target
        self.gate = place.parent.parent / f"gate-{name}"
        self.gate.mkdir(parents=True)
        place.mkdir(parents=True)
        text = FILE.format(name=name, target=target, gate=self.gate)
        (place / "foretell.toml").write_text(text + more)
        (place / "toy.sh").write_text(SCRIPT)
        (place / "dags.py").write_text(
            "from foretell.airflow import dags\n\nglobals().update(dags(__file__))\n"
        )

    # --- the gate ----------------------------------------------------------------------------------------

    def shut(self) -> None:
        (self.gate / "closed").touch()

    def open(self) -> None:
        (self.gate / "closed").unlink(missing_ok=True)

    def fail(self, action: str, *, bad: bool = True) -> None:
        mark = self.gate / f"fail.{action}"
        mark.touch() if bad else mark.unlink(missing_ok=True)

    def began(self, action: str) -> list[str]:
        """Give RUN-ID.ATTEMPT of every command that has begun, in no order."""
        return sorted(path.name.partition(".")[2] for path in self.gate.glob(f"{action}.*"))

    def wait_begun(self, action: str, count: int = 1, patience: float = 120) -> None:
        end = time.monotonic() + patience
        while len(self.began(action)) < count:
            assert time.monotonic() < end, f"{action} did not begin: {self.began(action)}"
            time.sleep(0.1)

    def alive(self) -> list[int]:
        """Give the processes of commands that live: whatever has this gate in its environment."""
        return [pid for pid in survivors(f"GATE={self.gate}") if pid != os.getpid()]

    # --- the store ---------------------------------------------------------------------------------------

    @property
    def controller(self) -> Controller:
        return connect(load.load(self.place, environ=os.environ), self.target)

    def runs(self, action: str) -> list[tuple[str, str]]:
        """Give (run id, state) of every run on record, oldest first."""
        found = lines(self.controller, action, None)
        return [(line.run.id, str(line.state.phase)) for line in reversed(found)]

    def count(self, table: str) -> int:
        """Give how many rows a table of the warehouse has."""
        warehouse = self.place / ".foretell" / "warehouse.duckdb"
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        return int(found[0])
