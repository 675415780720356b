"""The working directory of a command, its environment variables and its arguments."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from foretell.errors import EnvironmentFailedError
from foretell.protocol.records import Request
from foretell.sources.copying import Copied, copy_directory
from foretell.system.processes import marker
from foretell.system.times import rfc3339

PROJECTS = frozenset({"pyproject.toml", "pylock.toml", "poetry.lock", "pdm.lock", "setup.py", "setup.cfg"})
"""Files that say what a project needs which lies beside them."""
OWN_INTERPRETER = ("PYTHONHOME", "__PYVENV_LAUNCHER__")
PLACEHOLDER = re.compile(r"\{(action|date|interval_start|interval_end|run)\}")


def prepare(snapshot: Path, into: Path, *, output: str) -> Copied:
    """
    Make `into` (which must not be there) a fresh copy of the snapshot, with an empty directory `output`.

    Directories and files are real ones, whatever their size; symlinks stay symlinks. Raises EnvironmentFailedError
    when `output` lies outside, by its name or by a symlink on its way, and NoRoomError, before anything is copied.
    """
    into.mkdir(parents=True)
    copied = copy_directory(snapshot, into)
    place = into / output
    parent = Path(os.path.realpath(place.parent))
    if ".." in place.parts or place == into or not parent.is_relative_to(os.path.realpath(into)):
        raise EnvironmentFailedError(
            f'the output directory "{output}" is outside of the working directory',
            why=f'it leads to "{parent / place.name}"',
            hint="use a path below the directory of foretell.toml that contains no symlink",
        )
    place.mkdir(parents=True)
    return copied


def variables(
    request: Request,
    attempt: int,
    *,
    workspace: Path,
    environment: Path | None,
    machine: str,
    inherited: Mapping[str, str],
    secrets: Mapping[str, str],
) -> dict[str, str]:
    """
    Return the environment of the command: what is inherited, then what is declared, then what Foretell says.

    The model's own environment and source come first on PATH and PYTHONPATH.
    """
    result = {name: value for name, value in inherited.items() if name not in OWN_INTERPRETER}
    if result.get("VIRTUAL_ENV") == sys.prefix:
        del result["VIRTUAL_ENV"]
    # what a model prints is read while it runs, so Python must not hold it back
    result |= {"PYTHONUNBUFFERED": "1"} | request.env | dict(secrets)
    result |= _identity(request, attempt, machine)
    _prepend(result, "PYTHONPATH", *_source_paths(request, workspace))
    if environment:
        result["VIRTUAL_ENV"] = str(environment)
        _prepend(result, "PATH", str(environment / "bin"))
    return result


def arguments(command: tuple[str, ...], request: Request) -> list[str]:
    """Fill in {action}, {date}, {interval_start}, {interval_end} and {run}; other braces stay."""
    start, end = _interval(request)
    values = {
        "action": request.action,
        "date": _moment(request.date),
        "interval_start": start,
        "interval_end": end,
        "run": request.run.label,
    }
    return [PLACEHOLDER.sub(lambda found: values[found[1]], argument) for argument in command]


def _identity(request: Request, attempt: int, machine: str) -> dict[str, str]:
    start, end = _interval(request)
    own, _, value = marker(machine).partition("=")
    return {
        "NAME": request.service,
        "VERSION": request.version,
        "ACTION": request.action,
        "FORETELL_RUN": request.run.label,
        "FORETELL_ATTEMPT": str(attempt),
        "FORETELL_DATE": _moment(request.date),
        "FORETELL_INTERVAL_START": start,
        "FORETELL_INTERVAL_END": end,
        own: value,
    }


def _source_paths(request: Request, workspace: Path) -> list[str]:
    """Return the source; and for projects, which are not themselves installed, the src/ that they may have."""
    source = request.source
    projects = [path.parent for path in map(PurePosixPath, source.requirements) if path.name in PROJECTS]
    projects += [PurePosixPath(source.locked)] if source.locked is not None else []
    # one that needs no packages names no requirements, and is a project all the same
    projects += [
        PurePosixPath(place)
        for place in (source.path, ".")
        if any((workspace / place / name).is_file() for name in PROJECTS)
    ]
    places = [workspace / project / "src" for project in projects]
    paths = [workspace / source.path, *(src for src in places if src.is_dir())]
    return list(dict.fromkeys(map(os.path.normpath, paths)))


def _prepend(variables: dict[str, str], name: str, *paths: str) -> None:
    rest = variables.get(name)
    variables[name] = os.pathsep.join((*paths, rest) if rest else paths)


def _interval(request: Request) -> tuple[str, str]:
    if not request.interval:
        return "", ""
    return _moment(request.interval.start), _moment(request.interval.end)


def _moment(text: str) -> str:
    return rfc3339(datetime.fromisoformat(text))
