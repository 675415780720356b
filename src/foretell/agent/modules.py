"""A module that a command did not find: what its last words say of it, and why it is not there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from foretell.service.model import Source

KEPT = 4096
"""Bytes of the end of what was printed that are looked at."""
MISSING = re.compile(rb"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)


class LastWords:
    """The end of what a command prints on standard error, on its way to a log."""

    def __init__(self, sink: Callable[[int, bytes], None]) -> None:
        self._sink = sink
        self._kept = b""

    def __call__(self, stream: int, data: bytes) -> None:
        if stream == 2:
            self._kept = (self._kept + data)[-KEPT:]
        self._sink(stream, data)

    @property
    def missing(self) -> str:
        """The top-level module that was not found last; "" where nobody complained of one."""
        found = MISSING.findall(self._kept)
        return str(found[-1].decode().partition(".")[0]) if found else ""


def explained(module: str, source: Source, said: Sequence[str]) -> str:
    """Return why a module is not there; `said` is what the log says of the files that lie beside the code."""
    if not source.environment:
        own = "the command's own Python: python = false creates no environment"
        return f'the module "{module}" is not installed in {own}'
    taken = source.requirements if source.locked is None else (f"{source.locked}/uv.lock",)
    if taken:
        return f'the module "{module}" is not in the packages of {" and ".join(taken).replace("./", "")}'
    others = [sentence for sentence in said if "is not read" in sentence]
    mend = "; ".join(others) or "write a requirements.txt"
    return f'the module "{module}" is not installed: no supported file declares packages; {mend}'
