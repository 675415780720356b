"""How often the kernel has killed a process of ours for want of memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
HOST = Path("/proc/vmstat")


def oom_kills(*, own: Path = OWN, cgroups: Path = CGROUPS, host: Path = HOST) -> int | None:
    """
    Count the processes that were killed in our control group so far; None where nothing counts them.

    The host's count is the last resort: it grows for the processes of others too.
    """
    for counter in (*_counters(own, cgroups), host):
        try:
            fields = dict(line.split(maxsplit=1) for line in counter.read_text().splitlines())
            return int(fields["oom_kill"])
        except (OSError, KeyError, ValueError):
            continue
    return None


def _counters(own: Path, cgroups: Path) -> Iterator[Path]:
    """Return the files that may count, nearest first. In a container our group is often mounted as the root."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            yield cgroups / "memory" / path.lstrip("/") / "memory.oom_control"
            yield cgroups / "memory" / "memory.oom_control"
        elif not controllers:
            yield cgroups / path.lstrip("/") / "memory.events"
            yield cgroups / "memory.events"
