"""foretell.toml: its defaults, its layers, and every fault with its line."""

from __future__ import annotations

import json
import runpy
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from foretell.errors import ServiceFileError
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.platforms.docker.settings import DockerSettings
from foretell.platforms.process.settings import ProcessSettings
from foretell.protocol.records import asked_since_2
from foretell.service import declaration, form
from foretell.service.delivery import Column
from foretell.service.kinds import decoded
from foretell.service.load import find, load, schema
from foretell.service.model import Action, Input, Service, Target
from foretell.service.times import Times
from foretell.warehouses.bigquery.settings import BigQuerySettings
from foretell.warehouses.duckdb.settings import DuckDBSettings

HOUSE = Path(__file__).parents[3]
LEAST = """\
name = "example"
[actions.training]
command = "train"
"""
DELIVERING = LEAST + '[actions.training.delivery]\nfile = "p.csv"\n'
MACHINES = '[targets.x]\nstore = "gs://b"\n[targets.x.platform]\nkind = "compute-engine"\n'


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root / "foretell.toml"


def loaded(root: Path, text: str, **files: str) -> Service:
    return load(write(root, {"foretell.toml": text, **files}), environ={"HOME": "/home/someone"})


def faults(root: Path, text: str, **files: str) -> tuple[str, ...]:
    with pytest.raises(ServiceFileError) as caught:
        loaded(root, text, **files)
    assert caught.value.exit_code == 2
    return caught.value.faults


# --- what a file says, and what it leaves to defaults


def test_the_least_file_gets_every_default(tmp_path: Path) -> None:
    service = loaded(tmp_path, LEAST)
    assert (service.name, service.version, service.target, service.timezone) == ("example", "1", None, "UTC")
    assert service.root == tmp_path.resolve()
    training = service.actions["training"]
    assert training.command == ("train",)
    assert (training.output, training.timeout, training.retries, training.losses) == ("output", 21600, 0, 2)
    local, docker = service.targets["local"], service.targets["docker"]
    assert local.store == docker.store == (service.root / ".foretell/store").as_uri()
    assert local.platform == ProcessSettings(home=str(service.root / ".foretell"))
    assert docker.platform == DockerSettings()
    assert local.warehouse == DuckDBSettings(path=str(service.root / ".foretell/warehouse.duckdb"))
    assert local.times == Times()


def test_the_file_is_found_from_its_directory_and_from_below(tmp_path: Path) -> None:
    file = write(tmp_path, {"foretell.toml": LEAST, "a/b/c.txt": ""})
    assert find(tmp_path) == find(tmp_path / "a" / "b") == file
    assert load(tmp_path, environ={}) == load(file, environ={})


def test_a_relative_path_gives_an_absolute_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"foretell.toml": LEAST})
    monkeypatch.chdir(tmp_path)
    assert load(Path("foretell.toml"), environ={}).root == tmp_path.resolve()
    assert load(Path(), environ={}).root == tmp_path.resolve()


def test_a_command_is_split_as_by_a_shell_or_taken_as_it_is(tmp_path: Path) -> None:
    service = loaded(
        tmp_path,
        'name = "x"\n[actions.a]\ncommand = "Rscript \'my model.R\' {action}"\n'
        '[actions.b]\ncommand = ["sh", "-c", \'echo {"a": 1}\']\n',
    )
    assert service.actions["a"].command == ("Rscript", "my model.R", "{action}")
    assert service.actions["b"].command == ("sh", "-c", 'echo {"a": 1}')


@pytest.mark.parametrize(
    "command", ["make", " python  -m a.b --x={action} c%d@e:f,g ", "a # b", "a\\\\ b", "é ~ * [a]? {b}"]
)
def test_a_command_is_split_alike_whether_or_not_a_shell_would_read_it(tmp_path: Path, command: str) -> None:
    service = loaded(tmp_path, f'name = "x"\n[actions.a]\ncommand = "{command}"\n')
    assert service.actions["a"].command == tuple(shlex.split(command.replace("\\\\", "\\")))


def test_the_command_of_a_source_with_one_main_needs_no_writing(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"source/prediction/main.py": "", "source/other/__init__.py": "", "configs/training.json": "{}"},
    )
    service = loaded(tmp_path, 'name = "x"\n[actions.training]\n[actions.application]\n')
    usual = ("python", "-m", "prediction.main", "--action", "{action}")
    assert service.source.path == "source"
    assert service.actions["training"].command == (*usual, "--config", "configs/{action}.json")
    assert service.actions["application"].command == usual


def test_a_package_that_is_its_own_main_is_run_as_such(tmp_path: Path) -> None:
    write(tmp_path, {"prediction/__main__.py": ""})
    service = loaded(tmp_path, 'name = "x"\n[actions.training]\n')
    assert service.actions["training"].command == ("python", "-m", "prediction", "--action", "{action}")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no package with a main.py"),
        ({"a/main.py": "", "b/__main__.py": ""}, "several packages with a main: b, a.main"),
    ],
)
def test_without_exactly_one_main_a_command_is_asked_for(
    tmp_path: Path, files: dict[str, str], why: str
) -> None:
    write(tmp_path, files)
    (fault,) = faults(tmp_path, 'name = "x"\n[actions.training]\n')
    assert fault == f'foretell.toml:2: [actions.training] missing key "command", and "." holds {why}'


def test_python_is_told_by_the_version_file_then_by_the_project(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": '[project]\nrequires-python = ">=3.9,<3.12"\n'})
    assert loaded(tmp_path, LEAST).source.python == ">=3.9,<3.12"
    write(tmp_path, {".python-version": "# ours\n3.10.4\n"})
    assert loaded(tmp_path, LEAST).source.python == "3.10.4"
    write(tmp_path, {"source/.python-version": "3.7\n"})
    assert loaded(tmp_path, LEAST).source.python == "3.7"
    assert loaded(tmp_path, LEAST + '[source]\npython = "3.12"\n').source.python == "3.12"


def test_a_broken_project_file_is_not_the_service_files_fault(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "[project\n"})
    assert loaded(tmp_path, LEAST).source.python is None


def test_requirements_are_what_is_there(tmp_path: Path) -> None:
    assert loaded(tmp_path, LEAST).source.requirements == ()
    write(tmp_path, {"requirements.txt": ""})
    assert loaded(tmp_path, LEAST).source.requirements == ("requirements.txt",)
    write(tmp_path, {"source/requirements.txt": ""})
    assert loaded(tmp_path, LEAST).source.requirements == ("source/requirements.txt", "requirements.txt")


def test_a_project_without_lock_and_requirement_files_gives_its_dependencies(tmp_path: Path) -> None:
    write(tmp_path, {"source/pyproject.toml": '[project]\ndependencies = ["pandas"]\n'})
    assert loaded(tmp_path, LEAST).source.requirements == ("source/pyproject.toml",)
    write(tmp_path, {"requirements.txt": ""})
    assert loaded(tmp_path, LEAST).source.requirements == ("source/pyproject.toml",)
    write(tmp_path, {"source/requirements.txt": ""})
    assert loaded(tmp_path, LEAST).source.requirements == ("source/requirements.txt", "requirements.txt")


def test_a_locked_project_stands_instead_of_requirements_of_the_root(tmp_path: Path) -> None:
    write(tmp_path, {"source/pyproject.toml": "", "source/uv.lock": "", "requirements.txt": ""})
    source = loaded(tmp_path, LEAST).source
    assert (source.requirements, source.locked) == ((), "source")
    write(tmp_path, {"source/requirements.txt": ""})
    source = loaded(tmp_path, LEAST).source
    assert (source.requirements, source.locked) == (("source/requirements.txt", "requirements.txt"), None)
    source = loaded(tmp_path, LEAST + '[source]\nrequirements = ["requirements.txt"]\n').source
    assert (source.requirements, source.locked) == (("requirements.txt",), None)


def test_a_host_that_only_reads_the_lock_needs_no_sources(tmp_path: Path) -> None:
    text = LEAST + '[source]\npath = "source"\nrequirements = ["source/requirements.txt"]\n'
    assert len(faults(tmp_path, text)) == 2
    assert loaded(tmp_path, text, **{"foretell.lock": ""}).source.path == "source"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ('"6h"', 21600),
        ('"1h30m"', 5400),
        ('"90s"', 90),
        ('"1d"', 86400),
        ('"1.5h"', 5400),
        ("45", 45),
        ("0.5", 0.5),
    ],
)
def test_durations(tmp_path: Path, written: str, seconds: float) -> None:
    assert loaded(tmp_path, LEAST + f"timeout = {written}\n").actions["training"].timeout == seconds


def test_inputs_go_where_their_action_wrote_them_or_where_the_table_says(tmp_path: Path) -> None:
    text = LEAST + '[actions.a]\ncommand = "x"\noutput = "out/"\ninputs = ["training"]\n'
    assert loaded(tmp_path, text).actions["a"].inputs == (Input(action="training", path="output"),)
    text = LEAST + 'output = "models/"\n[actions.a]\ncommand = "x"\ninputs = ["training"]\n'
    assert loaded(tmp_path, text).actions["a"].inputs == (Input(action="training", path="models"),)
    text = LEAST + '[actions.a]\ncommand = "x"\ninputs = {training = "models"}\n'
    assert loaded(tmp_path, text).actions["a"].inputs == (Input(action="training", path="models"),)


def test_columns_as_text_and_as_a_table(tmp_path: Path) -> None:
    text = loaded(tmp_path, DELIVERING + 'columns = " a:string , b:Integer,"\n').actions["training"].delivery
    assert text
    assert text.table == "predictions"
    assert text.columns == (
        Column(name="a", type="STRING", source="a"),
        Column(name="b", type="INT64", source="b"),
    )
    columns = """
    [actions.training.delivery.columns]
    a = "BOOLEAN"
    b = {type = "STRING", mode = "REQUIRED", from = "@run"}
    c = {type = "JSON", from = ""}
    """
    table = loaded(tmp_path, DELIVERING + columns).actions["training"].delivery
    assert table
    assert table.columns == (
        Column(name="a", type="BOOL", source="a"),
        Column(name="b", type="STRING", mode="REQUIRED", source="@run"),
        Column(name="c", type="JSON", source=""),
    )


def test_texts_without_a_value_and_extra_columns_are_as_declared(tmp_path: Path) -> None:
    plain = loaded(tmp_path, DELIVERING + 'columns = "_PARTITIO:STRING"\n').actions["training"].delivery
    assert plain
    assert (plain.null, plain.extra) == ((), "refuse")
    more = 'columns = "a:STRING"\nnull = ["NA", "", "-", "NA"]\nextra = "ignore"\n'
    found = loaded(tmp_path, DELIVERING + more).actions["training"].delivery
    assert found
    assert (found.null, found.extra) == (("NA", "-"), "ignore")
    assert asked_since_2(found) == ["extra", "null"]
    assert not asked_since_2(plain)


@pytest.mark.parametrize(("granularity", "kind"), [("day", "DATE"), ("month", "DATE"), ("hour", "TIMESTAMP")])
def test_a_partition_column_is_added_where_it_is_not_declared(
    tmp_path: Path, granularity: str, kind: str
) -> None:
    mode = f'mode = "partition"\npartition = "d"\ngranularity = "{granularity}"\n'
    added = loaded(tmp_path, DELIVERING + mode + 'columns = "a:STRING"\n').actions["training"].delivery
    assert added
    assert added.columns[-1] == Column(name="d", type=kind, source="@date")
    declared = (
        loaded(tmp_path, DELIVERING + mode + f'columns = "d:{kind},a:STRING"\n').actions["training"].delivery
    )
    assert declared
    assert declared.columns[0] == Column(name="d", type=kind, source="d")


def test_a_target_on_machines_has_its_defaults_and_overrides(tmp_path: Path) -> None:
    text = f"""{MACHINES}project = "p"
zones = ["a", "b"]
labels = {{team = "x"}}
[targets.x.actions.training]
machine_type = ["m", "n"]
labels = {{size = "big"}}
[targets.x.times]
beat = "5s"
"""
    target = loaded(tmp_path, LEAST.replace("example", "my-example") + text).targets["x"]
    assert isinstance(target.platform, ComputeEngineSettings)
    own = target.platform_of("training")
    assert isinstance(own, ComputeEngineSettings)
    assert (own.machine_type, own.labels, own.zones) == (("m", "n"), {"team": "x", "size": "big"}, ("a", "b"))
    assert target.platform_of("application") == target.platform
    assert target.platform.machine_type == "n1-standard-1"
    assert target.warehouse == BigQuerySettings(dataset="my_example", project="p")
    assert target.times == Times(beat=5)


def test_built_in_targets_are_extended(tmp_path: Path) -> None:
    text = (
        '[targets.docker.platform]\nmemory = "4g"\n[targets.local]\nstore = "~/store"\n'
        '[targets.local.warehouse]\npath = "../w.duckdb"\n[targets.server]\nstore = "s3://bucket/runs/"\n'
    )
    service = loaded(tmp_path, LEAST + text)
    assert service.targets["docker"].platform == DockerSettings(memory="4g")
    assert service.targets["local"].store == "file:///home/someone/store"
    assert service.targets["local"].warehouse == DuckDBSettings(path=str(service.root.parent / "w.duckdb"))
    assert service.targets["server"].store == "s3://bucket/runs"
    assert isinstance(service.targets["server"].platform, ProcessSettings)


def test_a_store_in_a_directory_with_strange_marks_is_a_valid_url(tmp_path: Path) -> None:
    store = loaded(tmp_path, LEAST + '[targets.local]\nstore = "a b#ö"\n').targets["local"].store
    assert store == (tmp_path.resolve() / "a b#ö").as_uri()
    assert "#" not in store


def test_what_airflow_is_told_has_defaults_and_its_dates_a_time_zone(tmp_path: Path) -> None:
    usual = loaded(tmp_path, LEAST).actions["training"].airflow
    assert (usual.catchup, usual.start, usual.max_active_runs, usual.paused) == (False, None, 1, None)
    told = 'start = "2026-05-01"\ncatchup = true\npool = "big"\nretry_delay = "1m30s"\n'
    own = loaded(tmp_path, 'timezone = "Europe/Stockholm"\n' + LEAST + "[actions.training.airflow]\n" + told)
    found = own.actions["training"].airflow
    assert found.start == "2026-04-30T22:00:00+00:00"
    assert (found.catchup, found.pool, found.retry_delay) == (True, "big", 90)


def test_an_action_may_have_a_schedule_and_come_after_others(tmp_path: Path) -> None:
    both = LEAST + '[actions.report]\ncommand = "true"\nschedule = "@daily"\nafter = ["training"]\n'
    report = loaded(tmp_path, both).actions["report"]
    assert (report.schedule, report.after) == ("@daily", ("training",))


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_bytes(b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode())
    assert load(tmp_path, environ={}).name == "example"


# --- layers


def test_tables_merge_and_the_nearer_file_wins(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"company.toml": 'extends = "world.toml"\ntimezone = "Europe/Oslo"\n[env]\nA = "far"\nB = "far"\n'},
    )
    write(tmp_path, {"world.toml": 'version = "7"\n[env]\nC = "farthest"\n'})
    service = loaded(tmp_path / "s", 'extends = "../company.toml"\n' + LEAST + '[env]\nA = "near"\n')
    assert (service.timezone, service.version) == ("Europe/Oslo", "7")
    assert service.env == {"A": "near", "B": "far", "C": "farthest"}


def test_a_fault_is_told_with_the_file_in_which_it_stands(tmp_path: Path) -> None:
    write(tmp_path, {"company.toml": '\n[env]\nNAME = "far"\n[actions.training]\nretris = 1\n'})
    found = faults(tmp_path / "s", 'extends = "../company.toml"\n' + LEAST + 'timeout = "x"\n')
    assert [fault.split(" ")[0] for fault in found] == [
        "foretell.toml:5:",
        "../company.toml:3:",
        "../company.toml:5:",
    ]


@pytest.mark.parametrize(
    ("extends", "text"),
    [
        ('"gone.toml"', '"gone.toml" does not exist'),
        ('"foretell.toml"', "is circular: foretell.toml -> foretell.toml"),
        ('"./a.toml"', "is circular: foretell.toml -> a.toml -> foretell.toml"),
        ('"."', "is a directory"),
        ('""', "must be the path"),
        ("3", "must be the path"),
    ],
)
def test_an_extended_file_that_cannot_be_read(tmp_path: Path, extends: str, text: str) -> None:
    write(tmp_path, {"a.toml": 'extends = "foretell.toml"\n'})
    (fault,) = faults(tmp_path, f"{LEAST}", **{"foretell.toml": f"\nextends = {extends}\n"})
    assert text in fault
    assert fault.startswith(("foretell.toml:2: ", "a.toml:1: "))


# --- the form, its schema and its reference


def defaults(table: str) -> str:
    """Return the keys of a table that have a default, as a file would set them to it."""
    keys = dict(tables())[table].items()
    return "".join(f"{key} = {json.dumps(said['default'])}\n" for key, said in keys if "default" in said)


def test_a_default_that_is_written_down_changes_nothing(tmp_path: Path) -> None:
    service = defaults("Service") + LEAST.replace('command = "train"', "")
    written = (
        f'{service}command = "train"\n{defaults("Action")}'
        f"[actions.training.airflow]\n{defaults('AirflowSettings')}"
        f"[image]\n{defaults('Image')}[source]\n{defaults('Source')}"
        f"[targets.local.times]\n{defaults('Times')}"
    )
    assert 'timeout = "6h"\n' in written
    assert 'retry_delay = "1m"\n' in written
    assert 'lease = "400s"\n' in written
    assert loaded(tmp_path, written) == loaded(tmp_path, LEAST)


def test_every_field_of_a_table_is_a_key_that_is_described_or_follows_from_others() -> None:
    for kind in form.TABLES:
        resolved = set(kind.__struct_fields__) - {key.field.name for key in declaration.keys(kind).values()}
        assert resolved <= {"name", "root", "locked", "environment"}
        assert all(key.description for key in declaration.keys(kind).values())
    assert declaration.keys(Column)["from"].field.name == "source"


def tables() -> Iterator[tuple[str, dict[str, dict[str, object]]]]:
    found = schema()["$defs"]
    assert isinstance(found, dict)
    for name, table in found.items():
        yield name, table["properties"]


def test_every_key_of_the_schema_is_described() -> None:
    names = [(table, key) for table, keys in tables() for key, value in keys.items() if key != "kind"]
    assert ("Action", "schedule") in names
    assert ("ComputeEngineSettings", "machine_type") in names
    for table, keys in tables():
        for key, value in keys.items():
            assert key == "kind" or value["description"], (table, key)


def test_the_schema_is_json_without_null_and_its_references_lead_somewhere() -> None:
    text = msgspec.json.encode(schema()).decode()
    assert '"null"' not in text.replace('"null":{', "")  # the key of that name in a delivery
    assert text.count("$ref") > 5
    names = dict(tables())
    for part in text.split('"$ref":"#/$defs/')[1:]:
        assert part.split('"')[0] in names


def test_the_reference_lists_every_key_of_every_table() -> None:
    tool = runpy.run_path(str(HOUSE / "tools" / "reference.py"))
    reference = (HOUSE / "docs" / "service-file.md").read_text(encoding="utf-8")
    assert tool["HEADINGS"].keys() == dict(tables()).keys()
    assert reference.endswith(tool["MARK"] + tool["reference"]()), "stale: run tools/reference.py"
    for table, keys in tables():
        for key in keys:
            assert f"| `{key}` |" in reference, (table, key)


def test_the_examples_of_the_reference_are_valid_and_can_be_written_into_records(tmp_path: Path) -> None:
    write(tmp_path, {"prediction/main.py": ""})
    reference = (HOUSE / "docs" / "service-file.md").read_text(encoding="utf-8")
    least, much = (part.partition("```")[0] for part in reference.split("```toml\n")[1:])
    assert list(loaded(tmp_path, least).actions) == ["training"]
    service = loaded(tmp_path, much)
    assert list(service.actions) == ["training", "application", "monitoring"]
    for value, kind in ((service.actions, dict[str, Action]), (service.targets, dict[str, Target])):
        assert msgspec.json.decode(msgspec.json.encode(value), type=kind, dec_hook=decoded) == value


def test_a_usual_file_is_loaded_in_no_time(tmp_path: Path) -> None:
    loaded(tmp_path, DELIVERING + 'columns = "a:STRING"\n')
    best = min(_seconds(tmp_path) for _ in range(5))
    assert best < 0.010


def _seconds(path: Path) -> float:
    start = time.perf_counter()
    load(path, environ={})
    return time.perf_counter() - start
