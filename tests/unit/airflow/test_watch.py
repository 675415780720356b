"""A watch where the libraries of the platform are not installed: it goes on by what the agent says itself (P7)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import asyncio, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("google", "requests"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())

from datetime import UTC, datetime
from foretell import platforms
from foretell.airflow.watch import Watch, execute
from foretell.protocol.effects import End, Probe, call
from foretell.protocol.keys import Run
from foretell.protocol.records import Launch
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.store import Store

run = Run("toy", "1", "training", datetime(2026, 11, 21, 6, tzinfo=UTC), 1)
launch = Launch(nonce="n", machine="toy-training-1-n", failures_left=0, losses_left=0)
watch = Watch(Store(sys.argv[1]), run, 1.0, print)
watch._platform = platforms.connect(ComputeEngineSettings(project="p", zones=("z",)))

async def all_at_once():
    asked = [watch._perform(Probe(None, launch)) for _ in range(16)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    print({(type(error).__name__, error.hint) for error in told})
    await asyncio.wait_for(execute(call(End(None, launch)), watch._perform), 5)
    print("stopping is let go")

asyncio.run(all_at_once())
"""


def test_many_watches_at_once_go_on_without_the_platform(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path.as_uri()], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [
        "{('RefusedError', \"pip install 'foretell[google]'\")}",
        "stopping is let go",
    ], done.stderr
