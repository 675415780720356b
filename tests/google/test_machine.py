"""An attempt on a machine that really boots: the unit's own script, the registry, the container, the end."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import unquote

from foretell.protocol.keys import Run
from tests.standins.google.cloud import PROJECT
from tests.standins.google.discovery import Json
from tests.support.production import Production
from tests.support.theatre import Theatre

TOKEN, VALUE = f"projects/{PROJECT}/secrets/token/versions/3", "s3cret-value"


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


def test_a_secret_reaches_the_command_and_nothing_that_is_kept(production: Production) -> None:
    """The machine reads it by its reference: it is in no metadata, no record, no image, no log."""
    cloud = production.cloud
    cloud.services.secrets[TOKEN] = VALUE.encode()
    production.command(
        "training",
        """\
        python3 -c 'import hashlib, os; print(hashlib.sha256(os.environb[b"TOKEN"]).hexdigest())' > output/model
        echo "the token is $TOKEN"
        echo "WARNING: not to be shown: $TOKEN" >&2
        echo '{"severity": "ERROR", "message": "a line of its own", "step": 3}'
        """,
        more=f'secrets = {{TOKEN = "{TOKEN}"}}',
    )
    production.build()
    run = production.start("training")
    production.foretell("wait", run.label)
    assert production.outcome(run).kind == "produced"
    machine = production.machine(run)
    told = production.foretell("get", run.label, "--to", str(production.root.parent / "got"))
    assert (production.root.parent / "got" / "model").read_text().strip() == hashed(VALUE)
    assert [seen.who for seen in cloud.stand_in.seen("secretmanager*")] == [f"machine {machine.name}"]
    said = [told.stdout, *(production.foretell(verb, run.label).stdout for verb in ("logs", "show"))]
    kept = [
        production.storage.read(production.bucket, name)
        for name in production.storage.names(production.bucket)
    ]
    asked = [str(seen.body) + seen.path for seen in cloud.stand_in.log]
    everything = f"{said} {machine.body} {machine.serial} {cloud.services.entries} {asked} {kept}"
    assert VALUE not in everything
    assert "the token is ***TOKEN***" in said[1]
    must_be_told_in_cloud_logging(cloud.services.entries, run)
    production.must_leave_nothing()


def must_be_told_in_cloud_logging(entries: list[Json], run: Run) -> None:
    """Each line is an entry that is found by the run's labels, with its stream and its severity."""
    wanted = {"service": "toy", "version": "1", "action": "training", "run": run.id, "attempt": "1"}
    for entry in entries:
        assert entry["labels"].items() >= wanted.items()
        assert entry["logName"] == f"projects/{PROJECT}/logs/foretell"
        assert entry["resource"]["labels"]["task_id"] == f"{run.id}/1"
    found = {
        entry.get("textPayload") or entry["jsonPayload"]["message"]: (
            entry["severity"],
            entry["labels"].get("stream", ""),
        )
        for entry in entries
    }
    assert found["attempt 1 starts"] == ("INFO", "")
    assert found["the token is ***TOKEN***"] == ("DEFAULT", "stdout")
    assert found["WARNING: not to be shown: ***TOKEN***"] == ("WARNING", "stderr")
    assert found["a line of its own"] == ("ERROR", "stdout")


def test_a_log_is_followed_while_the_machine_runs_and_shown_where_the_console_has_it(
    theatre: Theatre,
) -> None:
    production = theatre.production
    run, machine = theatre.begin("application")
    follower = production.spawn("logs", run.label, "--follow")
    with follower:
        assert follower.stdout
        assert follower.stdout.readline() == "begun application\n"
        assert [one.name for one in theatre.compute.alive] == [machine.name], "the machine runs"
        theatre.conductor.tell("application", "succeed")
        assert follower.stdout.read() == ""
    assert follower.returncode == 0
    theatre.wait(run)
    theatre.must_have(run, "succeeded", attempts=1)
    shown = json.loads(production.foretell("show", run.label, "--json").stdout)["console"]
    assert shown.keys() == {"machine", "log", "bucket", "table"}
    assert f'labels.run="{run.id}"' in unquote(shown["log"])
    assert unquote(shown["bucket"]).partition("?")[0].endswith(f"/{production.bucket}/{run.folder}")
    assert f"d={production.dataset}&t=predictions" in shown["table"]
    text = production.foretell("show", run.label).stdout
    assert all(address in text for address in shown.values())


def hashed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
