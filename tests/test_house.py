"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import tomllib
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "foretell"
# what is given to users, or runs while an image is built, stands alone
GIVEN = {"template", "templates"}
FILES = sorted(path for path in SOURCE.rglob("*.py") if not GIVEN & set(path.parts))

FILE_BUDGET = 400
FUNCTION_BUDGET = 60

# Only these may import inside a function, each for a reason. It is a plain statement there, so that mypy and the
# contract of imports see it.
LATE = {
    "agent/environment.py": "most runs find their environment, and what makes one takes long to load",
    "agent/guard.py": "a guard that waits for its post loads the agent meanwhile",
    "agent/log.py": "only machines of Google's have what asks Google",
    "agent/output.py": "DuckDB is loaded while the command runs, and few models write metrics",
    "agent/secrets.py": "only machines of Google's have what asks Google",
    "agent/session.py": "an image's agent has not what makes environments",
    "airflow/__init__.py": "every process of Airflow loads this package",
    "airflow/operators.py": "parsing a graph loads neither store nor cloud",
    "cli/execution.py": "only a run that wrote tables waits for DuckDB",
    "cli/main.py": "`foretell --help` costs next to nothing",
    "controller/freeze.py": "runs on this machine have no use for images",
    "doctor/kinds.py": "Google's libraries may not be there",
    "google/rest.py": "Google's libraries take long to load, and may not be there",
    "platforms/__init__.py": "one kind out of several",
    "service/kinds.py": "who uses what Foretell brings does not look through what is installed",
    "service/env_file.py": "few services have such a file",
    "sources/ignore.py": "only who has patterns pays for them",
    "store/__init__.py": "a directory needs nothing of what a bucket does",
    "store/connect.py": "few credentials need Google's library, which may not be there",
    "system/processes.py": "psutil is there only where there is no /proc",
    "system/backoff.py": "most programs end without a pause",
    "system/check.py": "only the doctor tries to write",
    "system/standby.py": "msgspec is loaded in its own way",
    "system/text.py": "only a mistyped word is guessed at",
    "warehouses/__init__.py": "one kind out of several",
    "warehouses/settle.py": "most rows are delivered from where their agent has them",
}
# Only these may import by a string, for neither mypy nor the contract of imports sees that.
STRINGS = {
    "__init__.py": "the table of public names, which the stub beside it types",
    "airflow/compat.py": "where each version of Airflow has a part",
    "cli/completion.py": "the table of verbs",
    "cli/main.py": "the table of verbs",
}
# Only these may print: the command line's one mouth, and processes whose output is their last word.
MOUTHS = {"cli/output.py", "agent/session.py", "agent/fence.py"}

# What the whole may have at most of each; a limit only ever goes down, but for the entries, when a room is added.
ENTRIES = 18
SAME_NAMES = 4
ANYS = 40
KIND_SWITCHES = 6
BESIDE = {"__init__.py", "__init__.pyi", "__main__.py", "py.typed", "__pycache__"}
# The packages of the kinds know which kind they are.
KINDS = {"process", "docker", "compute_engine", "duckdb", "bigquery"}
NO_SWITCH_IN = {"protocol", "agent"}

TREES = {path: ast.parse(path.read_text()) for path in FILES}


def name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def lines(path: Path) -> int:
    return path.read_text().count("\n")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_short_and_says_what_it_is(path: Path) -> None:
    assert lines(path) <= FILE_BUDGET
    assert ast.get_docstring(TREES[path]), "a module starts with one sentence"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_functions_are_short(path: Path) -> None:
    functions = (node for node in ast.walk(TREES[path]) if isinstance(node, ast.FunctionDef))
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno > FUNCTION_BUDGET]
    assert not long


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_stand_at_the_top(path: Path) -> None:
    tree = TREES[path]
    top = {node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
    rest = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and node not in top
    ]
    where = name(path)
    assert not rest or where in LATE, (
        f"{where} imports below the top, lines {rest}: move them up, or give a reason"
    )
    assert rest or where not in LATE, f"{where} imports nothing late any more: take it off the list"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_module_is_imported_by_a_string(path: Path) -> None:
    by_string = [
        node.lineno
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Name | ast.Attribute | ast.alias)
        and {"import_module", "__import__"} & {getattr(node, part, None) for part in ("id", "attr", "name")}
    ]
    where = name(path)
    assert not by_string or where in STRINGS, (
        f"{where} imports by a string, lines {by_string}: write `from … import …` inside the function"
    )
    assert 'import_module("foretell' not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_mouths_print(path: Path) -> None:
    calls = (node for node in ast.walk(TREES[path]) if isinstance(node, ast.Call))
    prints = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not prints or name(path) in MOUTHS


def test_the_root_shows_the_rooms() -> None:
    entries = sorted(entry.name for entry in SOURCE.iterdir() if entry.name not in BESIDE)
    assert len(entries) <= ENTRIES, f"{len(entries)} entries of src/foretell, {ENTRIES} may be: {entries}"


def test_a_package_keeps_its_budget() -> None:
    budgets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["foretell"]["budgets"]
    has = {
        package.parent.name: sum(map(lines, package.parent.rglob("*.py")))
        for package in SOURCE.glob("*/__init__.py")
    }
    assert has.keys() == budgets.keys(), (
        "each package has its budget in [tool.foretell.budgets] of pyproject.toml"
    )
    over = {
        package: f"{has[package]} of {budget}" for package, budget in budgets.items() if has[package] > budget
    }
    assert not over, (
        f"lines over the budget of pyproject.toml: {over}; is the package two things? if not, raise it"
    )


def test_the_picture_of_the_floors_is_drawn_from_the_contract() -> None:
    document = (ROOT / "ARCHITECTURE.md").read_text()
    drawn = runpy.run_path(str(ROOT / "tools" / "floors.py"))["drawn"](document)
    assert document == drawn, "the picture in ARCHITECTURE.md is stale: make floors"


def test_what_the_architecture_names_is_there() -> None:
    document = (ROOT / "ARCHITECTURE.md").read_text()
    lost = []
    for line in document.splitlines():
        row = re.match(r"\| `(\w+)/` \|", line)
        folder = SOURCE / row[1] if row else SOURCE
        for path in re.findall(r"`([\w/]+(?:\.py|/))`", line.partition(" | ")[2] if row else line):
            if not any((place / path).exists() for place in (folder, SOURCE, ROOT)):
                lost.append(f"{row[1]}/{path}" if row else path)
    assert not lost, f"ARCHITECTURE.md names what is not there: {lost}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Late imports count; import-linter's own graph, so that both see the same."""
    graph = grimp.build_graph("foretell", cache_dir=None)
    order: TopologicalSorter[str] = TopologicalSorter()
    for module in graph.modules:
        order.add(module, *graph.find_modules_directly_imported_by(module))
    try:
        order.prepare()
    except CycleError as error:
        circle = " imports ".join(reversed(error.args[1]))
        pytest.fail(f"a circle of imports: {circle}; move what both need below them")


def test_a_kind_is_known_to_its_own_package_and_to_the_table_of_kinds_alone() -> None:
    """So a new kind is a package of its own, its entry in the table, and a parameter of the suite."""
    known = defaultdict(set)
    for path, tree in TREES.items():
        modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        modules += [one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
        for _, room, kind in (words[:3] for one in modules if len(words := one.split(".")) > 2):
            if room in ("platforms", "warehouses") and kind in KINDS and path.parent.name != kind:
                known[f"{room}/{kind}"].add(name(path))
    packages = {path.parent for path in TREES if path.parent.name in KINDS}
    assert {name(one) for one in packages} == known.keys(), "a kind is in no table"
    others = {kind: where for kind, where in known.items() if where != {f"{kind.split('/')[0]}/__init__.py"}}
    assert not others, f"ask the kind, by a method of its Protocol or of its settings: {others}"


def test_a_public_class_has_a_name_of_its_own() -> None:
    places = defaultdict(list)
    for path, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name(path))
    several = {word: where for word, where in places.items() if len(where) > 1}
    assert len(several) <= SAME_NAMES, f"one name for two classes: {several}"


def test_docstrings_say_return_not_give() -> None:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [
        f"{name(path)}:{getattr(node, 'lineno', 1)}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, kinds) and re.match(r"Gives?\b", ast.get_docstring(node) or "")
    ]
    assert not found, f"write “Return …”: {found}"


def test_any_is_for_libraries_without_types() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.Attribute) and node.attr == "Any")
    ]
    assert len(found) <= ANYS, (
        f"Any stands {len(found)} times, {ANYS} may be; say `object`, or the type: {found}"
    )


def test_a_kind_answers_for_itself() -> None:
    """Who asks "which kind?" has to be visited for every new kind; asked of the settings, the kind brings the answer."""
    found = defaultdict(list)
    for path, tree in TREES.items():
        if KINDS & set(path.parts):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.MatchClass):
                asked, line = node.cls, node.cls.lineno
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                asked, line = node.args[1], node.lineno
            else:
                continue
            if re.search(r"\w(Settings)\b", ast.unparse(asked)):
                found[name(path)].append(line)
    total = sum(map(len, found.values()))
    assert total <= KIND_SWITCHES, f"{total} switches over kinds, {KIND_SWITCHES} may be: {dict(found)}"
    forbidden = {where: lines for where, lines in found.items() if where.split("/")[0] in NO_SWITCH_IN}
    assert not forbidden, f"the rules and the agent know no kind: {forbidden}"


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
