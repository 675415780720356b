"""
Attempts as containers of the engine at hand, each named by its launch.

The guard is process 1 of the container, so that the container's end is the end of everything in it: `probe` is certain.
A container is removed by `stop` and `tidy` alone, which are called when its end is on record.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property

import msgspec
from msgspec import Struct, field

from foretell.errors import ForetellError, PlatformError, RefusedError
from foretell.google.inspection import Inspection
from foretell.platforms.base import NEW, Fate, Machine, Platform, planned
from foretell.platforms.docker import memory
from foretell.platforms.docker.command import LABELS, PROMPT, command, make_directories
from foretell.platforms.docker.settings import DockerSettings
from foretell.protocol.records import Host, Launch, Request
from foretell.protocol.rules import MachineState
from foretell.service.model import Service, Target
from foretell.system import container_engine as engines
from foretell.system import times
from foretell.system.check import Check, failed, missing, ok
from foretell.system.container_engine import Engine, EngineAnswer

TRIES, PAUSE = 3, 2.0
"""How often an image is asked for where the registry gives no clear answer, and the seconds between."""
PULL = 3600.0
TAKEN = re.compile(r"name .* is already in use", re.IGNORECASE)
NOT_HERE = re.compile(
    r"no such image|unable to find image|image not known|does not resolve to an image", re.IGNORECASE
)
NO = re.compile(
    r"unauthorized|denied|authentication|basic auth|manifest unknown|not found|invalid reference|401|403",
    re.IGNORECASE,
)
LAST_WORDS = 400


class ContainerState(Struct, frozen=True, kw_only=True, rename="pascal"):
    """The state of a container as the engine tells it."""

    status: str
    exit_code: int = 0
    oom: bool = field(name="OOMKilled", default=False)
    error: str = ""
    finished_at: datetime


class Config(Struct, frozen=True, kw_only=True, rename="pascal"):
    """What a container was made with."""

    labels: dict[str, str] | None = None


class Container(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A container as `inspect` tells it."""

    name: str
    created: datetime
    state: ContainerState
    config: Config

    @property
    def labels(self) -> dict[str, str]:
        """Our labels, without their prefix."""
        told = self.config.labels or {}
        return {name: told.get(f"foretell.{name}", "") for name in LABELS}


class DockerPlatform(Platform):
    """Containers of one engine."""

    certain = True
    pauses = (0.05, 0.5)

    def __init__(self, settings: DockerSettings, *, environ: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._environ = environ

    @cached_property
    def _engine(self) -> Engine:
        return engines.find(self._environ)

    def launch(self, request: Request, launch: Launch, *, store: str) -> None:
        if request.image is None:
            raise RefusedError(
                f'the run "{request.action}" was asked for without an image',
                hint="start it again: its request was made for processes",
            )
        make_directories(request, store)
        arguments = command(
            self._settings,
            request,
            launch,
            store=store,
            boot=uuid.uuid4().hex,
            environ=self._environ,
        )
        said = self._engine.call(*arguments)
        if not said.ok and NOT_HERE.search(said.errors):
            self._pull(request)
            said = self._engine.call(*arguments)
        if said.ok:
            memory.remember(request.image, self._engine, self._environ)
            return
        if TAKEN.search(said.errors):
            self._start_if_new(launch.machine)
            return
        self._engine.call("rm", launch.machine)  # what was made and could not be started
        raise _refused(request, said)

    def _start_if_new(self, machine: str) -> None:
        """Start what another made and did not live to start; an ended one is never started again."""
        found = self._inspect(machine)
        if found and _life(found) is MachineState.GONE:
            self._engine.call("start", machine)

    def _pull(self, request: Request) -> None:
        """
        Fetch the image; RefusedError when the registry says no, or says nothing a few times.

        One that was never pushed is on one machine alone, and elsewhere its absence says nothing: PlatformError.
        """
        image = str(request.image)
        if memory.is_unpushed(image) and memory.has_run(image, self._engine, self._environ):
            raise RefusedError(
                f'the image "{image[:19]}" is not on this machine',
                why="it was never pushed, and has been removed since it was run here",
                hint="start a new run: it builds the image again",
            )
        if memory.is_unpushed(image):
            raise PlatformError(
                f'the image "{image[:19]}" is on another machine alone',
                why=f"it was never pushed; the run was asked for by {request.asked_by or 'somebody unknown'}",
                hint=f"wait there, or push it: foretell build --push --on {request.target.name}",
            )
        for tried in range(1, TRIES + 1):
            said = self._engine.call("pull", "--quiet", image, patience=PULL)
            if said.ok:
                return
            if tried == TRIES or NO.search(said.errors):
                raise RefusedError(
                    f'the image "{image}" cannot be pulled',
                    where=image.partition("/")[0],
                    why=said.why,
                    hint="see whether the registry can be reached and lets you in: `docker login`",
                )
            time.sleep(PAUSE)

    def probe(self, launch: Launch) -> Fate:
        found = self._inspect(launch.machine)
        if found is None:
            return Fate(life=MachineState.GONE, cause="there is no such container")
        life = _life(found)
        if life is not MachineState.GONE_FOR_CERTAIN:
            return Fate(life=life)
        if not found.state.exit_code and not found.state.oom:
            return Fate(life=life, cause="the container has ended")
        cause = self._cause(launch.machine, found.state)
        host = Host(boot=found.labels["boot"], cause=cause, at=times.rfc3339(found.state.finished_at))
        return Fate(life=life, cause=cause, host=host)

    def _cause(self, machine: str, state: ContainerState) -> str:
        if state.oom:
            limit = f" (memory = {self._settings.memory})" if self._settings.memory else ""
            return f"the container ran out of memory{limit}"
        how = "was killed" if state.exit_code == 137 else f"ended with status {state.exit_code}"
        said = self._engine.call("logs", "--tail", "3", machine)
        words = [line for line in (said.output + said.errors).splitlines() if line.strip()] if said.ok else []
        last = state.error or (words[-1].strip() if words else "")
        return f"the container {how}{f': {last[-LAST_WORDS:]}' if last else ''}"

    def stop(self, launch: Launch) -> None:
        """End the container in good order, and remove it."""
        said = self._engine.call("rm", "--volumes", launch.machine)
        if said.ok or said.absent:
            return
        found = self._inspect(launch.machine)
        if found is None:
            return
        patience = float(found.labels["kill"] or 15) + PROMPT
        self._engine.call(
            "stop", "--time", f"{patience:.0f}", launch.machine, patience=patience + engines.PATIENCE
        )
        gone = self._engine.call("rm", "--force", "--volumes", launch.machine)
        if not (gone.ok or gone.absent):
            raise PlatformError(f'the container "{launch.machine}" cannot be removed', why=gone.why)

    def alive(self, service: str) -> Sequence[Machine]:
        found = self._listed(service=service)
        now = time.time()
        return [
            Machine(
                name=container.labels["machine"],
                store=container.labels["store"],
                run=container.labels["run"],
                attempt=int(container.labels["attempt"] or 0),
                age=max(0.0, now - container.created.timestamp()),
            )
            for container in found
            if _life(container) is MachineState.ALIVE
        ]

    def tidy(self, keep: Sequence[str], *, service: str = "", store: str = "") -> Sequence[str]:
        gone = []
        for container in self._listed(service=service, store=store):
            name = container.labels["machine"]
            if name not in keep and _life(container) is MachineState.GONE_FOR_CERTAIN:
                self._engine.call("rm", "--volumes", name)
                gone.append(name)
        return gone

    def plan(self, request: Request) -> Mapping[str, object]:
        store = request.target.store
        told = command(
            self._settings, request, planned(request), store=store, boot=NEW, environ=self._environ
        )
        return {"command": ["docker", *told]}

    def checks(self, service: Service, target: Target, look: Inspection | None) -> Iterator[Check]:
        del service, look
        try:
            said = self._engine.call("ps", "--quiet")
        except ForetellError as error:
            yield failed("platform", error)
            return
        detail = f"containers of {self._engine.program}, for target {target.name}"
        if said.ok:
            yield ok("platform", detail)
        else:
            yield missing("platform", f"{detail}: {said.why}", "see that you may use it")

    def _listed(self, **labels: str) -> list[Container]:
        filters = [
            part for name, value in labels.items() for part in ("--filter", f"label=foretell.{name}={value}")
        ]
        said = _must(self._engine.call("ps", "--all", "--quiet", "--no-trunc", *filters))
        found = said.output.split()
        if not found:
            return []
        # one that is removed meanwhile makes the answer an error, and the rest of it is still there
        return _containers(self._engine.call("inspect", "--type", "container", *found))

    def _inspect(self, machine: str) -> Container | None:
        said = self._engine.call("inspect", "--type", "container", machine)
        return None if said.absent else _containers(_must(said))[0]


def _life(container: Container) -> MachineState:
    match container.state.status:
        case "created" | "configured" | "initialized":
            return MachineState.GONE  # a launch in flight, or one that died in it
        case "exited" | "dead" | "stopped":
            return MachineState.GONE_FOR_CERTAIN
        case _:
            return MachineState.ALIVE


def _containers(said: EngineAnswer) -> list[Container]:
    try:
        return msgspec.json.decode(said.output, type=list[Container])
    except msgspec.DecodeError as error:
        raise PlatformError(
            "the container engine tells nothing that is understood", why=str(error)
        ) from error


def _must(said: EngineAnswer) -> EngineAnswer:
    if not said.ok:
        raise PlatformError("the container engine does not tell", why=said.why, hint="see `docker ps --all`")
    return said


def _refused(request: Request, said: EngineAnswer) -> RefusedError:
    return RefusedError(
        f'the container of "{request.action}" cannot be started',
        why=said.why,
        hint="see [targets.X.platform] in foretell.toml, and `foretell plan`",
    )
