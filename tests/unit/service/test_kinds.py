"""Kinds of platform and warehouse: Foretell's own by a table, others by the entry points of their packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from foretell import load
from foretell.cli.main import VERBS
from foretell.controller.freeze import must_suit_images
from foretell.errors import MissingKindError, ServiceFileError, UsageError
from foretell.images import wheel
from foretell.service import kinds, model
from foretell.service.load import schema
from tests.support.kinds import PACKAGE

LEAST = 'name = "toy"\n[actions.training]\ncommand = "true"\n'


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the package of the fixtures beside Foretell, and forget it afterwards."""
    monkeypatch.syspath_prepend(str(PACKAGE))
    yield
    kinds.PLATFORMS._brought.clear()
    kinds.WAREHOUSES._brought.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "foretell_crate"]:
        del sys.modules[name]


def loaded(tmp_path: Path, target: str) -> model.Service:
    (tmp_path / "foretell.toml").write_text(f"{LEAST}[targets.server]\n{target}\n")
    return load(tmp_path)


def fault(tmp_path: Path, target: str) -> str:
    with pytest.raises(ServiceFileError) as told:
        loaded(tmp_path, target)
    (only,) = told.value.faults
    return only


@pytest.mark.usefixtures("brought")
def test_a_service_file_names_a_kind_of_another_package(tmp_path: Path) -> None:
    service = loaded(tmp_path, 'platform = {kind = "bench", seats = 3}\nwarehouse = {kind = "crate"}')
    target = service.targets["server"]
    assert target.platform.kind == "bench"
    assert target.platform.directory == tmp_path / "bench"
    assert target.warehouse.file == tmp_path / "crate.db"
    assert target.packages == ["foretell-crate"]
    assert (
        msgspec.json.decode(msgspec.json.encode(target), type=model.Target, dec_hook=kinds.decoded) == target
    )


@pytest.mark.usefixtures("brought")
@pytest.mark.parametrize(
    ("target", "told"),
    [
        ('platform = {kind = "bench", seat = 3}', 'unknown key "seat"; did you mean "seats"?'),
        ('platform = {kind = "bench", seats = 10}', '"seats" must be an integer from 1 to 9, not'),
        ('platform = {kind = "benches"}', 'unknown kind of platform "benches"; did you mean "bench"?'),
        ('warehouse = {kind = "crate", dataset = "lost"}', 'a crate has no dataset "lost"'),
        ('warehouse = {kind = "crate", location = "EU"}', 'it belongs to kind = "bigquery"'),
        ('platform = {kind = "torn"}', "No module named 'a_library_that_is_not_there'"),
    ],
)
def test_its_faults_are_told_as_those_of_any_other(tmp_path: Path, target: str, told: str) -> None:
    found = fault(tmp_path, target)
    assert told in found
    assert "foretell.toml:5: [targets.server." in found


@pytest.mark.usefixtures("brought")
def test_the_schema_has_its_keys() -> None:
    tables = schema()["$defs"]
    assert isinstance(tables, dict)
    assert list(tables["BenchSettings"]["properties"]) == ["kind", "home", "seats"]
    assert {"$ref": "#/$defs/CrateSettings"} in tables["Target"]["properties"]["warehouse"]["anyOf"]


def test_a_kind_that_nobody_brings_is_told_with_the_package_to_install() -> None:
    data = b'{"name": "server", "store": "file:///s", "platform": {"kind": "bench"}, "warehouse": {"kind": "crate"}}'
    with pytest.raises(MissingKindError) as told:
        msgspec.json.decode(data, type=model.Target, dec_hook=kinds.decoded)
    assert told.value.exit_code == 3
    assert 'no platform of the kind "bench"' in told.value.what
    assert "pip install foretell-bench" in told.value.hint


@pytest.mark.usefixtures("brought")
def test_a_target_that_runs_images_needs_the_package_in_its_agent(tmp_path: Path) -> None:
    service = loaded(tmp_path, 'platform = {kind = "docker"}\nwarehouse = {kind = "crate"}')
    with pytest.raises(UsageError, match='would lack "foretell-crate"') as told:
        must_suit_images(service, service.targets["server"])
    assert 'agent_packages = ["foretell-crate"]' in told.value.hint
    must_suit_images(service, service.targets["docker"])
    given = loaded(
        tmp_path,
        'platform = {kind = "docker"}\nwarehouse = {kind = "crate"}\n[image]\nagent_packages = ["Foretell_Crate"]',
    )
    must_suit_images(given, given.targets["server"])


@pytest.mark.usefixtures("brought")
def test_the_agent_has_the_packages_that_are_asked_for() -> None:
    lines = wheel.agent(packages=["foretell-crate"]).requirements.splitlines()
    assert "foretell-crate==1.0" in lines
    assert not [line for line in lines if line.startswith("foretell==")]  # which the agent is
    with pytest.raises(UsageError, match='"foretell-cratte", which is not installed here'):
        wheel.agent(packages=["foretell-cratte"])


def test_who_uses_foretells_own_kinds_does_not_look_through_what_is_installed(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text(f'{LEAST}[targets.server]\nplatform = {{kind = "docker"}}\n')
    code = "import sys, foretell; foretell.load(sys.argv[1]); print(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    seen = set(done.stdout.splitlines())
    assert not seen & {"importlib.metadata", "duckdb", "google.auth", "foretell.platforms.docker.platform"}
    assert "foretell.platforms.docker.settings" in seen


STARTED_ALONE = (
    "foretell.agent.session",
    "foretell.airflow.duties",
    "foretell.airflow.graphs",
    "foretell.airflow.trigger",
    "foretell.airflow.watch",
    "foretell.controller.library",
    *sorted({f"foretell.cli.{module}" for module, _ in VERBS.values()} - {"foretell.cli.completion"}),
)
"""What a process begins with that reads service files or records."""


KNOWS = """
import importlib, os, sys
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        importlib.import_module(name)
        from foretell.service.kinds import PLATFORMS, WAREHOUSES
        assert PLATFORMS.find("docker") and WAREHOUSES.find("duckdb")
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{name} does not know the kinds")
"""


def test_every_process_knows_the_kinds_that_a_record_names() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KNOWS, *STARTED_ALONE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
