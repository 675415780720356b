"""Where tests are: what mirrors the source, and what a run of tests/unit does without."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SOURCE = ROOT / "src" / "foretell"
GIVEN = {"template", "templates"}
"""Folders of what is given to users, or runs while an image is built: tested by what is made of it."""

ELSEWHERE: dict[str, dict[str, str]] = {
    "what it does is done by processes, which live or are killed": {
        "acceptance/test_kill.py": "agent/guard agent/lifecycle agent/session",
        "acceptance/test_bad_store.py": "agent/fence store/__init__ store/handler",
        "acceptance/test_streams.py": "agent/streams cli/streams",
        "acceptance/test_outputs.py": "agent/output agent/predictions warehouses/settle",
        "acceptance/test_spare.py": "system/standby",
        "acceptance/test_environment.py": "agent/environment agent/interpreter agent/tools",
        "acceptance/test_indexes.py": "agent/installing service/requirements/indexes",
    },
    "a verb is what a process of the command line says and returns": {
        "acceptance/test_cli.py": "__main__ cli/completion cli/execution cli/follow cli/interruption cli/models"
        " cli/opening cli/setup cli/story cli/upkeep controller/library controller/patience errors",
        "acceptance/test_columns.py": "cli/columns",
        "acceptance/test_ticks.py": "cli/ticking",
        "acceptance/test_withdrawal.py": "__init__ cli/withdrawal",
        "airflow/test_up.py": "cli/airflow",
        "docker/test_build.py": "cli/images",
        "google/test_plan.py": "cli/planning",
        "unit/cli/test_parsing.py": "cli/wording",
        "acceptance/test_init.py": "scaffold/__init__ scaffold/commands scaffold/configs scaffold/packages scaffold/text",
    },
    "it means something only inside of Airflow, or for a graph of it": {
        "airflow/test_graphs.py": "airflow/__init__ airflow/assets airflow/compat airflow/dag_docs airflow/graphs"
        " airflow/operators airflow/provider",
        "airflow/test_identity.py": "airflow/identity",
        "airflow/test_tasks.py": "airflow/duties",
        "airflow/test_trigger.py": "airflow/trigger",
        "airflow/test_people.py": "airflow/links airflow/tail",
        "airflow/test_folder.py": "airflow/broken",
        "airflow/test_up.py": "airflow/local doctor/airflow",
    },
    "one suite for every kind that a Protocol has": {
        "contract/test_platforms.py": "platforms/__init__ platforms/base platforms/process/platform controller/controller"
        " controller/handler",
        "contract/test_warehouses.py": "warehouses/__init__ warehouses/base warehouses/duckdb/table"
        " warehouses/duckdb/warehouse warehouses/duckdb/withdrawal warehouses/bigquery/reading"
        " warehouses/bigquery/scripts warehouses/bigquery/table warehouses/bigquery/withdrawal"
        " testing/__init__ testing/warehouses/__init__ testing/warehouses/candidate testing/warehouses/deliveries"
        " testing/warehouses/refusals testing/warehouses/shipping testing/warehouses/withdrawals",
    },
    "Google's services answer, or stand-ins for them": {
        "google/test_rest.py": "google/connection google/credentials google/endpoints google/rest",
        "google/test_speaking.py": "google/secrets",
        "google/test_compute_engine.py": "google/compute platforms/compute_engine/platform",
        "google/test_bigquery.py": "warehouses/bigquery/errors warehouses/bigquery/jobs"
        " warehouses/bigquery/staging warehouses/bigquery/warehouse",
        "google/test_plan.py": "warehouses/bigquery/dry_run",
        "google/test_bucket.py": "store/bucket",
        "google/test_doctor.py": "doctor/google doctor/kinds google/adc google/inspection"
        " platforms/compute_engine/checks system/check warehouses/bigquery/checks warehouses/bigquery/location",
        "google/test_commands.py": "google/remedies store/errors",
    },
    "an engine makes an image, or runs one": {
        "docker/test_build.py": "images/build",
        "docker/test_run.py": "platforms/docker/platform",
        "docker/test_podman.py": "system/container_engine",
    },
    "the rules are tried in histories, not line by line": {
        "simulation/test_one_fault.py": "protocol/reconciler protocol/rules protocol/steps",
        "simulation/test_scripted_histories.py": "protocol/effects",
    },
    "it is a part of what another test's subject does": {
        "acceptance/test_concurrency.py": "controller/resolve",
        "property/test_deliveries.py": "protocol/scope",
        "property/test_loading_fuzz.py": "service/form service/positions service/reader",
        "property/test_requirements_fuzz.py": "service/requirements/lines service/requirements/needs"
        " service/requirements/place",
        "unit/agent/test_log.py": "protocol/frames",
        "unit/controller/test_links.py": "google/console platforms/compute_engine/links",
        "unit/controller/test_tick.py": "doctor/ticks protocol/keys system/times",
        "unit/delivery/test_columns.py": "delivery/declaration",
        "unit/delivery/test_files.py": "delivery/conversion delivery/csv_files delivery/formats delivery/json_lines"
        " delivery/parquet_files delivery/rules delivery/sql warehouses/documents",
        "unit/doctor/test_doctor.py": "doctor/__init__ doctor/environment",
        "unit/doctor/test_upgrading.py": "controller/freeze images/chosen images/lock",
        "unit/images/test_recipe.py": "images/context images/index images/wheel system/paths",
        "unit/service/requirements/test_convert.py": "service/requirements/graph service/requirements/groups"
        " service/requirements/pdm service/requirements/pins service/requirements/pipenv"
        " service/requirements/poetry service/requirements/steps service/requirements/versions",
        "unit/service/requirements/test_declared.py": "service/requirements/foreign service/requirements/wishes",
        "unit/service/test_env_file.py": "doctor/env_file",
        "unit/service/test_load.py": "platforms/compute_engine/settings platforms/docker/settings"
        " platforms/process/settings warehouses/bigquery/settings warehouses/duckdb/settings"
        " service/actions service/airflow service/context service/declaration"
        " service/discovery service/durations service/layers service/model service/targets service/times",
        "unit/service/test_problems.py": "service/deliveries service/delivery",
        "unit/sources/test_copying.py": "sources/digests sources/snapshot",
        "unit/sources/test_left_out.py": "doctor/left_out sources/ignore sources/secrets",
        "unit/sources/test_tree.py": "sources/fingerprint sources/revision",
        "unit/store/test_artifacts.py": "system/parallel",
        "unit/store/test_directory.py": "store/connect",
        "unit/cli/test_output.py": "system/text",
    },
}
"""By the reason why a module of the source has no test file of its own: the file in which it is tested."""


def modules() -> set[str]:
    """Return every module that holds more than a sentence, as package/module."""
    return {
        path.relative_to(SOURCE).with_suffix("").as_posix()
        for path in SOURCE.rglob("*.py")
        if not GIVEN & set(path.parts) and len(ast.parse(path.read_text()).body) > 1
    }


def mirror(module: str) -> str:
    package, _, name = module.rpartition("/")
    return f"unit/{package}/test_{name}.py" if package else f"unit/test_{name}.py"


def listed() -> list[tuple[str, str]]:
    """Return (module, test file) as ELSEWHERE has them."""
    return [
        (module, test)
        for tests in ELSEWHERE.values()
        for test, named in tests.items()
        for module in named.split()
    ]


def test_each_module_has_its_test_or_is_on_the_list() -> None:
    elsewhere = {module for module, _ in listed()}
    lacking = {m for m in modules() - elsewhere if not (TESTS / mirror(m)).is_file()}
    assert not lacking, (
        "write tests/unit/PACKAGE/test_MODULE.py, or say in ELSEWHERE where it is tested and why"
    )


def test_the_list_names_what_is_there() -> None:
    named = [module for module, _ in listed()]
    assert len(named) == len(set(named)), "a module is listed twice"
    assert not set(named) - modules(), "a module is gone: take it from the list"
    assert not {m for m in named if (TESTS / mirror(m)).is_file()}, (
        "it has a test file by now: take it from the list"
    )
    assert not {test for _, test in listed() if not (TESTS / test).is_file()}, "a test file is gone"


def test_a_folder_of_unit_tests_is_a_package_of_the_source() -> None:
    folders = {path.parent.relative_to(TESTS / "unit") for path in (TESTS / "unit").rglob("test_*.py")}
    assert not {folder for folder in folders if not (SOURCE / folder / "__init__.py").is_file()}


COLLECT = """\
import sys, pytest
code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "tests/unit"])
loaded = [name for name in sys.modules if name.startswith("tests.standins")]
sys.exit(f"loaded: {sorted(loaded)}" if loaded else code)
"""


@pytest.mark.slow
def test_a_run_of_the_unit_tests_loads_no_stand_in() -> None:
    command = [sys.executable, "-c", COLLECT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
