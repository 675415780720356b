"""
What a host tells its agent: the arguments of `python -m foretell.agent.guard`, written and read here alone.

The guard of an image may be older than whoever starts it, so the nine strings stay as they are, and what is new stands
behind them. A guard loads this before it forks: nothing but the standard library is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

NO_LOCK = -1


class Assignment(NamedTuple):
    """One attempt for one agent. `home` is the machine's own directory, `boot` this start of it."""

    store: str
    folder: str
    """The run's."""
    number: int
    machine: str
    home: Path
    deadline: float
    kill_after: float
    boot: str
    lock: int = NO_LOCK
    """
    The descriptor that holds the machine's lock; the agent's fork of it holds it too, the command's does not.

    Negative in a container, whose process 1 the guard is: there the engine knows whether it lives.
    """

    def arguments(self) -> list[str]:
        """Return it as arguments of the guard."""
        return [str(part) for part in self]


def parse(arguments: list[str]) -> Assignment:
    """Read the arguments, which only a platform writes; a newer one may say more, behind what is known here."""
    store, folder, number, machine, home, deadline, kill_after, boot, lock, *_ = arguments
    return Assignment(
        store, folder, int(number), machine, Path(home), float(deadline), float(kill_after), boot, int(lock)
    )
