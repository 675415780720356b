"""The door of the command line: what it loads, what it makes of what goes wrong, and that it is documented."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from foretell.cli import main as door
from foretell.cli.completion import every_verb
from foretell.cli.parsing import Verb, nothing
from foretell.errors import WarehouseError

DOCUMENT = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text()


def verb_raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def act(*_: object) -> int:
        raise error

    module = types.ModuleType("foretell.cli.raising")
    module.VERBS = {"raising": Verb(nothing, act, ("foretell raising",))}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "foretell.cli.raising", module)
    monkeypatch.setitem(door.VERBS, "raising", ("raising", "raise"))


def test_help_loads_nothing_but_the_door() -> None:
    script = "import sys; from foretell.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name for name in said.stderr.split() if name.startswith("foretell")}
    assert loaded == {
        "foretell",
        "foretell.errors",
        "foretell.cli",
        "foretell.cli.main",
        "foretell.cli.streams",
    }
    assert not {"argparse", "msgspec", "obstore", "duckdb", "shtab"} & set(said.stderr.split())


@pytest.mark.parametrize(
    "modules",
    [
        "foretell.cli.execution, foretell.cli.parsing, foretell.platforms.process.platform",
        "foretell.agent.guard, foretell.agent.session, foretell.agent.environment",
    ],
)
def test_a_run_on_this_machine_loads_nothing_of_what_it_seldom_needs(modules: str) -> None:
    script = f"import sys\nfrom foretell.system.standby import load_msgspec; load_msgspec()\nimport {modules}\nfrom foretell.store import Store; Store('file:///x'); print(*sys.modules)"
    # -S: without what the packages of this environment load with every start
    program = f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}\n{script}"
    said = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    seldom = {
        "difflib",
        "html",
        "inspect",
        "random",
        "tempfile",
        "tokenize",
        "traceback",
        "foretell.store.bucket",
    }
    libraries = {"airflow", "duckdb", "google", "packaging", "pathspec", "psutil", "requests", "uv"}
    assert sorted((seldom | libraries) & set(said.stdout.split())) == []


def test_an_error_of_ours_gives_its_message_and_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    verb_raising(monkeypatch, WarehouseError("it is away", where="there", why="the network", hint="wait"))
    assert door.main(["raising"]) == 3
    assert capfd.readouterr().err == "error: it is away\n  where: there\n  why: the network\n  next: wait\n"


def test_anything_else_is_a_bug_and_is_shown_as_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    verb_raising(monkeypatch, KeyError("oops"))
    assert door.main(["raising"]) == 70
    said = capfd.readouterr().err
    assert said.startswith("Traceback")
    assert "this is a bug in Foretell" in said


def test_an_interruption_is_quiet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    verb_raising(monkeypatch, KeyboardInterrupt())
    assert door.main(["raising"]) == 130
    assert capfd.readouterr() == ("", "")


def test_the_nearest_verb_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert door.main(["predicitons"]) == 2
    assert "did you mean `foretell predictions`?" in capfd.readouterr().err


def verbs() -> dict[str, argparse.ArgumentParser]:
    whole = every_verb()
    (choices,) = [
        action.choices for action in whole._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return dict(choices)


def section(verb: str) -> str:
    found = re.search(rf"^### foretell {verb}\n(.*?)(?=^##|\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found, f"docs/command-line.md does not tell of {verb}"
    return found[1]


@pytest.mark.parametrize("verb", door.VERBS)
def test_every_verb_and_option_is_documented(verb: str) -> None:
    common = {"-h", "--help", "--json", "-q", "--quiet", "--on", "--file"}
    text = section(verb)
    for action in verbs()[verb]._actions:
        for option in set(action.option_strings) - common:
            assert f"`{option}`" in text, option
        if not action.option_strings:
            assert action.metavar
            assert str(action.metavar) in text
    assert all(f"`{option}" in DOCUMENT for option in common)


def test_every_documented_verb_and_exit_code_exists() -> None:
    assert set(re.findall(r"^### foretell (\w+)$", DOCUMENT, re.MULTILINE)) == set(door.VERBS)
    codes = set(map(int, re.findall(r"^\| (\d+) \|", DOCUMENT, re.MULTILINE)))
    assert codes == {0, 1, 2, 3, 4, 5, 6, door.BUG, door.INTERRUPTED, door.BROKEN_PIPE}


@pytest.mark.parametrize("verb", door.VERBS)
def test_the_overview_and_the_modules_know_the_same_verbs(verb: str) -> None:
    assert f"\n  {verb:12} " in door.overview()
    assert verbs()[verb].format_usage().startswith(f"usage: foretell {verb}")
