"""What Python and which packages the commands get, here and where cron starts them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import uv

from foretell.agent import interpreter
from foretell.agent.environment import ready
from foretell.agent.interpreter import InterpreterReport
from foretell.errors import EnvironmentFailedError
from foretell.service.model import Service
from foretell.service.requirements import declared, needs
from foretell.service.requirements.foreign import FOREIGN
from foretell.service.requirements.steps import steps
from foretell.system import paths
from foretell.system.check import Check, failed, missing, ok, warning

CRON = "/usr/bin:/bin"
"""The PATH that cron gives to what it starts."""
NAME = "model's python"
NEVER = ("never", "manual", "false", "0")


def packages(service: Service) -> Iterator[Check]:
    """Which file says what is installed, what lies beside it, and whether it can be read."""
    source = service.source
    commands = [argv for action in service.actions.values() for argv in action.steps]
    found = declared.passed_over(source, service.root, declared.scripts_of(commands))
    if not source.environment:
        yield ok("packages", "none: python = false makes no environment")
        return
    try:
        steps([service.root / name for name in source.requirements], service.root, source.groups)
    except EnvironmentFailedError as error:
        yield failed("packages", error)
        return
    said = declared.sentences(found)
    taken = bool(found.requirements) or found.locked is not None
    if taken or not found.foreign:
        yield ok("packages", "; ".join(said) or "no file says which Python packages are needed")
    else:
        mend = FOREIGN[PurePosixPath(found.foreign[0]).name]
        yield warning("packages", f"none are installed: {', '.join(found.foreign)} is not read", mend)


def needed_python(service: Service, environ: Mapping[str, str]) -> Check:
    """Which interpreter and environment the commands get when cron runs `tick`, whose PATH is short."""
    source = service.source
    by_cron = {**environ, "PATH": CRON}
    if source.python is None:
        wanted = (
            needs.read(source, service.root, interpreter.own(), environ) if _is_readable(service) else None
        )
        if not source.environment or (wanted and wanted.nothing):
            return _of_path(service, environ)
        return ok(NAME, f"none asked for: {interpreter.own()}; {_environment(service, environ)}")
    wish = source.python
    found = interpreter.there(wish, _uv(by_cron), by_cron)
    if found:
        return ok(NAME, f"{wish}: {found}; {_environment(service, environ)}")
    quiet = {**environ, "UV_PYTHON_DOWNLOADS": "never"}
    fix = f'"uv python install {wish}", or change [source] python'
    try:
        here = interpreter.find(wish, _uv(environ), _uv(environ), quiet)
    except EnvironmentFailedError as error:
        if environ.get("UV_PYTHON_DOWNLOADS", "") not in NEVER:
            return warning(NAME, f"no Python {wish} yet: the first run downloads it", fix)
        return missing(NAME, f"no Python {wish}; {error.where}", fix)
    return warning(NAME, f"{wish}: {here} here, and not where cron runs `tick` (PATH={CRON})", fix)


def _is_readable(service: Service) -> bool:
    try:
        needs.files(service.source, service.root)
    except EnvironmentFailedError:
        return False
    return True


def _of_path(service: Service, environ: Mapping[str, str]) -> Check:
    """Tell which Python a command gets that nothing is made for: the first on the PATH, which cron has another of."""
    here, by_cron = (shutil.which("python", path=path) for path in (environ.get("PATH", os.defpath), CRON))
    makes = service.source.environment
    own = f"an environment without packages, of {interpreter.own()}" if makes else "none"
    by_tick = by_cron or own
    if (here or own) == by_tick:
        return ok(NAME, f"none asked for: {by_tick}")
    if not any(argv[0].startswith("python") for action in service.actions.values() for argv in action.steps):
        return ok(NAME, f"no command asks for one; {here or own} here, {by_tick} where cron runs `tick`")
    fix = 'say what is needed in a requirements.txt, and which Python: python = "3.11" in [source]'
    return warning(NAME, f"{here or own} here, and where cron runs `tick` (PATH={CRON}): {by_tick}", fix)


def _environment(service: Service, environ: Mapping[str, str]) -> str:
    """Say where the environment is, if it is made already."""
    later = "its environment is made by the first run"
    try:
        if needs.files(service.source, service.root, environ)[1]:
            return "an environment is made for every state of the sources, since packages lie in them"
        index = (
            paths.cache(environ)
            / "environments"
            / needs.read(service.source, service.root, interpreter.own(), environ).key
        )
    except EnvironmentFailedError:
        return later
    place: Path | None = ready(index)
    return f"environment {place}" if place else later


def _uv(environ: Mapping[str, str]) -> interpreter.Call:
    def call(arguments: Sequence[str], variables: Mapping[str, str]) -> InterpreterReport:
        done = subprocess.run(
            [uv.find_uv_bin(), *arguments],
            env={**os.environ, **environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        return InterpreterReport(ok=done.returncode == 0, output=done.stdout, errors=done.stderr)

    return call
