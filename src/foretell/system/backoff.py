"""How long to wait before another try: pauses that grow, for as long as there is patience."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

from msgspec import Struct


class Backoff(Struct, frozen=True):
    """
    Pauses from `first` to `longest`, each `factor` times the last; all in seconds.

    `jitter` is the part by which a pause may be shorter, so that many who failed at once do not come back at once.
    """

    first: float
    longest: float
    factor: float = 2.0
    jitter: float = 0.0
    patience: float = math.inf

    def pauses(self, *, since: float | None = None) -> Iterator[float]:
        """Yield pauses while patience lasts, which counts from `since` by the monotonic clock, else from the first."""
        from random import random

        end = (time.monotonic() if since is None else since) + self.patience
        pause = self.first
        while time.monotonic() + pause <= end:
            yield pause * (1 - self.jitter * random())  # noqa: S311 - no secret
            pause = min(pause * self.factor, self.longest)
