"""The Python interpreters of this machine."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from foretell.errors import EnvironmentFailedError

LABELLED = re.compile(r"\s*(error|cause):")


class InterpreterReport(Struct, frozen=True, kw_only=True):
    """What a tool printed, and whether it succeeded."""

    ok: bool
    output: str
    errors: str


Call: TypeAlias = Callable[[Sequence[str], Mapping[str, str]], InterpreterReport]
"""Runs uv with arguments, and with variables over the inherited ones."""


def own() -> Path:
    """Return the interpreter that Foretell itself runs on, outside of its virtual environment."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))


def without_shims(path: str) -> str:
    """Return a PATH less the directories of shims, which answer for interpreters that are not there."""
    return os.pathsep.join(place for place in path.split(os.pathsep) if Path(place).name != "shims")


def find(python: str, ask: Call, fetch: Call, environ: Mapping[str, str]) -> Path:
    """
    Find an interpreter for a version or specifier: by uv's search, among pyenv's versions, by uv's download.

    `ask` and `fetch` run uv; what a fetch prints is worth showing. Raises EnvironmentFailedError that says
    where was searched.
    """
    pyenv = _pyenv(environ)
    path, said = without_shims(environ.get("PATH", os.defpath)), _search(python, ask, environ)
    downloads = _may_download(environ)
    if not said.ok and downloads:
        said = fetch(["python", "install", python], {})
        said = _look(python, ask, path) if said.ok else said
    if said.ok:
        return Path(said.output.strip())
    raise _not_found(python, pyenv, said.errors, downloads=downloads)


def there(python: str, ask: Call, environ: Mapping[str, str]) -> Path | None:
    """Return an interpreter for a version or specifier that is on this machine already; None where none is."""
    said = _search(python, ask, environ)
    return Path(said.output.strip()) if said.ok else None


def _search(python: str, ask: Call, environ: Mapping[str, str]) -> InterpreterReport:
    """Look on the PATH, then among pyenv's versions."""
    said = InterpreterReport(ok=False, output="", errors="")
    path, pyenv = without_shims(environ.get("PATH", os.defpath)), os.pathsep.join(map(str, _pyenv(environ)))
    for place in filter(None, (path, pyenv)):
        said = _look(python, ask, place)
        if said.ok:
            break
    return said


def _look(python: str, ask: Call, path: str) -> InterpreterReport:
    return ask(
        ["python", "find", python, "--no-python-downloads", "--system", "--no-project"], {"PATH": path}
    )


def _pyenv(environ: Mapping[str, str]) -> list[Path]:
    """List the directories of pyenv's interpreters, newest first; those of Python 2 are none for uv."""
    root = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv")
    versions = {
        tuple(map(int, place.name.split("."))): place
        for place in root.glob("versions/*")
        if re.fullmatch(r"[3-9]\d*(\.\d+)*", place.name)
    }
    return [versions[version] / "bin" for version in sorted(versions, reverse=True)]


def _may_download(environ: Mapping[str, str]) -> bool:
    asked_not_to = environ.get("UV_PYTHON_DOWNLOADS", "") in ("never", "manual", "false", "0")
    return not asked_not_to and environ.get("UV_OFFLINE", "") in ("", "0", "false")


def _not_found(python: str, pyenv: Sequence[Path], said: str, *, downloads: bool) -> EnvironmentFailedError:
    versions = ", ".join(place.parent.name for place in pyenv) or "none"
    download = "uv's download failed" if downloads else "uv's download is disabled"
    causes = [line.partition(":")[2].strip() for line in said.splitlines() if LABELLED.match(line)]
    mend = f'"uv python install {python}", or "pyenv install {python}", or change [source] python'
    if not re.match(r"[~<>=!]*\s*\d|(cpython|pypy|python)\b", python):
        mend = 'that is not a version, perhaps a pyenv name: write python = "3.11" into [source]'
    return EnvironmentFailedError(
        f'no Python "{python}" is found',
        where=f"searched: the PATH without shims, pyenv's versions ({versions}); {download}",
        why=": ".join(dict.fromkeys((causes[0], causes[-1]))) if causes else "",
        hint=mend,
    )
