"""
A container engine, a registry and a package index of the tests' own, in a network namespace of their own.

Everything lies below one temporary directory and listens on loopback of that namespace alone, so nothing of the
machine is touched. `python -m tests.standins.containers.engine DIRECTORY` starts them for work by hand, until its input ends.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import pytest

from foretell.images import wheel
from tests.support.debian import install, lacking

REGISTRY = "localhost:5055"
INDEX = "http://127.0.0.1:5056"
PROGRAMS = {
    "/usr/sbin/dockerd": "docker.io",
    "/usr/bin/containerd": "containerd",
    "/usr/bin/docker-registry": "docker-registry",
    "/usr/bin/podman": "podman",
    "/usr/sbin/runc": "runc",
    "/usr/bin/nsenter": "util-linux",
    "/sbin/ip": "iproute2",
}
"""What is needed, and Debian's package of each."""
AGENT = tuple(f"{name}=={metadata.version(name)}" for name in wheel.NEEDED)
UV = f"uv=={metadata.version('uv')}"
WITHOUT_C_LIBRARY = ("--no-deps", "--platform", f"musllinux_1_1_{platform.machine()}")
PATIENCE = 60.0
CONTAINERD_FILE = """\
version = 2
root = "{home}/containerd/root"
state = "{home}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{home}/containerd.sock"
"""
REGISTRY_FILE = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: 127.0.0.1:5055}}
"""


def why_not() -> str:
    """Install what is missing where that is possible; else say in one line why these tests cannot run."""
    if sys.platform != "linux":
        return "containers are tested on Linux alone"
    if os.geteuid():
        return "an engine of the tests' own needs root"
    return install(PROGRAMS)


class Engine:
    """One dockerd with its registry and index. `path` holds the `docker` that talks to it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.inherited = {
            name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))
        }
        """How this machine reaches its own index; what is built here does not."""
        self.space = f"foretell-{os.getpid()}-{os.urandom(2).hex()}"
        self.wheels = home / "index"
        self.socket = f"unix://{home}/docker.sock"
        self._containerd: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._registry: subprocess.Popen[bytes] | None = None
        self._index: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        """What a program needs to reach this engine, and what is built on it to reach the index."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "UV_", "DOCKER"))
        }
        return inherited | {
            "DOCKER_HOST": self.socket,
            "DOCKER_CONFIG": str(self.home / "config"),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "PIP_INDEX_URL": INDEX,
            "PIP_CONFIG_FILE": os.devnull,
        }

    def start(self) -> None:
        for name in ("bin", "config", "index", "registry"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        subprocess.run(["ip", "netns", "add", self.space], check=True)
        self.inside("ip", "link", "set", "lo", "up").wait()
        shim = self.home / "bin" / "docker"
        shim.write_text(f'#!/bin/sh\nexec nsenter --net=/run/netns/{self.space} /usr/bin/docker "$@"\n')
        shim.chmod(0o755)
        self.start_registry()
        self._index = self.inside(
            sys.executable,
            "-m",
            "http.server",
            "5056",
            "--bind",
            "127.0.0.1",
            "--directory",
            str(self.wheels),
        )
        # one of its own: a daemon that finds that of the machine takes it, and shares it with any other daemon
        file = self.home / "containerd.toml"
        file.write_text(CONTAINERD_FILE.format(home=self.home))
        self._containerd = self.inside("/usr/bin/containerd", "--config", str(file), log="containerd.log")
        self.start_daemon()

    def start_daemon(self) -> None:
        """Start dockerd and wait until it answers."""
        places = {"--data-root": "data", "--exec-root": "exec", "--pidfile": "docker.pid"}
        options = [part for name, place in places.items() for part in (name, str(self.home / place))]
        reached = ("--host", self.socket, "--containerd", f"{self.home}/containerd.sock")
        self._daemon = self.inside("/usr/sbin/dockerd", *reached, *options, log="dockerd.log")
        end = time.monotonic() + PATIENCE
        while not self.answers():
            assert self._daemon.poll() is None, (self.home / "dockerd.log").read_text()[-3000:]
            assert time.monotonic() < end, "dockerd does not answer"
            time.sleep(0.05)

    def answers(self) -> bool:
        return self.docker("version", check=False).returncode == 0

    def stop_daemon(self) -> None:
        """End dockerd, and its containers with it."""
        _end(self._daemon)

    @property
    def registry(self) -> int:
        """The registry's process."""
        assert self._registry
        return self._registry.pid

    def start_registry(self) -> None:
        file = self.home / "registry.yml"
        file.write_text(REGISTRY_FILE.format(root=self.home / "registry"))
        self._registry = self.inside("/usr/bin/docker-registry", "serve", str(file), log="registry.log")

    def stop_registry(self) -> None:
        _end(self._registry)

    def stop(self) -> None:
        """End everything and give back what was taken of the machine."""
        found = self.docker("ps", "--all", "--quiet", check=False).stdout.split()
        if found:
            self.docker("rm", "--force", *found, check=False)
        for process in (self._daemon, self._containerd, self._registry, self._index):
            _end(process)
        subprocess.run(["ip", "netns", "delete", self.space], check=False)
        # a daemon leaves mounts of namespaces and layers behind, in which nothing could be removed
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if line.split()[1].startswith(f"{self.home}/"):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=False)

    def docker(
        self, *arguments: str, check: bool = True, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Call the command line of this engine."""
        done = subprocess.run(
            [str(self.home / "bin" / "docker"), *arguments],
            env=self.environ,
            input=stdin,
            capture_output=True,
            timeout=300,
            check=False,
        )
        out, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert not check or not done.returncode, f"docker {' '.join(arguments)}: {errors}"
        return subprocess.CompletedProcess(arguments, done.returncode, out, errors)

    def inside(self, *command: str, log: str = "") -> subprocess.Popen[bytes]:
        with Path(self.home / log if log else os.devnull).open("ab") as words:
            return subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.space}", *command],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
            )

    def adopt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this the engine that a test and the programs it starts find."""
        for name in [name for name in os.environ if name not in self.environ]:
            monkeypatch.delenv(name)
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)

    def containers(self) -> list[str]:
        """Every container there is, dead ones too."""
        return self.docker("ps", "--all", "--format", "{{.Names}}").stdout.split()

    def clear(self) -> None:
        """Remove the containers that a failed test has left."""
        if found := self.containers():
            self.docker("rm", "--force", *found, check=False)

    def forget(self, repository: str) -> None:
        """Remove the images of a repository from this machine, by whatever names, if there are any."""
        found = self.docker("image", "ls", "--no-trunc", "--quiet", repository).stdout.split()
        if found:
            self.docker("rmi", "--force", *sorted(set(found)))

    # --- what is built from ---------------------------------------------------------------------------------------

    def fetch(self, requirements: Sequence[str], *options: str, python: str | None = None) -> None:
        """
        Fetch wheels from where this machine gets them, and put them into the index.

        They are for one of this machine's Pythons, unless pip's `options` say for what else.
        """
        mark = sha256("\0".join((*requirements, *options, python or "")).encode()).hexdigest()[:12]
        place = self.home / "wheels" / mark
        if not place.exists():
            outside = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
            asked = [*options, *requirements]
            download(asked, place, python=python, environ=outside | self.inherited)
            self.offer(place)

    def offer_google(self) -> None:
        """Have the index offer what an agent needs that talks to Google, in the versions that are installed here."""
        self.fetch(wheel.agent(google=True).requirements.split())

    def offer(self, wheels: Path) -> None:
        """Put wheels into the index."""
        for file in wheels.glob("*.whl"):
            place = self.wheels / file.name.partition("-")[0].lower().replace("_", "-").replace(".", "-")
            place.mkdir(exist_ok=True)
            if not (place / file.name).exists():
                shutil.copy(file, place)

    def import_base(self, python: Path, tag: str) -> None:
        """Make an image that stands in for python:X-slim from an interpreter of this machine."""
        self._import(tag, f"{python}/bin:", "base.sh", str(python))

    def import_debian(self, suite: str, tag: str, *packages: str) -> None:
        """Make an image of packages of a Debian: another C library than the agent's."""
        self._import(tag, "", "debian.sh", suite, *packages)

    def import_directory(self, root: Path, tag: str, *, path: str = "") -> None:
        """Make an image of a directory; `path` comes before the usual PATH."""
        usual = f"{path}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        change = ["--change", f"ENV PATH={usual} LANG=C.UTF-8"]
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                [str(self.home / "bin" / "docker"), "import", *change, "-", tag],
                stdin=tar.stdout,
                env=self.environ,
                capture_output=True,
                check=True,
            )

    def _import(self, tag: str, path: str, script: str, *arguments: str) -> None:
        if not self.docker("image", "inspect", tag, check=False).returncode:
            return
        root = self.home / "base"
        shutil.rmtree(root, ignore_errors=True)
        made = subprocess.run(
            ["sh", str(Path(__file__).with_name(script)), str(root), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            lacking(f"{script} {' '.join(arguments)}: {made.stderr[-300:]}")
        self.import_directory(root, tag, path=path)
        shutil.rmtree(root)


@contextmanager
def started(home: Path) -> Iterator[Engine]:
    """Have an engine with a base image and the agent's packages; a test is skipped where there can be none."""
    if reason := why_not():
        lacking(reason)
    engine = Engine(home)
    try:
        engine.start()
        engine.fetch(AGENT)
        engine.fetch([UV], *WITHOUT_C_LIBRARY)
        engine.import_base(Path(sys.base_prefix), f"python:{running()}-slim")
        yield engine
    finally:
        engine.stop()


def running() -> str:
    """Give this Python's version, "3.11"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def interpreters() -> dict[str, Path]:
    """Give the prefixes of this machine's interpreters that can be put into an image, by "3.11"."""
    found = {running(): Path(sys.base_prefix)}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for place in sorted(pyenv.glob("3.*")):
        version = ".".join(place.name.split(".")[:2])
        if (place / "bin" / f"python{version}").exists():
            found.setdefault(version, place)
    return found


def download(
    requirements: Sequence[str],
    into: Path,
    *,
    python: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Fetch wheels for the index by the ordinary client."""
    into.mkdir(parents=True, exist_ok=True)
    interpreter = [python] if python else [sys.executable]
    subprocess.run(
        [
            *interpreter,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--only-binary",
            ":all:",
            "--dest",
            str(into),
            *requirements,
        ],
        env=dict(environ),
        check=True,
        timeout=600,
    )


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process and process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    engine = Engine(Path(sys.argv[1]).absolute())
    engine.start()
    print(
        *(
            f"export {name}='{engine.environ[name]}'"
            for name in ("DOCKER_HOST", "DOCKER_CONFIG", "PATH", "PIP_INDEX_URL")
        ),
        sep="\n",
        flush=True,
    )
    try:
        sys.stdin.read()
    finally:
        engine.stop()
