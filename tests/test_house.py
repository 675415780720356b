"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "foretell"
# what is given to users, or runs while an image is built, stands alone
GIVEN = {"template", "templates"}
FILES = sorted(path for path in SOURCE.rglob("*.py") if not GIVEN & set(path.parts))

FILE_BUDGET = 400
FUNCTION_BUDGET = 60

# Only these may import inside a function: they pick one implementation out of several.
LAZY = {"platforms/__init__.py", "warehouses/__init__.py", "cli/main.py"}
# Only these may print: the command line's one mouth, and processes whose output is their last word.
MOUTHS = {"cli/output.py", "agent/session.py", "agent/fence.py"}


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def lines(path: Path) -> int:
    return path.read_text().count("\n")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_short_and_says_what_it_is(path: Path) -> None:
    assert lines(path) <= FILE_BUDGET
    assert ast.get_docstring(ast.parse(path.read_text())), "a module starts with one sentence"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_functions_are_short(path: Path) -> None:
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno > FUNCTION_BUDGET]
    assert not long


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_stand_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    top = {node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
    rest = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in top
    ]
    assert not rest or name(path) in LAZY, f"imports below the top, lines {rest}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_mouths_print(path: Path) -> None:
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    prints = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not prints or name(path) in MOUTHS


def test_every_public_name_is_there_and_typed() -> None:
    stub = (SOURCE / "__init__.pyi").read_text()
    table = ast.parse((SOURCE / "__init__.py").read_text())
    assigned = next(node for node in table.body if isinstance(node, ast.Assign))
    public = ast.literal_eval(assigned.value)
    assert set(public) == set(re.findall(r"import \w+ as (\w+)", stub))


def test_nothing_committed_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # put together here, so that this file does not name them itself
    forbidden = re.compile(
        "|".join(["pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npmjs", "/wo" + "rk/"])
    )
    found = [
        f"{path}:{number}"
        for path in listed.splitlines()
        if (ROOT / path).is_file()
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not found
