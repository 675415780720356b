"""A launch → the arguments of the container engine that run it. Pure, but for what is looked at on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from foretell.errors import RefusedError
from foretell.google import adc
from foretell.platforms.base import assignment
from foretell.platforms.docker.settings import DockerSettings
from foretell.protocol.records import Launch, Request
from foretell.store import local_directory
from foretell.system import paths
from foretell.system.processes import marker

LABELS = ("store", "service", "run", "attempt", "machine", "boot", "kill")
CREDENTIALS = "/tmp/foretell-google.json"  # noqa: S108 - in the container
PROMPT = 5.0
"""Seconds in which a guard that was asked to stop is expected to have ended."""


def command(
    settings: DockerSettings,
    request: Request,
    launch: Launch,
    *,
    store: str,
    boot: str,
    environ: Mapping[str, str],
) -> list[str]:
    """
    Return the arguments that run an attempt. `store` is its URL; secrets are named, never told.

    A pull is no part of it, so that what goes wrong can be told apart.
    """
    assigned = assignment(request, launch, store=store, home=paths.IMAGE_HOME, boot=boot)
    kill = assigned.kill_after
    labels = (request.store, request.service, *assigned.arguments()[1:4], boot, str(kill))
    return [
        *("run", "--detach", "--pull", "never", "--restart", "no", "--name", launch.machine),
        *("--stop-timeout", f"{kill + PROMPT:.0f}", "--security-opt", "no-new-privileges"),
        *(
            part
            for pair in zip(LABELS, labels, strict=True)
            for part in ("--label", f"foretell.{pair[0]}={pair[1]}")
        ),
        *_limits(settings),
        *_variables(settings, request, launch, environ),
        *_mounts(settings, request, store, environ),
        *_user(settings, store, environ),
        str(request.image),
        *assigned.arguments(),
    ]


def _limits(settings: DockerSettings) -> Iterator[str]:
    if settings.memory:
        # without the second, as much again could be swapped, and a leak would take hours to end
        yield from ("--memory", settings.memory, "--memory-swap", settings.memory)
    if settings.cpus:
        yield from ("--cpus", f"{settings.cpus:g}")
    if settings.gpus:
        yield from ("--gpus", settings.gpus)
    if settings.network:
        yield from ("--network", settings.network)


def _variables(
    settings: DockerSettings, request: Request, launch: Launch, environ: Mapping[str, str]
) -> Iterator[str]:
    """What is declared comes with the request; here is what the agent itself needs, and the names of secrets."""
    told = {"HOME": paths.IMAGE_HOME, **settings.env}
    if settings.google_credentials and _credentials(environ):
        told["GOOGLE_APPLICATION_CREDENTIALS"] = CREDENTIALS
    for name, value in told.items():
        yield from ("--env", f"{name}={value}")
    for name in request.spec.secrets:
        if name in environ:
            yield from ("--env", name)
    yield from ("--env", marker(launch.machine))


def _mounts(
    settings: DockerSettings, request: Request, store: str, environ: Mapping[str, str]
) -> Iterator[str]:
    for directory in _directories(request, store):
        yield from ("--mount", _bind(directory, str(directory)))
    if settings.google_credentials and (file := _credentials(environ)):
        yield from ("--mount", f"{_bind(file, CREDENTIALS)},readonly")
    if request.env_file and Path(request.env_file).is_file():  # without it the agent says what is missing
        yield from ("--mount", f"{_bind(Path(request.env_file), paths.IMAGE_ENV_FILE)},readonly")
    for volume in settings.volumes:
        yield from ("--volume", volume)


def _user(settings: DockerSettings, store: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Run as who owns what is mounted, so that it can be read, and what is written is theirs."""
    mounted = local_directory(store) or (_credentials(environ) if settings.google_credentials else None)
    if mounted and mounted.exists():
        owner = mounted.stat()
        yield from ("--user", f"{owner.st_uid}:{owner.st_gid}")


def _directories(request: Request, store: str) -> list[Path]:
    """Return what lies on this machine: the store's directory, and the warehouse's; none within another."""
    warehouse = request.target.warehouse
    places = {directory for directory in (local_directory(store),) if directory}
    if warehouse.file:
        places.add(warehouse.file.parent)  # it keeps files beside its own
    return sorted(place for place in places if not any(other in place.parents for other in places))


def make_directories(request: Request, store: str) -> None:
    """Make what will be mounted: the engine itself would make it as its own user."""
    for directory in _directories(request, store):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RefusedError(
                f'the directory "{directory}" cannot be mounted', why=error.strerror or str(error)
            ) from error


def _bind(source: Path, target: str) -> str:
    """Return a mount as the engine reads it: comma-separated values, quoted where they hold a comma."""
    fields = ("type=bind", f"source={source}", f"target={target}")
    quoted = (f'"{text.replace(chr(34), chr(34) * 2)}"' if set(text) & set(',"') else text for text in fields)
    return ",".join(quoted)


def _credentials(environ: Mapping[str, str]) -> Path | None:
    """Return the file of the user's application default credentials, where there is one."""
    file = adc.file(environ)
    return file.absolute() if file and file.is_file() else None
