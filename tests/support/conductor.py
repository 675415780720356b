"""What commands on machines ask for their next word, so that one image plays every part of a test."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SCRIPT = '''\
"""Begin, and do as the conductor says: the command of every action."""
import os, sys, time, urllib.request
action = sys.argv[1]
place = "http://127.0.0.1:{port}/%s/%s" % (os.environ["FORETELL_RUN"], os.environ["FORETELL_ATTEMPT"])
def ask(verb):
    return urllib.request.urlopen(place + "/" + verb, timeout=60).read().decode()
print("begun", action, flush=True)
ask("begun")
while True:
    word = ask("word")
    if word != "wait":
        break
    time.sleep(0.1)
if word == "fail":
    sys.exit("the command fails")
if word == "eat":
    eaten = []
    while True:
        eaten.append(bytearray(os.urandom(1) * 8000000))
with open("output/model" if action == "training" else "output/predictions.csv", "w") as file:
    file.write("a,b\\nx,1\\ny,2\\n")
ask("done")
'''


class Conductor:
    """
    What each action is told, attempt by attempt, the last word for all further ones: succeed, wait, fail, eat.

    `begun` has (action, run, attempt) of every command that began, in order.
    """

    def __init__(self) -> None:
        self.words: dict[str, list[str]] = {}
        self.begun: list[tuple[str, str, int]] = []
        self._moved = threading.Condition()
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def script(self) -> str:
        return SCRIPT.replace("{port}", str(self.port))

    def tell(self, action: str, *words: str) -> None:
        with self._moved:
            self.words[action] = list(words)

    def clear(self) -> None:
        with self._moved:
            self.words.clear()
            self.begun.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def hear(self, action: str, run: str, attempt: int, verb: str) -> str:
        with self._moved:
            if verb == "begun":
                self.begun.append((action, run, attempt))
                self._moved.notify_all()
            words = self.words.get(action) or ["succeed"]
            return words[min(attempt, len(words)) - 1]

    def await_attempt(self, action: str, attempt: int, *, within: float = 60) -> None:
        """Wait until a command of an attempt has begun."""
        with self._moved:
            came = self._moved.wait_for(
                lambda: any((a, n) == (action, attempt) for a, _, n in self.begun), within
            )
        assert came, f"no command of {action}, attempt {attempt}: {self.begun}"

    def await_run(self, label: str, *, within: float = 60) -> None:
        """Wait until a command of a run has begun."""
        with self._moved:
            came = self._moved.wait_for(lambda: any(f"{a}/{r}" == label for a, r, _ in self.begun), within)
        assert came, f"no command of {label}: {self.begun}"

    def must_not_overlap(self) -> None:
        """No attempt's command began twice."""
        counts: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        for found in self.begun:
            counts[found] += 1
        assert set(counts.values()) <= {1}, self.begun


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, conductor: Conductor) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.conductor = conductor


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        _, action, run, attempt, verb = self.path.split("/")
        word = self.server.conductor.hear(action, run, int(attempt), verb).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(word)))
        self.end_headers()
        self.wfile.write(word)


@contextmanager
def running() -> Iterator[Conductor]:
    conductor = Conductor()
    try:
        yield conductor
    finally:
        conductor.close()
