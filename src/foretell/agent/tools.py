"""The tools that make an environment, run under the action's control."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event

import uv

from foretell.agent.command import Limits, run
from foretell.agent.interpreter import InterpreterReport
from foretell.errors import EnvironmentFailedError
from foretell.service.requirements import indexes

FOREIGN = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONHOME",
    "PYTHONPATH",
    "__PYVENV_LAUNCHER__",
    "UV_PROJECT_ENVIRONMENT",
)
QUIET = {"UV_NO_PROGRESS": "1", "NO_COLOR": "1"}
LOCKED = ("index-url", "extra-index-url", "cert")
"""What a project that uv has locked is told of pip's settings: its lock names the indexes of its packages."""


class Tools:
    """uv and others, in the directory of the sources; what they print goes to `log`."""

    def __init__(
        self, cwd: Path, log: Callable[[bytes], None], environ: Mapping[str, str], stopping: Event
    ) -> None:
        self.log = log
        self.cwd = cwd
        self._known = environ
        self._inherited = {name: value for name, value in environ.items() if name not in FOREIGN}
        self._stopping = stopping
        self.environ = QUIET | self._inherited

    def uv(self, *arguments: str, variables: Mapping[str, str] | None = None) -> InterpreterReport:
        """Run uv by itself, which knows nothing of pip."""
        return self.call([uv.find_uv_bin(), *arguments], variables=variables)

    def sync(self, *arguments: str, environment: Path) -> InterpreterReport:
        """Run `uv sync` for a project that it has locked."""
        known = {f"PIP_{name.upper().replace('-', '_')}" for name in LOCKED}
        told = {name: value for name, value in self._known.items() if name in known}
        variables = indexes.for_uv(indexes.settings({"PIP_CONFIG_FILE": "/dev/null", **told}))
        return self.uv(
            "sync",
            *arguments,
            variables=variables | self._inherited | {"UV_PROJECT_ENVIRONMENT": str(environment)},
        )

    def pip(self, *arguments: str, quiet: bool = False) -> InterpreterReport:
        """Run `uv pip` as pip would be run here: with its files, its variables, and its choice among indexes."""
        variables = indexes.AS_PIP | indexes.for_uv(indexes.settings(self._known)) | self._inherited
        return self.call([uv.find_uv_bin(), "pip", *arguments], variables=variables, quiet=quiet)

    def ask(self, arguments: Sequence[str], variables: Mapping[str, str]) -> InterpreterReport:
        """Run uv without a word in the log: what is not found in one place is no news."""
        return self.call([uv.find_uv_bin(), *arguments], variables=variables, quiet=True)

    def fetch(self, arguments: Sequence[str], variables: Mapping[str, str]) -> InterpreterReport:
        """Run uv for what is worth showing."""
        return self.uv(*arguments, variables=variables)

    def call(
        self, argv: Sequence[str], *, variables: Mapping[str, str] | None = None, quiet: bool = False
    ) -> InterpreterReport:
        """Run a program to its end; EnvironmentFailedError where it was stopped."""
        if self._stopping.is_set():
            raise stopped()
        printed = {1: bytearray(), 2: bytearray()}

        def take(stream: int, data: bytes) -> None:
            if not quiet:
                self.log(data)
            printed[stream] += data

        limits = Limits(stopping=self._stopping, killing=self._stopping)
        env = self.environ | dict(variables or {})
        ended = run(argv, cwd=self.cwd, env=env, sink=take, limits=limits)
        if ended.stopped:
            raise stopped()
        output, errors = (bytes(data).decode(errors="replace") for data in printed.values())
        return InterpreterReport(ok=ended.ok, output=output, errors=errors or ended.cause)


def stopped() -> EnvironmentFailedError:
    """Return the error for a making that was stopped."""
    return EnvironmentFailedError("the creation of the environment was stopped")
