"""Files that no installer reads, as requirements files: the lock files of other tools, and [tool.poetry]."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path

from foretell.service.requirements import pdm, pipenv, poetry
from foretell.service.requirements.pins import unreadable
from foretell.service.requirements.place import table

LOCKS = frozenset({"poetry.lock", "pdm.lock", "Pipfile.lock"})


def converted(path: Path, root: Path, groups: Sequence[str]) -> tuple[str, bool] | None:
    """
    Return a requirements file for what a file declares, and whether it is complete; None where the file itself serves.

    Paths in it are relative to `root`, where it is installed. What is complete is installed without looking for more.
    EnvironmentFailedError where the file cannot be read.
    """
    if path.name not in LOCKS and path.name != "pyproject.toml":
        return None
    shown = os.path.relpath(path, root)
    base = os.path.dirname(shown)  # noqa: PTH120 - the empty text for the root itself
    beside = path if path.name == "pyproject.toml" else path.with_name("pyproject.toml")
    pyproject = _toml(beside, root) if beside.is_file() else {}
    match path.name:
        case "poetry.lock":
            return poetry.locked(_toml(path, root), pyproject, path=shown, base=base, groups=groups), True
        case "pdm.lock":
            return pdm.locked(_toml(path, root), pyproject, path=shown, base=base, groups=groups), True
        case "Pipfile.lock":
            return pipenv.locked(_json(path, root), path=shown, base=base, groups=groups), True
        case _:
            pass
    if table(pyproject, "project").get("dependencies") or not table(
        pyproject, "tool", "poetry", "dependencies"
    ):
        return None
    return poetry.unlocked(pyproject, path=shown, base=base, groups=groups), False


def _toml(path: Path, root: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(
            os.path.relpath(path, root), str(error), "create it again with the tool that wrote it"
        ) from error


def _json(path: Path, root: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise unreadable(os.path.relpath(path, root), str(error), "run `pipenv lock` again") from error
    return found if isinstance(found, dict) else {}
