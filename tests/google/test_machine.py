"""An attempt on a machine that really boots: the unit's own script, the registry, the container, the end."""

from __future__ import annotations

from tests.google.production import Production


def test_a_run_is_a_machine_that_is_gone_afterwards(production: Production) -> None:
    production.command("training", "echo begun; echo model > output/model")
    production.build()
    production.foretell("run", "training")
    (run,) = [
        production.controller.find(line.split()[0])
        for line in production.foretell("runs").stdout.splitlines()[1:]
    ]
    assert production.outcome(run).kind == "produced"
    assert production.host(run) is None
    production.must_leave_nothing()
