"""The service that is being resolved: what every part of it looks at."""

from __future__ import annotations

import os
from typing import NamedTuple

from foretell.service.model import Service
from foretell.service.problems import Faults
from foretell.service.reader import Given


class ResolveContext(NamedTuple):
    """What the file gives, the service without its tables, what "~" stands for, and the faults found so far."""

    given: Given
    service: Service
    home: str | None
    faults: Faults

    @property
    def actions(self) -> dict[str, Given]:
        """What the file gives of each action."""
        found: dict[str, Given] = self.given.get("actions", {})
        return found

    def path(self, text: str) -> str:
        """Return the absolute path of one that the file names."""
        if self.home and (text == "~" or text.startswith("~/")):
            text = self.home + text[1:]
        return os.path.normpath(os.path.join(self.service.root, text))  # noqa: PTH118 - a Path takes five times as long
