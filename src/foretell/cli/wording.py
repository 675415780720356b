"""How values are said: durations, sizes, moments, metrics, states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from foretell.cli.output import Cell
from foretell.protocol.rules import Phase
from foretell.system.text import counted, duration, size

__all__ = ["counted", "duration", "first_line", "metrics", "moment", "phase", "size", "value"]

LARGE = 1000
"""Of a metric, from where on its fraction says nothing."""
STYLES = {
    Phase.SUCCEEDED: "good",
    **dict.fromkeys((Phase.SUPERSEDED, Phase.CANCELLED, Phase.WITHDRAWN), "warn"),
    **dict.fromkeys((Phase.FAILED, Phase.TIMEOUT, Phase.REJECTED, Phase.LOST), "bad"),
}


def moment(text: str | datetime) -> str:
    """Say a time on record, in UTC and to the second; nothing for an empty one."""
    if not text:
        return ""
    at = datetime.fromisoformat(text) if isinstance(text, str) else text
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def metrics(found: Mapping[str, object] | None) -> str:
    """Say metrics in a line, nested ones by their path."""
    return " · ".join(f"{name} {_metric(value)}" for name, value in _flat(found or {}))


def _flat(found: Mapping[str, object], within: str = "") -> Iterator[tuple[str, object]]:
    for name, value in found.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def phase(found: Phase) -> Cell:
    """Say a state in its colour."""
    return str(found), STYLES.get(found, "busy")


def first_line(text: str) -> str:
    """Return the first line of a cause, which says the essential."""
    return text.strip().partition("\n")[0]


def value(found: object) -> str:
    """Say a value of a table's cell."""
    if found is None:
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found)


def _metric(found: object) -> str:
    if isinstance(found, float):
        return f"{found:,.0f}" if abs(found) >= LARGE else f"{found:.4g}"
    return value(found)
