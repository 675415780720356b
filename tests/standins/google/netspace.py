"""Sockets in a network namespace other than our own, so that what runs here answers there, at the same address."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import threading
from contextlib import suppress

CLONE_NEWNET = 0x40000000


def listen(space: str, address: str, port: int) -> socket.socket:
    """Listen inside a named namespace; the socket stays there, whoever accepts from it."""
    found: list[socket.socket | Exception] = []

    def enter() -> None:  # a thread may be elsewhere than its process
        handle = os.open(f"/run/netns/{space}", os.O_RDONLY)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            assert not libc.setns(handle, CLONE_NEWNET), os.strerror(ctypes.get_errno())
            found.append(socket.create_server((address, port), backlog=128))
        except (OSError, AssertionError) as error:
            found.append(error)
        finally:
            os.close(handle)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


class Bridge:
    """A port of our own loopback, at the same port of another namespace's."""

    def __init__(self, space: str, port: int) -> None:
        self._port = port
        self._listening = listen(space, "127.0.0.1", port)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        try:
            called = socket.create_connection(("127.0.0.1", self._port), 20)
        except OSError:
            caller.close()
            return
        other = {caller: called, called: caller}
        with caller, called, suppress(OSError):
            while True:
                for ready in select.select(list(other), [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    other[ready].sendall(data)
