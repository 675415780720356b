"""The environment of a model, made once from its Python and requirements, then found by content."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from foretell.agent import advice, installing
from foretell.agent.interpreter import find, own
from foretell.agent.tools import Tools, stopped
from foretell.requirements.needs import Needs, group_options, read
from foretell.service import Source

PAUSE = 0.1


def ensure(
    source: Source,
    snapshot: Path,
    cache: Path,
    *,
    log: Callable[[bytes], None],
    environ: Mapping[str, str],
    stopping: Event | None = None,
) -> Path | None:
    """
    Return the directory of the virtual environment that the source asks for, made now where it is not there.

    None for a source that wants none, or that asks for nothing while there is a `python` on the PATH. What is there
    costs the reading of the requirements. Of many who need the same at once one makes it, the others wait. Raises
    EnvironmentFailedError, also when `stopping` is set meanwhile. `log` gets what the tools print.
    """
    if not source.environment:
        return None
    needs = read(source, snapshot, own(), environ)
    if needs.nothing and shutil.which("python", path=environ.get("PATH", os.defpath)):
        return None
    index = cache / needs.key
    if place := ready(index):
        return place
    stopping = stopping or Event()
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{needs.key}.lock", stopping):
        return ready(index) or _made(needs, index, Tools(snapshot, log, environ, stopping))


def ready(index: Path) -> Path | None:
    """Follow the index, which is written last: it names an environment that was completed."""
    try:
        place = index.parent / index.read_text()
    except FileNotFoundError:
        return None
    # the interpreter it was made from may have been removed since
    return place if (place / "bin" / "python").exists() else None


def _made(needs: Needs, index: Path, tools: Tools) -> Path:
    """
    Make an environment under a name never used before, and only then point the index to it.

    So what a killed agent, or a tool it has left behind, has half written is never taken for an environment.
    """
    for leftover in index.parent.glob(f"{index.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    place = index.with_name(f"{index.name}-{os.urandom(4).hex()}")
    try:
        _fill(needs, place, tools)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    draft = index.with_suffix(".draft")
    draft.write_text(place.name)
    draft.replace(index)
    return place


def _fill(needs: Needs, place: Path, tools: Tools) -> None:
    python = find(needs.python, tools.ask, tools.fetch, tools.environ) if needs.python else own()
    if needs.project:
        _sync(needs.project, needs, python, place, tools)
        return
    said = tools.uv("venv", "--no-project", "--python", str(python), str(place))
    if not said.ok:
        raise advice.failed("the virtual environment cannot be made", said.errors)
    installing.install(needs, python, place, tools)


def _sync(project: Path, needs: Needs, python: Path, place: Path, tools: Tools) -> None:
    """Install what uv.lock holds, less the project itself: its code is on PYTHONPATH, as edited."""
    options = ["--locked", "--no-dev", "--no-install-project", "--no-editable", "--compile-bytecode"]
    options += group_options(project / "pyproject.toml", needs.groups)
    said = tools.sync(*options, "--python", str(python), "--project", str(project), environment=place)
    if not said.ok:
        raise advice.failed("the locked requirements cannot be installed", said.errors)


@contextmanager
def _locked(path: Path, stopping: Event) -> Iterator[None]:
    """Hold a lock that the system takes back when the holder dies."""
    with path.open("a") as file:
        while not _try_lock(file.fileno()):
            if stopping.wait(PAUSE):
                raise stopped()
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
