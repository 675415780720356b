"""What the doctor makes of what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell import doctor
from foretell.service import DockerSettings, DuckDBSettings, Service, Target


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
    service = Service.load(tmp_path)
    quiet = {"PATH": "", "HOME": str(tmp_path)}

    assert doctor.needed_python(service, quiet).state == "warning"
    refused = doctor.needed_python(service, {**quiet, "UV_PYTHON_DOWNLOADS": "never"})
    assert refused.state == "missing"
    assert "3.99" in refused.detail


def test_programs_of_commands_are_looked_for(tmp_path: Path) -> None:
    (tmp_path / "here.sh").touch()
    commands = {"a": "python x.py", "b": "sh x", "c": "no-such-program x", "d": "./here.sh"}
    text = "".join(f'[actions.{name}]\ncommand = "{command}"\n' for name, command in commands.items())
    text += '[actions.e]\ncommands = ["sh x", "no-such-step y"]\n'
    (tmp_path / "foretell.toml").write_text(f'name = "a"\n{text}')

    found = [
        (check.detail.split(":")[0].split()[0], check.state)
        for check in doctor.programs(Service.load(tmp_path), {})
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
    check = doctor.machines(target)
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
