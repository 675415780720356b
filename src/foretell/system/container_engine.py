"""
The container engine, Docker or Podman, by its command line: the one door to builds, images and containers.

By the command line and not by the engine's socket, because it knows contexts, credentials and remote engines, and is
all that Podman has.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from foretell.errors import PlatformError

KNOWN = ("docker", "podman")
CHOICE = "FORETELL_ENGINE"
PATIENCE = 60.0
"""Seconds in which an engine answers what is no build, no push and no pull."""
UNREACHABLE = re.compile(
    r"cannot connect to the docker daemon|is the docker daemon running|error during connect"
    r"|(?:cannot|unable to) connect to podman|docker\.sock: connect|dial unix|^unexpected eof$",
    re.IGNORECASE | re.MULTILINE,
)
ABSENT = re.compile(
    r"no such (?:container|object|image|volume)|image not known|unable to find image", re.IGNORECASE
)
NOISE = re.compile(
    r"^(?:error: |error response from daemon: |/?\S*(?:docker|podman): |see '.*--help'\.?$)+", re.IGNORECASE
)


class EngineAnswer(Struct, frozen=True, kw_only=True):
    """What the engine answered."""

    code: int
    output: str
    errors: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def absent(self) -> bool:
        """Whether what was asked for is not there; that is no failure to answer."""
        return not self.ok and bool(ABSENT.search(self.errors))

    @property
    def why(self) -> str:
        """The telling line of an error."""
        lines = [NOISE.sub("", line.strip()) for line in self.errors.splitlines()]
        found = [line for line in lines if line and not line.startswith("Run 'docker")]
        return found[-1].rstrip(".") if found else f"it ended with code {self.code}"


class Engine:
    """One engine, which `program` talks to; `environ` is what it is called with."""

    def __init__(self, program: str, environ: Mapping[str, str]) -> None:
        self.program = program
        # Attestations would make an index of every image, and each build of the same a different one.
        self._environ = {**environ, "DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}

    @property
    def environ(self) -> Mapping[str, str]:
        return self._environ

    @cached_property
    def is_podman(self) -> bool:
        """Whether it is Podman, by whatever name: it differs in how it tells digests."""
        return "podman" in self.call("--version").output.lower()

    def call(self, *arguments: str, patience: float = PATIENCE) -> EngineAnswer:
        """Ask something; what the engine refuses is an answer. PlatformError when it cannot be asked."""
        try:
            done = subprocess.run(
                [self.program, *arguments],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=patience,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _no_answer(self.program, f"it did not answer within {patience:.0f} s") from error
        except OSError as error:
            raise _no_answer(self.program, error.strerror or str(error)) from error
        said = EngineAnswer(code=done.returncode, output=_text(done.stdout), errors=_text(done.stderr))
        if not said.ok and UNREACHABLE.search(said.errors):
            raise _no_answer(self.program, said.why)
        return said

    def follow(self, arguments: Sequence[str], say: Callable[[str], None]) -> EngineAnswer:
        """Ask for what takes long; `say` is given every line as it comes. PlatformError when it cannot be asked."""
        lines = []
        try:
            with subprocess.Popen(
                [self.program, *arguments],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process:
                for line in process.stdout or ():
                    lines.append(line)
                    say(line.rstrip())
        except OSError as error:
            raise _no_answer(self.program, error.strerror or str(error)) from error
        said = EngineAnswer(code=process.returncode, output="", errors="".join(lines))
        if not said.ok and UNREACHABLE.search(said.errors):
            raise _no_answer(self.program, said.why)
        return said


def find(environ: Mapping[str, str] = os.environ) -> Engine:
    """
    Return the engine of this machine: FORETELL_ENGINE, else Docker, else Podman.

    PlatformError where neither is: another machine may still have started what is asked for.
    """
    wanted = environ.get(CHOICE)
    for name in (wanted,) if wanted else KNOWN:
        program = shutil.which(name, path=environ.get("PATH", os.defpath))
        if program:
            return Engine(program, environ)
    raise PlatformError(
        "no container engine is found",
        why=f'there is no "{wanted}" ({CHOICE})'
        if wanted
        else f"neither {' nor '.join(KNOWN)} is on the PATH",
        hint="install Docker Engine or Podman; `--on local` runs without",
    )


def _no_answer(program: str, why: str) -> PlatformError:
    return PlatformError(
        "the container engine does not answer",
        where=Path(program).name,
        why=why,
        hint="start it, or see where DOCKER_HOST points to, then repeat the command",
    )


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
