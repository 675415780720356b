"""
Attempts as child processes of this machine, which outlive whoever started them.

A machine is a directory `HOME/machines/NAME` with a lock that its guard and agent hold while they live.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from foretell.errors import PlatformError, RefusedError
from foretell.google.inspection import Inspection
from foretell.platforms.base import NEW, Fate, Machine, Platform, assignment, planned
from foretell.platforms.process.settings import ProcessSettings
from foretell.protocol.records import Launch, Request
from foretell.protocol.rules import MachineState
from foretell.service.model import Service, Target
from foretell.system import locks, standby
from foretell.system.check import Check, missing, not_writable, ok
from foretell.system.processes import descendants, kill, kill_survivors, marker

CARD = "machine.json"
A_WHILE = 60.0
"""Seconds after which a directory without its card was left by a launch that died."""
LOCK = 3
"""A descriptor, whichever it will be; for plans."""
LEAVING = 0.15
"""Seconds in which an agent that has said its last word is gone; to end it then would take longer."""
PROMPT = 5.0
"""Seconds in which a guard that was asked to stop is expected to have begun it."""


class Card(Struct, frozen=True, kw_only=True):
    """What stands in a machine's directory, for whoever lists what is alive."""

    name: str
    service: str
    store: str
    run: str
    attempt: int
    kill_after: float
    born: float
    """Wall time, seconds since 1970."""


class ProcessPlatform(Platform):
    """Child processes under `settings.home`."""

    certain = True
    pauses = (0.01, 0.08)
    """So that an end is noticed within 100 ms."""

    def __init__(self, settings: ProcessSettings) -> None:
        self._machines = Path(settings.home) / "machines"
        self._children: list[int] = []

    def launch(self, request: Request, launch: Launch, *, store: str) -> None:
        home = self._machines / launch.machine
        try:
            home.mkdir(parents=True, exist_ok=True)
            lock = _take(home)
            if lock is None:
                return
            try:
                (home / CARD).write_bytes(msgspec.json.encode(_card_of(request, launch)))
                self._spawn_guard(request, launch, home, lock, store)
            finally:
                os.close(lock)
        except OSError as error:
            raise RefusedError(
                "the agent cannot be started", where=str(home), why=str(error), hint="run `foretell doctor`"
            ) from error

    def _spawn_guard(self, request: Request, launch: Launch, home: Path, lock: int, store: str) -> None:
        """Start the guard with the lock already taken, so that there is no moment in which it looks dead."""
        boot = f"{launch.nonce}-{os.getpid()}-{time.time_ns()}"
        assigned = assignment(request, launch, store=store, home=home, boot=boot, lock=lock)
        arguments = assigned.arguments()
        if ready := standby.post(arguments, lock):
            self._children.append(ready)
            return
        guard = subprocess.Popen(
            [sys.executable, *standby.GUARD, *arguments],
            cwd=home,
            env={**os.environ, **dict([marker(launch.machine).split("=", 1)])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],
            start_new_session=True,
        )
        guard.returncode = 0  # it is meant to outlive us, so it is nothing to be warned of
        self._children.append(guard.pid)

    def probe(self, launch: Launch) -> Fate:
        """Look at the lock. Where it is free, what is left of the machine is ended first: then it is certain."""
        self._children = [child for child in self._children if not _reaped(child)]  # else they stay zombies
        home = self._machines / launch.machine
        if not home.is_dir():
            return Fate(
                life=MachineState.GONE_FOR_CERTAIN,
                cause="it was never started on this machine, or is tidied away",
            )
        with self._look(home) as alive:
            if alive:
                return Fate(life=MachineState.ALIVE)
            # Nobody can launch it again meanwhile, whose guard would be killed with what the dead one left.
            kill_survivors(marker(launch.machine))
        return Fate(life=MachineState.GONE_FOR_CERTAIN, cause=_last_words(home))

    def stop(self, launch: Launch) -> None:
        home = self._machines / launch.machine
        if not home.is_dir():
            return
        self._await_end(launch.machine, LEAVING)
        guard = self._holder(launch.machine)
        if guard is not None:
            with suppress(ProcessLookupError):
                os.kill(guard, signal.SIGTERM)
            self._await_end(launch.machine, _card(home).kill_after + PROMPT)
            if self._is_held(launch.machine):
                kill([guard, *descendants(guard)])
        if home.is_dir():
            kill_survivors(marker(launch.machine))

    def alive(self, service: str) -> Sequence[Machine]:
        found = []
        for home in self._homes():
            card = _card(home)
            if card.service == service and self._is_held(home.name):
                age = max(0.0, time.time() - card.born)
                found.append(
                    Machine(name=card.name, store=card.store, run=card.run, attempt=card.attempt, age=age)
                )
        return found

    def tidy(self, keep: Sequence[str], *, service: str = "", store: str = "") -> Sequence[str]:  # noqa: ARG002 - `home` is one store's
        gone = []
        for home in self._directories():
            with self._look(home) as alive:
                if not alive and home.name not in keep and not _is_being_made(home):
                    kill_survivors(marker(home.name))
                    shutil.rmtree(home, ignore_errors=True)
                    gone.append(home.name)
        return gone

    def plan(self, request: Request) -> Mapping[str, object]:
        launch = planned(request)
        home = self._machines / launch.machine
        assigned = assignment(request, launch, store=request.target.store, home=home, boot=NEW, lock=LOCK)
        return {"directory": home, "command": [sys.executable, *standby.GUARD, *assigned.arguments()]}

    def checks(self, service: Service, target: Target, look: Inspection | None) -> Iterator[Check]:
        del service, look
        place = self._machines.parent
        if error := not_writable(place):
            yield missing("platform", f"{place}: {error.strerror or error}", "make it writable")
        else:
            yield ok("platform", f"processes of this machine, for target {target.name}")

    def _homes(self) -> list[Path]:
        return [home for home in self._directories() if (home / CARD).is_file() and home.name[0] != "."]

    def _directories(self) -> list[Path]:
        """Every machine's, also of those that are just being made or cleared away."""
        if not self._machines.is_dir():
            return []
        return sorted(home for home in self._machines.iterdir() if home.is_dir())

    @contextmanager
    def _look(self, home: Path) -> Iterator[bool]:
        """Return whether a machine is alive. If not, whoever looks shares its lock, so that nobody can launch it."""
        try:
            lock = os.open(home / "lock", os.O_RDONLY)
        except FileNotFoundError:
            yield False
            return
        except OSError as error:
            raise PlatformError(f'the lock of "{home.name}" cannot be read', why=str(error)) from error
        try:
            yield not locks.take(lock, shared=True)
        finally:
            os.close(lock)

    def _is_held(self, machine: str) -> bool:
        with self._look(self._machines / machine) as alive:
            return alive

    def _holder(self, machine: str) -> int | None:
        """Return the guard's process id while it holds the lock."""
        if not self._is_held(machine):
            return None
        try:
            text = (self._machines / machine / "lock").read_text()
        except FileNotFoundError:  # it ended between the two looks
            return None
        return int(text) if text.isdigit() else None

    def _await_end(self, machine: str, patience: float) -> None:
        end = time.monotonic() + patience
        while self._is_held(machine) and time.monotonic() < end:
            time.sleep(0.002)


def _is_being_made(home: Path) -> bool:
    try:
        return not (home / CARD).is_file() and time.time() - home.stat().st_mtime < A_WHILE
    except FileNotFoundError:
        return True  # cleared away by its own guard


def _reaped(child: int) -> bool:
    try:
        return bool(os.waitpid(child, os.WNOHANG)[0])
    except ChildProcessError:  # whoever uses this library has waited for all children
        return True


def _take(home: Path) -> int | None:
    """Take a machine's lock; None when it is alive."""
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    for _ in range(20):  # somebody who looks holds it for a moment
        if locks.take(lock):
            os.ftruncate(lock, 0)
            return lock
        time.sleep(0.005)
    os.close(lock)
    return None


def _card_of(request: Request, launch: Launch) -> Card:
    return Card(
        name=launch.machine,
        service=request.service,
        store=request.store,
        run=request.run.folder,
        attempt=launch.number,
        kill_after=request.target.times.kill,
        born=time.time(),
    )


def _card(home: Path) -> Card:
    try:
        return msgspec.json.decode((home / CARD).read_bytes(), type=Card)
    except (OSError, msgspec.DecodeError):
        return Card(name=home.name, service="", store="", run="", attempt=0, kill_after=15, born=time.time())


def _last_words(home: Path) -> str:
    try:
        lines = (home / "agent.err").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"the agent is dead: {lines[-1]}" if lines else "the agent is dead"
