"""Environments made by the real uv: what is in them, when they are made, and when they cannot be."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import uv

from foretell.agent import environment
from foretell.agent.environment import ensure
from foretell.agent.interpreter import own
from foretell.errors import EnvironmentFailedError
from foretell.service.model import Source
from foretell.service.requirements.needs import read

LOCAL = "--no-index\n--find-links wheels\n"
SOURCE = Source(requirements=("requirements.txt",))
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))} | {
    "UV_OFFLINE": "1"
}


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Give sources that need one tiny package, which lies beside them."""
    place = tmp_path / "0123456789abcdef"
    wheel(place / "wheels", "tiny", "1.0")
    wheel(place / "wheels", "tiny", "2.0")
    (place / "requirements.txt").write_text(f"{LOCAL}tiny==1.0\n")
    return place


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """Put a package together by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def make(
    snapshot: Path, cache: Path, source: Source = SOURCE, environ: Mapping[str, str] = ENVIRON
) -> tuple[Path | None, str]:
    """Give the environment, and what was printed while it was made."""
    printed: list[bytes] = []
    place = ensure(source, snapshot, cache, log=printed.append, environ=environ)
    return place, b"".join(printed).decode()


def made(snapshot: Path, cache: Path, source: Source = SOURCE, environ: Mapping[str, str] = ENVIRON) -> Path:
    place, _ = make(snapshot, cache, source, environ)
    assert place is not None
    return place


def says(place: Path, code: str) -> str:
    done = subprocess.run([place / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def environments(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def test_who_asks_for_nothing_needs_no_environment(snapshot: Path, cache: Path) -> None:
    assert make(snapshot, cache, Source()) == (None, "")
    assert not cache.exists()


def test_who_asks_for_nothing_gets_a_python_where_there_is_none(snapshot: Path, cache: Path) -> None:
    place = made(snapshot, cache, Source(), ENVIRON | {"PATH": "/nowhere"})
    assert says(place, "import sys; print(sys.version_info[:3])") == str(sys.version_info[:3])


def test_the_requirements_are_installed_and_compiled(snapshot: Path, cache: Path) -> None:
    place = made(snapshot, cache)
    assert says(place, "import tiny; print(tiny.version)") == "1.0"
    assert says(place, "import sys; print(sys.prefix)") == str(place)
    assert list(place.rglob("tiny.cpython-*.pyc"))


def test_another_environment_around_is_not_taken_for_ours(
    snapshot: Path, cache: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    around = {"VIRTUAL_ENV": str(other), "PYTHONPATH": str(other), "UV_PROJECT_ENVIRONMENT": str(other)}
    place = made(snapshot, cache, environ=ENVIRON | around)
    assert says(place, "import tiny; print(tiny.version)") == "1.0"
    assert not other.exists()


def test_what_is_there_is_found_without_a_word_and_at_once(snapshot: Path, cache: Path) -> None:
    first = made(snapshot, cache)
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        assert make(snapshot, cache) == (first, "")
        times.append(time.perf_counter() - begun)
    assert statistics.median(times) < 0.003


@pytest.mark.parametrize("changed", ["requirements.txt", "more.txt", "versions.txt"])
def test_every_content_has_an_environment_of_its_own(snapshot: Path, cache: Path, changed: str) -> None:
    (snapshot / "requirements.txt").write_text(f"{LOCAL}-r more.txt\n--constraint=versions.txt\n")
    (snapshot / "more.txt").write_text("tiny\n")
    (snapshot / "versions.txt").write_text("tiny==1.0\n")
    before = made(snapshot, cache)
    with (snapshot / changed).open("a") as file:
        file.write("# changed\n")
    after = made(snapshot, cache)
    assert before != after
    assert says(before, "import tiny; print(tiny.version)") == "1.0"


def test_the_same_content_elsewhere_has_the_same_environment(
    snapshot: Path, cache: Path, tmp_path: Path
) -> None:
    (snapshot / "requirements.txt").write_text("")
    other = tmp_path / "other"
    shutil.copytree(snapshot, other)
    assert made(snapshot, cache) == made(other, cache)


@pytest.mark.parametrize(
    "line", ["-e ./lib", "./lib", "lib @ file:///x/lib", "wheels/tiny-1.0-py3-none-any.whl"]
)
def test_what_is_installed_from_the_sources_is_made_for_every_state_of_them(
    snapshot: Path, tmp_path: Path, line: str
) -> None:
    (snapshot / "requirements.txt").write_text(f"{line}\n")
    other = tmp_path / "fedcba9876543210"
    shutil.copytree(snapshot, other)
    keys = {read(SOURCE, place, Path("/python")).key for place in (snapshot, other)}
    assert len(keys) == 2


def test_an_environment_whose_interpreter_is_gone_is_made_again(snapshot: Path, cache: Path) -> None:
    first = made(snapshot, cache)
    (first / "bin" / "python").unlink()
    (first / "bin" / "python").symlink_to("/no/longer/there")
    second = made(snapshot, cache)
    assert says(second, "import tiny; print(tiny.version)") == "1.0"
    assert environments(cache) == [second.name]


MAKE = """
import os, sys
from pathlib import Path
from foretell.agent.environment import ensure
from foretell.service.model import Source
def log(data):
    os.write(1, data)
    if sys.argv[3:]:
        os.kill(os.getpid(), 9)
source = Source(requirements=("requirements.txt",))
place = ensure(source, Path(sys.argv[1]), Path(sys.argv[2]), log=log, environ=os.environ)
print("place", place)
"""


def process(snapshot: Path, cache: Path, *die: str) -> subprocess.Popen[str]:
    path = str(Path(environment.__file__).parents[2])
    argv = [sys.executable, "-c", MAKE, str(snapshot), str(cache), *die]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=ENVIRON | {"PYTHONPATH": path})


@pytest.mark.slow
def test_of_ten_at_once_one_makes_it(snapshot: Path, cache: Path) -> None:
    outputs = [
        running.communicate(timeout=60)[0] for running in [process(snapshot, cache) for _ in range(10)]
    ]
    places = {line for output in outputs for line in output.splitlines() if line.startswith("place ")}
    assert len(places) == len(environments(cache)) == 1
    assert sum("tiny==1.0" in output for output in outputs) == 1


def wait_for_tools(cache: Path) -> None:
    """Wait until no tool that a killed maker has left behind writes into the cache any more."""
    end = time.monotonic() + 60
    while any(str(cache).encode() in line for line in command_lines()):
        assert time.monotonic() < end, "a tool goes on for ever"
        time.sleep(0.05)


def command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            yield path.read_bytes()


def test_what_a_killed_maker_leaves_is_taken_for_nothing(snapshot: Path, cache: Path) -> None:
    with process(snapshot, cache, "die") as running:
        assert running.wait(60) == -9
    wait_for_tools(cache)
    assert len(environments(cache)) == 1
    place, printed = make(snapshot, cache)
    assert place is not None
    assert "tiny==1.0" in printed
    assert environments(cache) == [place.name]


def test_a_stop_ends_the_making(snapshot: Path, cache: Path) -> None:
    stopping = threading.Event()
    with pytest.raises(EnvironmentFailedError, match="was stopped"):
        ensure(SOURCE, snapshot, cache, log=lambda _data: stopping.set(), environ=ENVIRON, stopping=stopping)
    assert environments(cache) == []


def test_a_stop_ends_the_waiting_for_another_maker(snapshot: Path, cache: Path) -> None:
    cache.mkdir()
    key = read(SOURCE, snapshot, own()).key
    stopping = threading.Event()
    threading.Timer(0.1, stopping.set).start()
    with environment._locked(cache / f"{key}.lock", threading.Event()), pytest.raises(EnvironmentFailedError):
        ensure(SOURCE, snapshot, cache, log=lambda _data: None, environ=ENVIRON, stopping=stopping)


# --- what a run says of it ----------------------------------------------------------------------------------


def ran(root: Path, more: str = "", code: int = 1, **files: str) -> tuple[str, str]:
    """Run a command that needs tiny; return the cause on record and the log."""
    root.mkdir(exist_ok=True)
    action = '[actions.training]\ncommand = "python train.py"\n'
    files = {"train_py": "import tiny.part\n", "foretell_toml": f'name = "t"\n{more}{action}'} | files
    for name, text in files.items():
        (root / name.replace("_", ".")).write_text(text)
    environ = ENVIRON | {"FORETELL_CACHE": str(root.with_name("kept"))}
    command = [sys.executable, "-m", "foretell", "run", "training", "--json"]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)["cause"] or "", done.stderr


@pytest.mark.slow
def test_a_module_that_nobody_declared_is_told_with_what_lies_there_unread(tmp_path: Path) -> None:
    cause, log = ran(tmp_path / "a", environment_yml="dependencies: [tiny]\n")
    assert cause.startswith('the command ended with exit code 1: the module "tiny" is not installed')
    assert "environment.yml is not read: write its packages into a requirements.txt" in cause
    assert "foretell: no packages are installed: no supported file declares any" in log
    cause, _ = ran(tmp_path / "b")
    assert cause.endswith("no supported file declares packages; write a requirements.txt")
    cause, _ = ran(tmp_path / "c", "[source]\npython = false\n", requirements_txt="tiny\n")
    assert "python = false creates no environment" in cause


@pytest.mark.slow
def test_a_module_that_is_not_among_the_declared_is_told(tmp_path: Path) -> None:
    cause, log = ran(tmp_path / "a", requirements_txt="", poetry_lock="", train_py="import other\n")
    assert cause.endswith('the module "other" is not in the packages of requirements.txt')
    assert "foretell: packages are installed from requirements.txt\n" in log
    assert "foretell: not read: poetry.lock" in log


@pytest.mark.slow
def test_without_an_environment_a_command_finds_what_is_on_the_path(tmp_path: Path) -> None:
    files = {"requirements_txt": "nosuchpackage\n", "train_py": "open('output/a', 'w')\n"}
    assert ran(tmp_path / "a", "[source]\npython = false\n", 0, **files)[0] == ""
    assert not (tmp_path / "kept").exists()


# --- when it cannot be made --------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["nosuchpackage", "tiny==3.0"])
def test_a_package_that_is_not_there_is_named(snapshot: Path, cache: Path, missing: str) -> None:
    (snapshot / "requirements.txt").write_text(f"{LOCAL}{missing}\n")
    printed: list[bytes] = []
    with pytest.raises(EnvironmentFailedError) as caught:
        ensure(SOURCE, snapshot, cache, log=printed.append, environ=ENVIRON)
    assert b"pip is tried" not in b"".join(printed)
    assert caught.value.what == f'no such package or version: "{missing}"'
    assert missing in caught.value.why
    assert environments(cache) == []


@pytest.mark.slow
def test_a_line_that_is_no_requirement_is_shown(snapshot: Path, cache: Path) -> None:
    (snapshot / "requirements.txt").write_text("tiny = 3\n")
    with pytest.raises(EnvironmentFailedError) as caught:
        make(snapshot, cache)
    assert "tiny = 3" in caught.value.why


@pytest.mark.parametrize("name", ["requirements.txt", "more.txt"])
def test_a_file_that_is_not_there_is_named(snapshot: Path, cache: Path, name: str) -> None:
    (snapshot / "requirements.txt").write_text("-r more.txt")
    if name == "requirements.txt":
        (snapshot / name).unlink()
    with pytest.raises(EnvironmentFailedError, match=f'"{name}" cannot be read'):
        make(snapshot, cache)


def test_without_a_network_that_is_what_is_said(snapshot: Path, cache: Path) -> None:
    (snapshot / "requirements.txt").write_text(
        "--index-url http://127.0.0.1:9/simple\nnosuchpackage-in-any-cache\n"
    )
    environ = ENVIRON | {"UV_OFFLINE": "0", "UV_HTTP_RETRIES": "0"}
    with pytest.raises(EnvironmentFailedError, match="the package index does not answer"):
        make(snapshot, cache, environ=environ)


def test_an_interpreter_that_is_not_there_is_told_with_where_was_searched(
    snapshot: Path, cache: Path
) -> None:
    with pytest.raises(EnvironmentFailedError) as caught:
        make(snapshot, cache, Source(python="3.99"))
    assert caught.value.what == 'no Python "3.99" is found'
    assert "pyenv" in caught.value.where
    assert "disabled" in caught.value.where
    assert "uv python install 3.99" in caught.value.hint


# --- other interpreters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("python", ["3.8", "3.9.18", ">=3.8,<3.9"])
def test_an_interpreter_is_found_among_pyenvs(snapshot: Path, cache: Path, python: str) -> None:
    version = python.strip("<>=")[:3]
    if not list(PYENV.glob(f"{version}.*")):
        pytest.skip(f"no Python {version} in pyenv here")
    shims = str(PYENV.parent / "shims")
    place = made(snapshot, cache, Source(python=python), ENVIRON | {"PATH": f"{shims}:/nowhere"})
    assert says(place, "import sys; print('%d.%d' % sys.version_info[:2])") == version


def test_shims_are_not_asked(snapshot: Path, cache: Path, tmp_path: Path) -> None:
    shim = tmp_path / "shims" / "python3.99"
    shim.parent.mkdir()
    shim.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexit 127\n")
    shim.chmod(0o755)
    with pytest.raises(EnvironmentFailedError, match=r"3\.99"):
        make(snapshot, cache, Source(python="3.99"), ENVIRON | {"PATH": f"{shim.parent}:/nowhere"})
    assert not (tmp_path / "asked").exists()


@pytest.mark.slow
def test_what_uv_refuses_and_pip_accepts_is_installed_by_pip(snapshot: Path, cache: Path) -> None:
    if not list(PYENV.glob("3.7.*")):
        pytest.skip("no Python 3.7 in pyenv here")
    (snapshot / "requirements.txt").write_text("pandas==0.24.2\n")
    with skipping_without_network():
        source = Source(python="3.7", requirements=SOURCE.requirements)
        place, printed = make(snapshot, cache, source, os.environ | {"PYTHONHOME": "/of/another/python"})
    assert place is not None
    assert "the interpreter's own pip is tried" in printed
    assert says(place, "import pandas; print(pandas.__version__)") == "0.24.2"


@contextlib.contextmanager
def skipping_without_network() -> Iterator[None]:
    try:
        yield
    except EnvironmentFailedError as error:
        if "does not answer" not in error.what:
            raise
        pytest.skip(str(error))


# --- locked projects ---------------------------------------------------------------------------------------

PROJECT = """
[project]
name = "model"
version = "1"
requires-python = ">=3.11"
dependencies = ["tiny==1.0"]
[dependency-groups]
dev = ["handy"]
[build-system]
requires = ["not-to-be-built"]
build-backend = "not_to_be_built"
[tool.uv]
no-index = true
find-links = ["wheels"]
"""


@pytest.fixture
def locked(snapshot: Path) -> Path:
    wheel(snapshot / "wheels", "handy", "1.0")
    (snapshot / "pyproject.toml").write_text(PROJECT)
    (snapshot / "src" / "model").mkdir(parents=True)
    command = [uv.find_uv_bin(), "lock", "--python", str(own()), "--quiet"]
    subprocess.run(command, cwd=snapshot, env=ENVIRON, check=True)
    return snapshot


def test_a_locked_project_is_synced_without_itself_and_without_what_only_its_authors_need(
    locked: Path, cache: Path
) -> None:
    place = made(locked, cache, Source(locked="."))
    assert says(place, "import tiny; print(tiny.version)") == "1.0"
    code = "import importlib.util as u; print([u.find_spec(name) for name in ('handy', 'model')])"
    assert says(place, code) == "[None, None]"
    assert not (locked / ".venv").exists()


def test_a_lock_that_is_out_of_date_is_told(locked: Path, cache: Path) -> None:
    (locked / "pyproject.toml").write_text(PROJECT.replace("tiny==1.0", "tiny==2.0"))
    with pytest.raises(EnvironmentFailedError) as caught:
        make(locked, cache, Source(locked="."))
    assert "uv lock" in str(caught.value)
