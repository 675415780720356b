"""
Machines that really boot: each fetches its user-data, runs the unit's own script, pulls an image and runs it.

A machine is a process in the network of the tests' container engine, with an /etc of its own that is forgotten when it is
turned off, a /var/lib/foretell that is not, as much memory as its type has, and a metadata server that answers
at 169.254.169.254, as all of Container-Optimized OS that its script can see. `docker` is the engine's; a shim tells
containers where the stand-ins are, and nothing else.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import yaml

from tests.standins.containers.engine import Engine
from tests.standins.google.compute import Machine
from tests.standins.google.metadata import Metadata, Server
from tests.standins.google.netspace import Bridge, listen
from tests.standins.google.standin import StandIn

ADDRESSES = tuple(f"169.254.169.{number}" for number in range(254, 200, -1))
"""The first is the real one; machines that live at the same time have others."""
PATIENCE = 30.0
KILOBYTES = 1024 * 1024
BOOT = """\
set -e
mount -t tmpfs tmpfs {home}/etc
mkdir {home}/etc/upper {home}/etc/work
mount -t overlay overlay -o lowerdir=/etc,upperdir={home}/etc/upper,workdir={home}/etc/work /etc
printf '127.0.0.1 localhost\\n{address} metadata.google.internal metadata\\n' > /etc/hosts
cp -r {home}/files/etc/. /etc/
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/foretell
mount --bind {home}/stateful /var/lib/foretell
mount -o remount,bind,noexec /var/lib/foretell
mount --bind {home}/meminfo /proc/meminfo
exec env -i {environ} {start}
"""
SHIM = """\
#!/bin/sh
[ "$1" = run ] || exec /usr/bin/docker "$@"
shift
exec /usr/bin/docker run {options} "$@"
"""


class Booted:
    """One machine that is on."""

    def __init__(self, process: subprocess.Popen[bytes], server: Server, address: str) -> None:
        self.process = process
        self.server = server
        self.address = address


class Hypervisor:
    """
    The host of all machines of a test.

    `told` are the variables of the stand-ins, for scripts and containers. `memory` are MB by machine type.
    """

    def __init__(self, engine: Engine, stand_in: StandIn, home: Path, told: Mapping[str, str]) -> None:
        self.engine = engine
        self.home = home
        self.told = dict(told)
        self.memory: dict[str, int] = {}
        self.never_boots = False
        self.window: Path | None = None
        """A directory that containers see as well, for a test that looks at what runs in them."""
        self._stand_in = stand_in
        self._bridges: dict[int, Bridge] = {}
        self._booted: dict[str, Booted] = {}
        self._free = list(ADDRESSES)
        self._lock = threading.RLock()
        self.bridge(stand_in.port)

    def bridge(self, port: int) -> None:
        """Let machines reach a port of our loopback."""
        if port not in self._bridges:
            self._bridges[port] = Bridge(self.engine.space, port)

    def clear(self) -> None:
        """Cut every machine, and forget what a test has changed."""
        for name in list(self._booted):
            self._cut(name)
        self.never_boots, self.window = False, None
        self.memory.clear()

    def close(self) -> None:
        self.clear()
        for bridge in self._bridges.values():
            bridge.close()

    # --- what Compute Engine asks ---------------------------------------------------------------------------------

    def boot(self, machine: Machine) -> None:
        if self.never_boots:
            return
        with self._lock:
            address = self._free.pop(0)
        self._prepare(machine, address)
        server = self._serve_metadata(machine, address)
        place = self.home / machine.name
        script = BOOT.format(
            home=place, address=address, start=_start_of(machine), environ=self._environ(machine)
        )
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.engine.space}", "unshare", "--mount", "sh", "-c", script],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with self._lock:
            self._booted[machine.name] = Booted(process, server, address)
        threading.Thread(target=_listen, args=(process, machine), daemon=True).start()

    def end(self, machine: Machine, *, seconds: float) -> None:
        """Press the button, wait for as long as the system is given, and pull the plug."""
        booted = self._booted.get(machine.name)
        if booted is None:
            return
        if seconds > 0 and booted.process.poll() is None:
            booted.process.send_signal(signal.SIGTERM)  # as systemd does, to the unit's first process
            with suppress(subprocess.TimeoutExpired):
                booted.process.wait(seconds)
        self._cut(machine.name)

    def preempt(self, machine: Machine) -> None:
        """Show the machine that it is about to be taken away."""
        if booted := self._booted.get(machine.name):
            booted.server.metadata.preempted.set()

    def reset(self, machine: Machine) -> None:
        """Press the other button: what runs ends at once, and the machine boots again with the disk that it has."""
        self._cut(machine.name)
        self.boot(machine)

    def kill_script(self, machine: Machine) -> None:
        """End what watches over the container, and nothing else of the machine."""
        os.killpg(self._booted[machine.name].process.pid, signal.SIGKILL)

    def freeze(self, machine: Machine) -> None:
        """Have everything in the container stand still."""
        self.engine.docker("pause", machine.name)

    def script_is_over(self, machine: Machine) -> bool:
        booted = self._booted.get(machine.name)
        return booted is None or booted.process.poll() is not None

    def _cut(self, name: str) -> None:
        with self._lock:
            booted = self._booted.pop(name, None)
        if booted is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(booted.process.pid, signal.SIGKILL)
        booted.process.wait(PATIENCE)
        self.engine.docker("rm", "--force", "--volumes", name, check=False)
        booted.server.close()
        self._address("delete", booted.address)
        with self._lock:
            self._free = sorted({booted.address, *self._free}, reverse=True)

    # --- what a machine is ----------------------------------------------------------------------------------------

    def _prepare(self, machine: Machine, address: str) -> None:
        place = self.home / machine.name
        shutil.rmtree(place / "files", ignore_errors=True)
        for name in ("etc", "stateful", "files/etc", "bin"):
            (place / name).mkdir(parents=True, exist_ok=True)
        for file in _files_of(machine):
            path = place / "files" / file["path"].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"])
        kilobytes = self.memory.get(machine.type, 3840) * 1024
        (place / "meminfo").write_text(f"MemTotal:       {kilobytes} kB\nMemFree:        {kilobytes} kB\n")
        shim = place / "bin" / "docker"
        told = {**self.told, "GCE_METADATA_HOST": address, "GCE_METADATA_IP": address}
        window = [f"--volume={self.window}:{self.window}"] if self.window else []
        told_to_it = [part for name, value in told.items() for part in ("--env", f"{name}={value}")]
        options = shlex.join([*told_to_it, *window])
        shim.write_text(SHIM.format(options=options))
        shim.chmod(0o755)

    def _environ(self, machine: Machine) -> str:
        unit = next(file for file in _files_of(machine) if file["path"].endswith(".service"))["content"]
        own = [
            line.removeprefix("Environment=") for line in unit.splitlines() if line.startswith("Environment=")
        ]
        told = {
            **self.told,
            "PATH": f"{self.home / machine.name / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
            "DOCKER_HOST": self.engine.socket,
        }
        return shlex.join([*(f"{name}={value}" for name, value in told.items()), *own])

    def _serve_metadata(self, machine: Machine, address: str) -> Server:
        self._address("add", address)
        metadata = Metadata(
            lambda: self._stand_in.token(f"machine {machine.name}"),
            project=machine.project,
            zone=machine.zone,
            name=machine.name,
            id=machine.id,
            account=machine.account,
            attributes=machine.attributes,
        )
        server = Server(metadata, listen(self.engine.space, address, 80))
        server.start()
        return server

    def _address(self, verb: str, address: str) -> None:
        self.engine.inside("ip", "address", verb, f"{address}/32", "dev", "lo").wait(PATIENCE)


def _files_of(machine: Machine) -> list[dict[str, str]]:
    """Read the files of its user-data, as cloud-init would write them."""
    config: dict[str, list[dict[str, str]]] = yaml.safe_load(machine.attributes["user-data"])
    return config["write_files"]


def _start_of(machine: Machine) -> str:
    """Give what the unit starts; the commands that start the unit itself are the system's."""
    unit = next(file for file in _files_of(machine) if file["path"].endswith(".service"))["content"]
    return next(
        line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart=")
    )


def _listen(process: subprocess.Popen[bytes], machine: Machine) -> None:
    """Keep what it says on its serial port."""
    assert process.stdout
    with process.stdout as port:
        for line in port:
            machine.serial += f"{time.strftime('%H:%M:%S')} {line.decode(errors='replace')}"
