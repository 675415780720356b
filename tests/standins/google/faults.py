"""What can go wrong between a client and a server, on order; and a log of every request that came."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, field

LOGGED = 100_000


class Fault(Struct, kw_only=True, forbid_unknown_fields=True):
    """
    One rule. It hits `count` requests (None: every one) after letting `skip` pass.

    A request fits when `method` matches its method and `match` is found in its decoded path and query.
    status: answer so, without executing; with `after`, execute, then answer so.
    drop:   close the connection without executing; with `early`, in the middle of the body.
    lose:   execute, then close the connection without an answer.
    cut:    execute, then give only the first `size` bytes of the answer's body.
    delay:  wait `seconds`, then execute; with `after`, execute, then wait.
    What closes does so in good order (FIN), or with `reset` at once (RST).
    """

    action: Literal["status", "drop", "lose", "cut", "delay"]
    method: str = ".*"
    match: str = ""
    skip: int = 0
    count: int | None = 1
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    early: bool = False
    reset: bool = False
    seconds: float = 0
    size: int = 0

    def fits(self, method: str, target: str) -> bool:
        return bool(re.fullmatch(self.method, method) and re.search(self.match, target, re.DOTALL))


class Seen(Struct, kw_only=True):
    """One request: when it came, by the server's clock, and what the server made of it, even if nobody heard."""

    at: float
    method: str
    target: str
    status: int | None = None
    fault: str | None = None
    token: str = ""
    """The bearer token that it came with."""


class Faults:
    """The rules in force, in order, and the log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []
        self._log: deque[Seen] = deque(maxlen=LOGGED)

    def add(self, rules: Iterable[Fault]) -> None:
        with self._lock:
            self._rules += rules

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()
            self._log.clear()

    def log(self) -> list[Seen]:
        with self._lock:
            return list(self._log)

    def note(self, method: str, target: str, token: str = "") -> tuple[Seen, Fault | None]:
        """Log a request that came; give its entry, to be filled in, and the fault that hits it."""
        seen = Seen(at=time.time(), method=method, target=target, token=token)
        with self._lock:
            self._log.append(seen)
            hit = self._pick(method, target)
        seen.fault = hit.action if hit else None
        return seen, hit

    def _pick(self, method: str, target: str) -> Fault | None:
        for rule in self._rules:
            if not rule.fits(method, target) or rule.count == 0:
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            if rule.count is not None:
                rule.count -= 1
            return rule
        return None
