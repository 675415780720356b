"""What the doctor makes of what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell import doctor, load
from foretell.agent import interpreter
from foretell.doctor import environment as of_environment
from foretell.platforms.docker.platform import DockerPlatform
from foretell.platforms.docker.settings import DockerSettings
from foretell.service.model import Service, Target
from foretell.service.requirements import needs
from foretell.warehouses.duckdb.settings import DuckDBSettings


def mounts(place: Path, *lines: str) -> Path:
    file = place / "mounts"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_the_nearest_mount_tells_the_file_system(tmp_path: Path) -> None:
    inner = tmp_path / "with space" / "store"
    inner.mkdir(parents=True)
    escaped = str(tmp_path / "with space").replace(" ", "\\040")
    file = mounts(tmp_path, "/dev/a / ext4 rw 0 0", f"server:/x {escaped} nfs4 rw 0 0")

    assert doctor.file_system(tmp_path, file).state == "ok"
    check = doctor.file_system(inner / "not" / "yet", file)
    assert (check.state, check.detail.split(":")[0]) == ("warning", "nfs4")
    assert "stale" in check.fix
    assert doctor.file_system(tmp_path, tmp_path / "none").state == "ok"


def test_a_missing_interpreter_is_a_warning_where_it_can_be_downloaded(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text(
        'name = "a"\n[source]\npython = "3.99"\n[actions.a]\ncommand = "true"\n'
    )
    service = load(tmp_path)
    quiet = {"PATH": "", "HOME": str(tmp_path)}

    assert doctor.needed_python(service, quiet).state == "warning"
    refused = doctor.needed_python(service, {**quiet, "UV_PYTHON_DOWNLOADS": "never"})
    assert refused.state == "missing"
    assert "3.99" in refused.detail


def service_of(root: Path, *, source: str = "", **files: str) -> Service:
    (root / "foretell.toml").write_text(
        f'name = "a"\n[source]\n{source}\n[actions.a]\ncommand = "python x.py"\n'
    )
    for name, text in files.items():
        (root / name.replace("_", ".")).write_text(text)
    return load(root)


def test_the_packages_are_told_with_what_lies_beside_them(tmp_path: Path) -> None:
    files = {"requirements_txt": "", "poetry_lock": "", "environment_yml": ""}
    (check,) = doctor.packages(service_of(tmp_path, **files))
    assert check.state == "ok"
    assert "packages are installed from requirements.txt" in check.detail
    assert "not read: poetry.lock" in check.detail
    assert "environment.yml is not read: write its packages" in check.detail


def test_packages_that_only_another_tool_knows_are_a_warning(tmp_path: Path) -> None:
    (check,) = doctor.packages(service_of(tmp_path, environment_yml=""))
    assert (check.state, check.fix) == ("warning", "write its packages into a requirements.txt")


def test_a_lock_that_cannot_be_read_is_missing(tmp_path: Path) -> None:
    (check,) = doctor.packages(service_of(tmp_path, poetry_lock="<<<<"))
    assert check.state == "missing"
    assert '"poetry.lock" cannot be installed' in check.detail


def test_the_python_is_told_that_cron_would_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "bin" / "python"
    here.parent.mkdir()
    here.write_text("#!/bin/sh\n")
    here.chmod(0o755)
    monkeypatch.setattr(of_environment, "CRON", str(tmp_path / "cron"))
    environ = {"PATH": str(here.parent), "HOME": str(tmp_path)}
    check = doctor.needed_python(service_of(tmp_path), environ)
    assert check.state == "warning"
    assert check.detail.startswith(f"{here} here, and where cron runs `tick`")
    assert str(interpreter.own()) in check.detail
    (tmp_path / "cron").symlink_to(here.parent)
    assert "cron/python" in doctor.needed_python(service_of(tmp_path), environ).detail
    monkeypatch.setattr(of_environment, "CRON", str(here.parent))
    assert doctor.needed_python(service_of(tmp_path), environ).state == "ok"


def test_the_environment_is_told_where_it_is_made(tmp_path: Path) -> None:
    environ = {"PATH": "", "HOME": str(tmp_path), "FORETELL_CACHE": str(tmp_path / "cache")}
    service = service_of(tmp_path, requirements_txt="")
    assert "made by the first run" in doctor.needed_python(service, environ).detail
    key = needs.read(service.source, tmp_path, interpreter.own()).key
    place = tmp_path / "cache" / "environments" / f"{key}-1"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    (place.parent / key).write_text(place.name)
    assert f"environment {place}" in doctor.needed_python(service, environ).detail


def test_programs_of_commands_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "here.sh").touch()
    commands = {"a": "python x.py", "b": "sh x", "c": "no-such-program x", "d": "./here.sh"}
    text = "".join(f'[actions.{name}]\ncommand = "{command}"\n' for name, command in commands.items())
    text += '[actions.e]\ncommands = ["sh x", "no-such-step y"]\n'
    (tmp_path / "foretell.toml").write_text(f'name = "a"\n{text}')

    found = [
        (check.detail.split(":")[0].split()[0], check.state) for check in doctor.programs(load(tmp_path), {})
    ]

    assert found == [
        ("sh", "ok"),
        ("no-such-program", "warning"),
        ("./here.sh", "ok"),
        ("no-such-step", "warning"),
    ]


def test_a_platform_that_is_not_there_yet_is_missing(tmp_path: Path) -> None:
    target = Target(
        name="docker",
        store=tmp_path.as_uri(),
        platform=DockerSettings(),
        warehouse=DuckDBSettings(path=str(tmp_path / "w.duckdb")),
    )
    (check,) = DockerPlatform(target.platform, environ={"PATH": ""}).checks(
        service_of(tmp_path), target, None
    )
    assert check.state == "missing"
    assert check.fix


def test_a_store_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    target = Target(
        name="local",
        store=(tmp_path / "store").as_uri(),
        platform=DockerSettings(),
        warehouse=DuckDBSettings(path=str(tmp_path / "w.duckdb")),
    )
    assert doctor.store(target).state == "ok"
    assert list(tmp_path.rglob(".doctor*")) == []


@pytest.mark.parametrize(("free", "state"), [(10**10, "ok"), (10**9, "warning"), (10**8, "missing")])
def test_little_room_is_told(tmp_path: Path, free: int, state: str) -> None:
    assert doctor.space(tmp_path / "not" / "yet", lambda _: free).state == state
