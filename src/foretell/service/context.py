"""The service that is being resolved: what every part of it looks at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from foretell.service.form import ServiceTable
from foretell.service.problems import Faults


class ResolveContext(NamedTuple):
    """The form as read, the directory of the file, what "~" stands for, and the faults found so far."""

    form: ServiceTable
    root: Path
    home: str | None
    faults: Faults

    def path(self, text: str) -> str:
        """Return the absolute path of one that the file names."""
        if self.home and (text == "~" or text.startswith("~/")):
            text = self.home + text[1:]
        return os.path.normpath(os.path.join(self.root, text))  # noqa: PTH118 - a Path takes five times as long
