"""The environment of a model, made once by uv from its Python and requirements, then found by content."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import uv

from foretell.agent.execute import Limits, run
from foretell.agent.interpreter import Said, find, own
from foretell.errors import EnvironmentFailedError
from foretell.requirements import Needs, read
from foretell.service import Source

PAUSE = 0.1
TELLING_LINES = 12
UNREACHABLE = re.compile(r"Failed to (?:fetch|download)|error sending request|network was disabled|timed out")
ABSENT = re.compile(
    r"Because (\S+) was not found in the (?:package registry|provided package locations)"
    r"|there (?:is|are) no versions? of (\S+)"
    r"|No matching distribution found for (\S+)"
)
TELLING = re.compile(r"^\s*(error|hint|cause)|^\s*ERROR", re.IGNORECASE)
FOREIGN = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONHOME",
    "PYTHONPATH",
    "__PYVENV_LAUNCHER__",
    "UV_PROJECT_ENVIRONMENT",
)
QUIET = {"UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
PIP_TO_UV = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
}


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
    Give the directory of the virtual environment that the source asks for, made now where it is not there.

    None for a source that asks for nothing, while there is a `python` on the PATH. What is there costs
    the reading of the requirements. Of many who need the same at once one makes it, the others wait. Raises
    EnvironmentFailedError, also when `stopping` is set meanwhile. `log` gets what the tools print.
    """
    needs = read(source, snapshot, own())
    if needs.nothing and shutil.which("python", path=environ.get("PATH", os.defpath)):
        return None
    index = cache / needs.key
    if ready := _ready(index):
        return ready
    stopping = stopping or Event()
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{needs.key}.lock", stopping):
        return _ready(index) or _made(needs, index, _Tools(snapshot, log, environ, stopping))


def _ready(index: Path) -> Path | None:
    """Follow the index, which is written last: it names an environment that was completed."""
    try:
        place = index.parent / index.read_text()
    except FileNotFoundError:
        return None
    # the interpreter it was made from may have been removed since
    return place if (place / "bin" / "python").exists() else None


def _made(needs: Needs, index: Path, tools: _Tools) -> Path:
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


def _fill(needs: Needs, place: Path, tools: _Tools) -> None:
    python = find(needs.python, tools.ask, tools.uv, tools.environ) if needs.python else own()
    if needs.project:
        _sync(needs.project, python, place, tools)
        return
    said = tools.uv(["venv", "--no-project", "--python", str(python), str(place)], {})
    tools.must("the virtual environment cannot be made", said)
    if needs.requirements:
        said = _install(needs.requirements, python, place, tools)
        tools.must("the requirements cannot be installed", said)


def _sync(project: Path, python: Path, place: Path, tools: _Tools) -> None:
    """Install what uv.lock holds, less the project itself: its code is on PYTHONPATH, as edited."""
    options = ["--locked", "--no-dev", "--no-install-project", "--no-editable", "--compile-bytecode"]
    where = ["--python", str(python), "--project", str(project)]
    said = tools.uv(["sync", *options, *where], {"UV_PROJECT_ENVIRONMENT": str(place)})
    tools.must("the locked requirements cannot be installed", said)


def _install(requirements: Sequence[Path], python: Path, place: Path, tools: _Tools) -> Said:
    """Install by uv; by pip where uv fails, since older packages have metadata that only pip accepts."""
    files = [part for path in requirements for part in ("-r", str(path))]
    inside = str(place / "bin" / "python")
    said = tools.uv(["pip", "install", "--python", inside, "--compile-bytecode", *files], {})
    if said.ok or ABSENT.search(said.errors) or UNREACHABLE.search(said.errors):
        return said
    tools.log(b"uv cannot install these requirements, so the interpreter's own pip is tried\n")
    said = tools.call([str(python), "-m", "venv", "--clear", str(place)], {})
    if not said.ok:
        return said
    options = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    return tools.call([inside, "-m", "pip", "install", *options, *files], {})


class _Tools:
    """The tools that make an environment, run under the action's control."""

    def __init__(
        self, cwd: Path, log: Callable[[bytes], None], environ: Mapping[str, str], stopping: Event
    ) -> None:
        self.log = log
        as_for_pip = {ours: environ[theirs] for theirs, ours in PIP_TO_UV.items() if theirs in environ}
        inherited = {name: value for name, value in environ.items() if name not in FOREIGN}
        self.environ = QUIET | as_for_pip | inherited
        self._cwd = cwd
        self._stopping = stopping

    def uv(self, arguments: Sequence[str], variables: Mapping[str, str]) -> Said:
        return self.call([uv.find_uv_bin(), *arguments], variables)

    def ask(self, arguments: Sequence[str], variables: Mapping[str, str]) -> Said:
        """Run uv without a word in the log: what is not found in one place is no news."""
        return self.call([uv.find_uv_bin(), *arguments], variables, log=lambda _data: None)

    def call(
        self,
        argv: Sequence[str],
        variables: Mapping[str, str],
        *,
        log: Callable[[bytes], None] | None = None,
    ) -> Said:
        if self._stopping.is_set():
            raise _stopped()
        printed = {1: bytearray(), 2: bytearray()}

        def take(stream: int, data: bytes) -> None:
            (log or self.log)(data)
            printed[stream] += data

        limits = Limits(stopping=self._stopping, killing=self._stopping)
        ended = run(argv, cwd=self._cwd, env=self.environ | dict(variables), sink=take, limits=limits)
        if ended.stopped:
            raise _stopped()
        output, errors = (bytes(data).decode(errors="replace") for data in printed.values())
        return Said(ok=ended.ok, output=output, errors=errors or ended.cause)

    def must(self, what: str, said: Said) -> None:
        if not said.ok:
            raise _failed(what, said.errors)


@contextmanager
def _locked(path: Path, stopping: Event) -> Iterator[None]:
    """Hold a lock that the system takes back when the holder dies."""
    with path.open("a") as file:
        while not _try_lock(file.fileno()):
            if stopping.wait(PAUSE):
                raise _stopped()
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stopped() -> EnvironmentFailedError:
    return EnvironmentFailedError("the making of the environment was stopped")


def _failed(what: str, errors: str) -> EnvironmentFailedError:
    lines = [line.strip() for line in errors.splitlines()]
    telling = [line for line in lines if TELLING.match(line)] or [line for line in lines if line]
    hint = "try it by hand in a fresh virtual environment; all that the tools said is in the run's log"
    if absent := ABSENT.search(errors):
        what = f'there is no package or version "{next(filter(None, absent.groups()))}"'
        hint = "mend its line in the requirements"
    elif UNREACHABLE.search(errors):
        what = f"{what}: the package index does not answer"
        hint = "check the network and the index's address (UV_DEFAULT_INDEX, UV_INDEX), then run it again"
    return EnvironmentFailedError(what, why="\n       ".join(telling[-TELLING_LINES:]), hint=hint)
