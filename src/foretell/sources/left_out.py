"""What belongs to a service's directory by its place, and is left out all the same: what, how much, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from foretell.system.text import counted, printable, size

MOST = 20
"""How many are named one by one."""

Reason: TypeAlias = Literal["secret", "git", "docker", "large", "outside", "linked"]
REASONS: dict[Reason, str] = {
    "secret": "looks like a secret",
    "git": "ignored by Git",
    "docker": "listed in .dockerignore",
    "large": "over 10 MB",
    "outside": "a link that leads outside",
    "linked": "linked in [source]",
}


class LeftOut(Struct, frozen=True, kw_only=True):
    """A path, relative to the root; of a directory, which ends with "/", all that is below. `size` in bytes."""

    path: str
    reason: Reason
    size: int = 0
    files: int = 1

    def plus(self, other: LeftOut) -> LeftOut:
        """Return this path with another file below it."""
        return replace(self, size=self.size + other.size, files=self.files + other.files)

    def __str__(self) -> str:
        many = f"{counted(self.files, 'file')}, " if self.path.endswith("/") else ""
        return f"{printable(self.path)} ({many}{size(self.size)}): {REASONS[self.reason]}"


def summed(found: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """Return one for each path: secrets first, then the largest first."""
    sums: dict[str, LeftOut] = {}
    for one in found:
        before = sums.get(one.path)
        sums[one.path] = one if before is None else before.plus(one)
    return tuple(sorted(sums.values(), key=lambda one: (one.reason != "secret", -one.size, one.path)))


def lines(left_out: Sequence[LeftOut]) -> Iterator[str]:
    """Return a line for each, up to so many, and how many more there are."""
    yield from map(str, left_out[:MOST])
    if (more := len(left_out) - MOST) > 0:
        yield f"and {more:,} more"


def secrets(left_out: Iterable[LeftOut]) -> tuple[str, ...]:
    """Return the paths of those that look like secrets."""
    return tuple(one.path for one in left_out if one.reason == "secret")


def missed(paths: Sequence[str], where: str) -> str:
    """Return a sentence about paths that look like secrets, for whoever may miss them in the working directory."""
    named = ", ".join(f'"{printable(path)}"' for path in paths[:MOST])
    more = f" and {len(paths) - MOST:,} more" if len(paths) > MOST else ""
    one = len(paths) == 1
    return (
        f"{named}{more} {'looks like a secret' if one else 'look like secrets'} and {'is' if one else 'are'} not in "
        f'{where}; `env_file = ".env"` gives a command its variables, "!{printable(paths[0])}" in .foretellignore '
        f"keeps {'it' if one else 'one'}"
    )
