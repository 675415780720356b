"""A headless Chromium that a test looks at pages with, by its own protocol over two pipes."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = {
    "/usr/bin/chromium": "chromium",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core",
}
"""What is needed, and Debian's package of each."""
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it is root's here, and shows pages of this machine alone
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
    "--window-size=1180,900",
)
PATIENCE = 90.0
LINKS = "JSON.stringify([...document.querySelectorAll('a')].map(a => [a.innerText.trim(), a.href]))"


class Browser:
    """One page of a browser."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests = requests
        self._answers = answers
        self._read = b""
        self._number = 0
        self._session = ""
        made = self._call("Target.createTarget", url="about:blank")
        self._session = self._call("Target.attachToTarget", targetId=made["targetId"], flatten=True)[
            "sessionId"
        ]

    # --- the page ----------------------------------------------------------------------------------------

    def open(self, url: str, *words: str) -> str:
        """Go to a page and wait until it shows all the words; give its text."""
        self._call("Page.navigate", url=url)
        return self.wait_text(*words)

    def wait_text(self, *words: str) -> str:
        return str(self._until(lambda: self._text_with(words), words))

    def _text_with(self, words: tuple[str, ...]) -> str:
        text = self.text()
        return text if all(word in text for word in words) else ""

    def wait_links(self, *names: str) -> dict[str, str]:
        """Wait for links of these names; give the addresses of all links by what they say."""
        self._until(lambda: set(names) <= set(self.links()), names)
        return self.links()

    def text(self) -> str:
        return str(self._value("document.body ? document.body.innerText : ''"))

    def links(self) -> dict[str, str]:
        return dict(json.loads(self._value(LINKS)))

    def click(self, label: str) -> None:
        """Click what is labelled so."""
        found = f"document.querySelector('[aria-label=\"{label}\"]')"
        self._until(lambda: self._value(f"!!{found}"), (label,))
        self._value(f"{found}.click()")

    def picture(self, place: Path) -> None:
        """Write what is seen as a PNG."""
        place.write_bytes(base64.b64decode(self._call("Page.captureScreenshot")["data"]))

    def _until(self, found: Callable[[], object], wanted: tuple[str, ...]) -> object:
        end = time.monotonic() + PATIENCE
        while not (seen := found()):
            assert time.monotonic() < end, f"no {wanted} on a page with {self.links()} and\n{self.text()}"
            time.sleep(0.2)
        return seen

    def _value(self, script: str) -> Any:
        return self._call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    # --- the protocol ------------------------------------------------------------------------------------

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        wish = {"id": self._number, "method": method, "params": params}
        if self._session:
            wish["sessionId"] = self._session
        os.write(self._requests, json.dumps(wish).encode() + b"\0")
        while (told := self._next()).get("id") != self._number:
            continue  # what it tells unasked
        assert "error" not in told, f"{method}: {told['error']}"
        found: dict[str, Any] = told["result"]
        return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._answers], [], [], PATIENCE)
            data = os.read(self._answers, 1 << 20) if ready else b""
            assert data, "the browser does not answer"
            self._read += data
        line, _, self._read = self._read.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def started(home: Path) -> Iterator[Browser]:
    """Start one that keeps what it knows below `home`, and end it."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = ["/usr/bin/chromium", *FLAGS, f"--user-data-dir={home}"]
    with (home / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(theirs_in, theirs_out),
        )
    for end in (theirs_in, theirs_out):
        os.close(end)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        for end in (ours_out, ours_in):
            os.close(end)
        process.terminate()
        process.wait(30)
