"""The environment of a model, made once from its Python and requirements, then found by content."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from foretell.agent.interpreter import own
from foretell.service.model import Source
from foretell.service.requirements.foreign import FOREIGN
from foretell.service.requirements.needs import read
from foretell.system import locks

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
        if place := ready(index):
            return place
        # Loaded here, for most runs find their environment, and what reads lock files takes long to load.
        from foretell.agent import installing
        from foretell.agent.tools import Tools

        tools = Tools(snapshot, log, environ, stopping)
        return _made(index, lambda place: installing.fill(needs, place, tools))


def words(source: Source, snapshot: Path, commands: Iterable[Sequence[str]]) -> list[str]:
    """Say which file the packages are from, and what lies beside it; nothing where nothing lies there."""
    there = {name for place in (snapshot, snapshot / source.path) for name in _names(place)}
    if not (source.requirements or source.locked or FOREIGN.keys() & there):
        return []
    # Loaded here, for what reads lock files takes long to load.
    from foretell.service.requirements import declared

    return declared.sentences(declared.passed_over(source, snapshot, declared.scripts_of(commands)))


def _names(place: Path) -> list[str]:
    try:
        return os.listdir(place)  # noqa: PTH208 - names, without a Path for each
    except OSError:
        return []


def ready(index: Path) -> Path | None:
    """Follow the index, which is written last: it names an environment that was completed."""
    try:
        place = index.parent / index.read_text()
    except FileNotFoundError:
        return None
    # the interpreter it was made from may have been removed since
    return place if (place / "bin" / "python").exists() else None


def _made(index: Path, fill: Callable[[Path], None]) -> Path:
    """
    Make an environment under a name never used before, and only then point the index to it.

    So what a killed agent, or a tool it has left behind, has half written is never taken for an environment.
    """
    for leftover in index.parent.glob(f"{index.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    place = index.with_name(f"{index.name}-{os.urandom(4).hex()}")
    try:
        fill(place)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    draft = index.with_suffix(".draft")
    draft.write_text(place.name)
    draft.replace(index)
    return place


@contextmanager
def _locked(path: Path, stopping: Event) -> Iterator[None]:
    """Hold a lock that the system takes back when the holder dies."""
    with path.open("a") as file:
        while not locks.take(file.fileno()):
            if stopping.wait(PAUSE):
                from foretell.agent.tools import stopped

                raise stopped()
        yield
