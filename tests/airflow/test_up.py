"""`foretell airflow up`: a local Airflow that comes up, works, and ends whole."""

from __future__ import annotations

import json
import os
import signal
import site
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from foretell.airflow.local import COMPONENTS, ENDS, GROUPS, MARK
from foretell.errors import InfrastructureError
from foretell.system.processes import directory, processes, survivors
from tests.airflow.toy import Toy

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
PATIENCE = 180


@contextmanager
def up(place: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Bring it up; give the process and the address, and see that it is gone in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "foretell", "airflow", "up", *arguments],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # as on a terminal, also where these tests run in a shell's background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate()


def ask(url: str, path: str, body: Any = None) -> Any:
    """Ask the API, with the token that everybody is given; before Airflow 3.2 nobody is let in without."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{url}/auth/token", timeout=30) as answer:
        token = json.loads(answer.read())["access_token"]
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{url}/api/v2/{path}", data, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def until(true: Any) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.3)
    return found


def groups(home: Path) -> list[int]:
    """The process group of every component that was started, in order."""
    return [int(line) for line in (home / GROUPS).read_text().split()]


def test_it_comes_up_runs_a_graph_and_leaves_no_process(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "services" / "toy")
    home = toy.place.resolve() / ".foretell" / "airflow"
    with up(toy.place) as (process, url):
        assert url.startswith("http://127.0.0.1:"), process.communicate()[1]
        assert {dag["dag_id"] for dag in ask(url, "dags")["dags"]} == {"toy-training", "toy-application"}
        os.killpg(groups(home)[list(COMPONENTS).index("scheduler")], signal.SIGKILL)
        until(lambda: len(groups(home)) > len(COMPONENTS))
        run = ask(url, "dags/toy-training/dagRuns", {"logical_date": None})["dag_run_id"]
        ended = until(
            lambda: (
                (state := ask(url, f"dags/toy-training/dagRuns/{run}")["state"]) in ("success", "failed")
                and state
            )
        )
        assert ended == "success"
        twice = subprocess.run(
            [sys.executable, "-m", "foretell", "airflow", "up"],
            cwd=toy.place,
            capture_output=True,
            text=True,
            check=False,
        )
        assert twice.returncode == 2
        assert "is up already" in twice.stderr
        toy.shut()
        ask(url, "dags/toy-training/dagRuns", {"logical_date": None})
        toy.wait_begun("training", 2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert "the scheduler of Airflow has ended with -9, and was started again" in said
        assert survivors(f"{MARK}={home}") == []
        assert not [pid for pid, _ in processes() if directory(pid) == home]
        assert not toy.alive()
    assert next(state for _, state in toy.runs("training")) == "succeeded"


def test_after_its_head_was_killed_the_next_ends_what_was_left_and_gives_up_on_what_dies_again_and_again(
    tmp_path: Path,
) -> None:
    toy = Toy(tmp_path / "services" / "toy")
    home = toy.place.resolve() / ".foretell" / "airflow"
    with up(toy.place) as (process, url):
        assert url, process.communicate()[1]
        process.kill()
        process.communicate()
    left = {pid for pid, _ in processes() if directory(pid) == home}
    assert len(left) >= 5, "the components, and the scheduler's workers"
    with up(toy.place) as (process, url):
        assert url, process.communicate()[1]
        assert not [pid for pid in left if directory(pid) == home]
        for number in range(1, ENDS + 1):
            os.killpg(groups(home)[-1], signal.SIGKILL)
            until(lambda number=number: len(groups(home)) == len(COMPONENTS) + number)
        os.killpg(groups(home)[-1], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        assert process.returncode == InfrastructureError.exit_code
        assert "the dag-processor of Airflow has ended with -9" in said
        assert str(home / "dag-processor.log") in said
    assert not [pid for pid, _ in processes() if directory(pid) == home]


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "services" / "toy")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "foretell", "airflow", "up", "--port", port],
            cwd=toy.place,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert f"the port {port} is taken" in done.stderr


def test_without_airflow_it_says_how_to_install_it(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "services" / "toy")
    packages = tmp_path / "packages"
    packages.mkdir()
    for place in site.getsitepackages():
        for entry in Path(place).iterdir():
            if not entry.name.startswith(("airflow", "apache_airflow")) and entry.suffix != ".pth":
                (packages / entry.name).symlink_to(entry)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "foretell", "airflow", "up"],
        cwd=toy.place,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{packages}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Airflow is not installed beside Foretell" in done.stderr
    assert "pip install 'foretell[airflow]'" in done.stderr
