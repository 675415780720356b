"""What a service's directory says by itself: source, Python, packages, the usual command."""

from __future__ import annotations

import tomllib
from pathlib import Path, PurePosixPath

from foretell.names import LOCK_FILE
from foretell.service import Source
from foretell.servicefile.faults import Faults
from foretell.servicefile.form import SourceTable
from foretell.servicefile.layers import Table
from foretell.servicefile.lines import KeyPath
from foretell.servicefile.site import Site


def source(site: Site) -> Source:
    """Resolve the source: what the file says, else what the directories hold."""
    table, root, faults = site.form.source, site.root, site.faults
    path = _path(table, root, faults)
    requirements, locked = _needed(table, root, path, faults)
    python = _python(table, root, path, faults)
    return Source(path=path, python=python, requirements=requirements, locked=locked)


def inside(path: str, key: KeyPath, faults: Faults, *, below: str = "the directory of this file") -> bool:
    """Tell whether a path stays where it belongs, and a fault if it does not."""
    if not path.strip() or "\0" in path:
        faults.add(key, f'"{key[-1]}" must be a path')
    elif PurePosixPath(path).is_absolute() or "\\" in path or ".." in PurePosixPath(path).parts:
        faults.add(key, f'the path "{path}" must stay inside {below}: relative, with /, without ".."')
    else:
        return True
    return False


def mains(root: Path, source: Source) -> list[str]:
    """Give the modules that can be run as the model: one for every package that has a main."""
    packages = sorted(_directories(root / source.path))
    own = [package.name for package in packages if (package / "__main__.py").is_file()]
    main = [f"{package.name}.main" for package in packages if (package / "main.py").is_file()]
    return [*own, *(module for module in main if module.removesuffix(".main") not in own)]


def usual_command(root: Path, module: str, action: str) -> tuple[str, ...]:
    """Give the command of a model that is this module, after the convention of arguments."""
    command = ("python", "-m", module, "--action", "{action}")
    config = (root / "configs" / f"{action}.json").is_file()
    return (*command, "--config", "configs/{action}.json") if config else command


def _path(table: SourceTable, root: Path, faults: Faults) -> str:
    key = ("source", "path")
    path = "source" if table.path is None and (root / "source").is_dir() else table.path or "."
    if not inside(path, key, faults):
        return "."
    if not _there(root, path, directory=True):
        mend = 'a submodule is fetched by "git submodule update --init"'
        faults.add(key, f'there is no directory "{path}" beside this file; {mend}')
        return "."
    return str(PurePosixPath(path))


def _directories(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.name.isidentifier() and entry.is_dir()]
    except OSError:
        return []


def _there(root: Path, path: str, *, directory: bool = False) -> bool:
    place = root / path
    try:
        return (place.is_dir() if directory else place.is_file()) or _is_built(root)
    except OSError:
        return False


def _is_built(root: Path) -> bool:
    """Tell whether images are made already: then neither the sources nor what they need have to be here."""
    return (root / LOCK_FILE).is_file()


def _needed(table: SourceTable, root: Path, path: str, faults: Faults) -> tuple[tuple[str, ...], str | None]:
    """Give the requirement files, or the directory of a locked project."""
    if table.requirements is not None:
        for place, name in enumerate(table.requirements):
            key = ("source", "requirements", place)
            if inside(name, key, faults) and not _there(root, name):
                faults.add(key, f'there is no requirement file "{name}" beside this file')
        return table.requirements, None
    for directory in dict.fromkeys((path, ".")):
        if (root / directory / "pyproject.toml").is_file() and (root / directory / "uv.lock").is_file():
            return (), directory
    usual = dict.fromkeys(str(PurePosixPath(directory, "requirements.txt")) for directory in (path, "."))
    there = [name for name in usual if (root / name).is_file()]
    if not there and _project(root / path).get("dependencies"):
        there = [str(PurePosixPath(path, "pyproject.toml"))]
    return tuple(there), None


def _python(table: SourceTable, root: Path, path: str, faults: Faults) -> str | None:
    if table.python is not None:
        if not any(mark.isdigit() for mark in table.python) or not table.python.isprintable():
            faults.add(
                ("source", "python"), f'"python" is no version: "{table.python}"; write "3.11" or ">=3.11"'
            )
        return table.python
    directories = [root / directory for directory in dict.fromkeys((path, "."))]
    lines = [
        line.strip()
        for directory in directories
        for line in _text(directory / ".python-version").splitlines()
    ]
    said = [line for line in lines if line and not line.startswith("#")]
    asked = [_project(directory).get("requires-python") for directory in directories]
    return next((wish for wish in (*said, *asked) if isinstance(wish, str) and wish), None)


def _project(directory: Path) -> Table:
    try:
        project = tomllib.loads(_text(directory / "pyproject.toml")).get("project")
    except (ValueError, RecursionError):
        # What is wrong with it, the making of the environment tells in full.
        return {}
    return project if isinstance(project, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
