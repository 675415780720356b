"""Durations as people write them: "6h", "1h30m", "90s", "1d", or a number of seconds."""

from __future__ import annotations

import re

from foretell.service.positions import KeyPath
from foretell.service.problems import Faults

UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
FORM = re.compile("".join(rf"(?:(\d{{1,9}}(?:\.\d{{1,9}})?){unit})?" for unit in UNITS), re.ASCII)
LONGEST = 366 * 86400.0


def seconds(duration: str | float, path: KeyPath, faults: Faults) -> float:
    """Return a duration in seconds; 1 and a fault for what is none, not positive, or longer than a year."""
    value = _parsed(duration) if isinstance(duration, str) else float(duration)
    if value is None:
        faults.add(path, f'"{path[-1]}" is not a duration: "{duration}"; write "6h", "1h30m", "90s", "1d"')
    elif not 0 < value <= LONGEST:
        faults.add(path, f'"{path[-1]}" must be above 0 and at most 366d')
    else:
        return value
    return 1.0


def _parsed(text: str) -> float | None:
    found = FORM.fullmatch(text.strip()) if text.strip() else None
    if not found:
        return None
    return sum(
        float(count) * unit for count, unit in zip(found.groups(), UNITS.values(), strict=True) if count
    )
