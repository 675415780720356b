"""The working directory of a command, its environment variables and its arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from foretell.agent.workspace import arguments, prepare, variables
from foretell.errors import EnvironmentFailedError
from foretell.protocol.records import Interval, Request
from foretell.service.model import Source
from foretell.sources.snapshot import freeze
from foretell.sources.tree import scan
from tests.support.records import request

REQUEST = request(
    service="churn",
    version="2",
    action="application",
    date="2026-11-21T06:00:00Z",
    n=3,
    interval=Interval(start="2026-11-20T06:00:00+00:00", end="2026-11-21T06:00:00+00:00"),
    source=Source(path="source"),
    env={"LOG_LEVEL": "info", "NAME": "overridden", "PYTHONUNBUFFERED": ""},
)


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def environment(request: Request = REQUEST, *, place: Path | None = None, **inherited: str) -> dict[str, str]:
    return variables(
        request,
        2,
        workspace=Path("/w"),
        environment=place,
        machine="churn-2-abc",
        inherited=inherited,
        secrets={},
    )


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    root = tmp_path / "service"
    (root / "source" / "deep").mkdir(parents=True)
    (root / "source" / "deep" / "main.py").write_text("print(1)")
    (root / "run.sh").write_text("#!/bin/sh")
    (root / "run.sh").chmod(0o555)
    (root / "empty").mkdir()
    (root / "link").symlink_to("source/deep")
    os.utime(root / "run.sh", (1_000_000, 1_000_000))
    return freeze(scan(root, ["output"]), tmp_path / "snapshots")[1]


def test_the_working_directory_is_a_copy_with_an_empty_output(snapshot: Path, tmp_path: Path) -> None:
    work = tmp_path / "machines" / "m" / "work"
    prepare(snapshot, work, output="output")
    assert names(work) == ["empty", "link", "output", "run.sh", "source"]
    assert names(work / "output") == []
    assert (work / "link").readlink() == Path("source/deep")
    assert (work / "link" / "main.py").read_text() == "print(1)"
    assert os.access(work / "run.sh", os.X_OK)
    assert (work / "run.sh").stat().st_mtime == 1_000_000


def test_what_a_command_does_to_its_files_stays_in_its_own_copy(snapshot: Path, tmp_path: Path) -> None:
    prepare(snapshot, tmp_path / "one", output="output")
    (tmp_path / "one" / "run.sh").chmod(0o600)
    (tmp_path / "one" / "run.sh").write_text("changed")
    prepare(snapshot, tmp_path / "two", output="output")
    assert (tmp_path / "two" / "run.sh").read_text() == "#!/bin/sh"


def test_a_file_that_could_not_be_written_at_home_can_be_written_here(snapshot: Path, tmp_path: Path) -> None:
    prepare(snapshot, tmp_path / "work", output="output")
    assert (tmp_path / "work" / "run.sh").stat().st_mode & 0o777 == 0o755


def test_an_output_may_lie_deep(snapshot: Path, tmp_path: Path) -> None:
    prepare(snapshot, tmp_path / "work", output="results/of/today")
    assert (tmp_path / "work" / "results" / "of" / "today").is_dir()


@pytest.mark.parametrize("output", ["../out", "source/../../out", "{outside}/out", ".", "away/out"])
def test_an_output_outside_is_refused(snapshot: Path, tmp_path: Path, output: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (snapshot / "away").symlink_to(outside)
    with pytest.raises(EnvironmentFailedError, match="is outside"):
        prepare(snapshot, tmp_path / "work", output=output.format(outside=outside))
    assert names(outside) == []


def test_the_command_is_told_what_it_is_part_of() -> None:
    told = environment(HOME="/home/x", FORETELL_RUN="of a surrounding run")
    assert told == {
        "HOME": "/home/x",
        "LOG_LEVEL": "info",
        "NAME": "churn",
        "VERSION": "2",
        "ACTION": "application",
        "FORETELL_RUN": "application/20261121T060000Z-3",
        "FORETELL_ATTEMPT": "2",
        "FORETELL_DATE": "2026-11-21T06:00:00+00:00",
        "FORETELL_INTERVAL_START": "2026-11-20T06:00:00+00:00",
        "FORETELL_INTERVAL_END": "2026-11-21T06:00:00+00:00",
        "FORETELL_MACHINE": "churn-2-abc",
        "PYTHONPATH": "/w/source",
        "PYTHONUNBUFFERED": "",
    }


def test_without_a_schedule_the_interval_is_empty() -> None:
    told = environment(replace(REQUEST, interval=None))
    assert (told["FORETELL_INTERVAL_START"], told["FORETELL_INTERVAL_END"]) == ("", "")


def test_python_prints_at_once_unless_told_otherwise() -> None:
    assert environment(replace(REQUEST, env={}))["PYTHONUNBUFFERED"] == "1"


def test_source_and_environment_come_before_what_is_inherited() -> None:
    told = environment(place=Path("/e"), PATH="/usr/bin", PYTHONPATH="/mine", VIRTUAL_ENV="/other")
    assert (told["PATH"], told["PYTHONPATH"], told["VIRTUAL_ENV"]) == (
        "/e/bin:/usr/bin",
        "/w/source:/mine",
        "/e",
    )


def test_a_path_that_is_declared_is_kept_behind_the_environment() -> None:
    told = environment(replace(REQUEST, env={"PATH": "/opt"}), place=Path("/e"), PATH="/usr/bin")
    assert told["PATH"] == "/e/bin:/opt"


@pytest.mark.parametrize(
    "source",
    [
        Source(locked="."),
        Source(requirements=("pyproject.toml",)),
        Source(requirements=("poetry.lock",)),
        Source(requirements=("setup.py",)),
    ],
)
def test_the_src_of_a_project_is_on_the_path_too(tmp_path: Path, source: Source) -> None:
    (tmp_path / "src").mkdir()
    request = replace(REQUEST, source=source)
    told = variables(request, 1, workspace=tmp_path, environment=None, machine="m", inherited={}, secrets={})
    assert told["PYTHONPATH"] == f"{tmp_path}:{tmp_path}/src"


@pytest.mark.parametrize(("file", "more"), [("pyproject.toml", ":{}/src"), ("README.md", "")])
def test_a_project_that_needs_no_packages_has_a_src_too(tmp_path: Path, file: str, more: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / file).touch()
    request = replace(REQUEST, source=Source())
    told = variables(request, 1, workspace=tmp_path, environment=None, machine="m", inherited={}, secrets={})
    assert told["PYTHONPATH"] == f"{tmp_path}{more.format(tmp_path)}"


def test_variables_of_foretells_own_interpreter_do_not_reach_the_model() -> None:
    ours = {"PYTHONHOME": "/x", "__PYVENV_LAUNCHER__": "/x", "VIRTUAL_ENV": sys.prefix}
    told = variables(
        REQUEST, 1, workspace=Path("/w"), environment=None, machine="m", inherited=ours, secrets={}
    )
    assert not set(ours) & set(told)
    assert environment(VIRTUAL_ENV="/somebody/else")["VIRTUAL_ENV"] == "/somebody/else"


def test_a_secret_comes_over_what_is_inherited() -> None:
    told = variables(
        REQUEST,
        1,
        workspace=Path("/w"),
        environment=None,
        machine="m",
        inherited={"TOKEN": "old"},
        secrets={"TOKEN": "new"},
    )
    assert told["TOKEN"] == "new"


def test_placeholders_are_filled_in_and_other_braces_survive() -> None:
    command = (
        "--{action}",
        "{date}/{run}",
        "{interval_start}..{interval_end}",
        '{"action": {"x": "{y}"}}',
        "{}",
        "{{run}}",
    )
    assert arguments(command, REQUEST) == [
        "--application",
        "2026-11-21T06:00:00+00:00/application/20261121T060000Z-3",
        "2026-11-20T06:00:00+00:00..2026-11-21T06:00:00+00:00",
        '{"action": {"x": "{y}"}}',
        "{}",
        "{application/20261121T060000Z-3}",
    ]


def test_what_a_placeholder_gives_is_not_filled_in_again() -> None:
    assert arguments(("{action}",), replace(REQUEST, action="{date}")) == ["{date}"]
