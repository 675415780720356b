"""The agent in an image is what it imports, and nothing else of Foretell."""

from __future__ import annotations

import ast
import io
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from foretell.images import closure, wheel

PACKAGE = wheel.PACKAGE
AGENT = {
    "__init__.py",
    "agent",
    "delivery",
    "errors.py",
    "google",
    "platforms",
    "protocol",
    "service",
    "sources",
    "store",
    "system",
    "warehouses",
}
"""What an agent may consist of."""
NEVER = {
    "service/load.py",
    "service/form.py",
    "service/discovery.py",
    "google/compute.py",
    "protocol/reconciler.py",
    "platforms/docker/platform.py",
    "platforms/compute_engine/attempt.sh",
}
"""What is in these packages, and is for whoever starts runs."""
FILES = sorted(path for path in PACKAGE.rglob("*.py") if not {"template", "templates"} & set(path.parts))
TAG = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from foretell.images.build import ImageBuild
from foretell import load
service = load(Path(sys.argv[2]), environ={})
print(ImageBuild(service, service.targets["docker"], environ={}).tag)
"""


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_an_agent_is_made_of_what_it_imports_and_its_data() -> None:
    found = {name(path) for path in closure.files(PACKAGE)}
    assert {path.partition("/")[0] for path in found} == AGENT
    assert not found & NEVER
    # imported early, late, for one kind of warehouse, and read
    assert found >= {
        "agent/guard.py",
        "agent/installing.py",
        "warehouses/bigquery/jobs.py",
        "warehouses/duckdb/ledger.sql",
        "platforms/docker/settings.py",
    }
    assert not [path for path in found if "__pycache__" in path or path.endswith((".pyi", ".typed"))]


def test_its_imports_are_those_that_python_would_see() -> None:
    own = closure.files(PACKAGE)
    for path in FILES:
        found = modules(closure._imported(path.read_text()))
        true = modules(statements(ast.parse(path.read_text())))
        # a program in a string may import too, which an agent has none of
        assert found == true if path in own else found >= true, name(path)


def modules(names: Iterable[str]) -> set[str]:
    return {module for module in names if closure._path(PACKAGE, module)}


def statements(tree: ast.Module) -> list[str]:
    """Give what the statements of a module may import of Foretell, parsed."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [module for module in found if module.partition(".")[0] == "foretell"]


def test_the_wheel_holds_these_files_as_they_are() -> None:
    with zipfile.ZipFile(io.BytesIO(wheel.agent().wheel)) as archive:
        inside = {entry: archive.read(entry) for entry in archive.namelist() if ".dist-info/" not in entry}
    assert inside == {f"foretell/{name(path)}": path.read_bytes() for path in closure.files(PACKAGE)}


def test_only_an_edit_of_the_agent_makes_another_image(tmp_path: Path) -> None:
    service = tmp_path / "service"
    service.mkdir()
    (service / "foretell.toml").write_text('name = "toy"\n[actions.training]\ncommand = "python train.py"\n')
    (service / "train.py").touch()
    copy = tmp_path / "copy" / "foretell"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = tag(copy, service)
    for path in ("cli/output.py", "doctor/check.py", "controller/tick.py", "images/wheel.py"):
        edit(copy / path)
    assert tag(copy, service) == before
    seen = {before}
    for path in ("agent/session.py", "warehouses/bigquery/claim.sql"):
        edit(copy / path)
        seen.add(tag(copy, service))
    assert len(seen) == 3


def edit(path: Path) -> None:
    sign = "--" if path.suffix == ".sql" else "#"
    with path.open("a") as file:
        file.write(f"{sign} edited\n")


def tag(package: Path, service: Path) -> str:
    command = [sys.executable, "-I", "-c", TAG, str(package.parent), str(service)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
