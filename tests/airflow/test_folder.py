"""One DAG file for a folder of services, in Airflow's own dag processor."""

from __future__ import annotations

import shutil

import pytest

from foretell.errors import ServiceFileError
from foretell.service import load
from tests.airflow.toy import Toy
from tests.standins.airflow.components import Components

pytestmark = pytest.mark.airflow


def test_a_broken_service_is_an_import_error_and_takes_no_other_with_it(shared: Components) -> None:
    sound = Toy(shared.dags / "sound", name="sound")
    broken = Toy(shared.dags / "broken", name="broken")
    twin = shared.dags / "twin"
    shutil.copytree(sound.place, twin)
    for toy in (sound.place, broken.place, twin):
        (toy / "dags.py").unlink()
    (shared.dags / "all.py").write_text(
        "from foretell.airflow import dags\n\nglobals().update(dags(__file__))\n"
    )
    shared.wait_dags("sound-training", "sound-application", "broken-training", "broken-application")
    whole = (broken.place / "foretell.toml").read_text()
    (broken.place / "foretell.toml").write_text(whole.replace("schedule", "shedule"))
    with pytest.raises(ServiceFileError) as told:
        load.load(broken.place, environ={})

    found = shared.until(
        lambda: (errors := shared.import_errors()).get("broken/foretell.toml") and errors, "the import error"
    )
    assert str(told.value) in found["broken/foretell.toml"]
    assert 'two services of the name "sound"' in found["twin/foretell.toml"]
    assert "all.py" not in found
    known = {dag["dag_id"]: dag for dag in shared.get("dags?limit=1000")["dags"]}
    assert not known["sound-training"]["has_import_errors"]
    assert not known["sound-training"]["is_stale"]
    run = shared.trigger("sound-training")
    assert shared.wait_run("sound-training", run) == "success"

    (broken.place / "foretell.toml").write_text(whole)
    shutil.rmtree(twin)
    shared.until(lambda: not shared.import_errors(), "an end of the import errors")
    run = shared.trigger("broken-training")
    assert shared.wait_run("broken-training", run) == "success"


def test_the_file_of_a_single_broken_service_fails_with_the_message_of_the_command_line(
    shared: Components,
) -> None:
    toy = Toy(shared.dags / "alone", name="alone")
    file = toy.place / "foretell.toml"
    file.write_text(file.read_text().replace("schedule", "shedule"))
    with pytest.raises(ServiceFileError) as told:
        load.load(file, environ={})
    found = shared.until(lambda: shared.import_errors().get("alone/dags.py"), "the import error")
    assert str(told.value) in found
