"""Somebody else's server behind a proxy of ours, both in a process of their own: how a test holds it, how it starts."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar
from urllib.request import Request, urlopen

import msgspec

from tests.standins.google.faults import Fault, Seen

ROOT = Path(__file__).parents[3]
PATIENCE = 90.0
DIES_WITH_ITS_PARENT = 1

# --- for tests ------------------------------------------------------------------------------------------------------


class Server:
    """A running stand-in."""

    def __init__(self, url: str) -> None:
        self.url = url

    def fault(self, *rules: Fault) -> None:
        """Have requests go wrong, by the first rule that fits."""
        self.call("POST", "/_faults", msgspec.json.encode(rules))

    def clear(self) -> None:
        """Forget all faults, complaints and the log."""
        self.call("DELETE", "/_faults")

    def log(self) -> list[Seen]:
        """Give every request that came since the last `clear`, those of this object excepted."""
        return msgspec.json.decode(self.call("GET", "/_log"), type=list[Seen])

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/octet-stream", "X-Test": "1"}
        with urlopen(Request(self.url + path, body, headers, method=method), timeout=PATIENCE) as reply:
            found: bytes = reply.read()
            return found


S = TypeVar("S", bound=Server)


@contextmanager
def running(kind: type[S], command: Sequence[str], environ: Mapping[str, str]) -> Iterator[S]:
    """Start a stand-in that prints its address, and end it with its input."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdin
        url = process.stdout.readline().strip()
        assert url, f"{' '.join(command)} did not start"
        try:
            yield kind(url)
        finally:
            process.stdin.close()
            process.wait(PATIENCE)


# --- in the process -------------------------------------------------------------------------------------------------


def unused(host: str) -> tuple[str, int]:
    """Give an address that nobody listens at."""
    with socket.create_server((host, 0)) as free:
        return host, free.getsockname()[1]


def listening(
    command: Sequence[str], address: tuple[str, int], said: IO[bytes] | None = None, **environ: str
) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers; it ends with this process, whatever ends it."""
    parent = ctypes.CDLL(None)
    process = subprocess.Popen(
        command,
        env=environ or None,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        preexec_fn=lambda: parent.prctl(DIES_WITH_ITS_PARENT, signal.SIGTERM),
    )
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), socket.create_connection(address, 1):
            return process
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
        assert time.monotonic() < end, f"{command[0]} does not listen"
        time.sleep(0.01)


def until_the_input_ends(url: str) -> None:
    """Tell who started this process where to ask, and wait until they are done."""
    print(url, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()
