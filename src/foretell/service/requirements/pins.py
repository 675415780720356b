"""One package of a lock file, as a line of a requirements file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from posixpath import join, normpath

from msgspec import Struct

from foretell.errors import EnvironmentFailedError
from foretell.service.requirements.groups import same

EXTRA = re.compile(r"""\bextra\s*(==|!=)\s*["']([^"']+)["']|["']([^"']+)["']\s*(==|!=)\s*extra\b""")
ALWAYS, NEVER = 'python_version >= "0"', 'python_version < "0"'
SCP = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!//)[^\s]+")
PYPI = ".".join(("pypi", "org"))  # noqa: FLY002 - no host of a registry is named in what is committed
"""The index that is meant where none is named: a machine may have another in its place."""
STRONG = ("sha256:", "sha384:", "sha512:")


class PinnedPackage(Struct, frozen=True, kw_only=True):
    """A package of a lock: `what` it is, "name==1.0" or an address, on which machines, and its allowed digests."""

    what: str
    marker: str = ""
    hashes: tuple[str, ...] = ()

    def line(self) -> str:
        """Return the line, or lines, of a requirements file."""
        marker = f" ; {self.marker}" if self.marker else ""
        return self.what + marker + "".join(f" \\\n    --hash={digest}" for digest in self.hashes)


def text(pins: Iterable[PinnedPackage], indexes: Iterable[str] = (), *, source: str) -> str:
    """Return the requirements file that a lock amounts to; `source` is told at its top."""
    lines = [f"# What {source} holds.", *indexes, *sorted({pin.line() for pin in pins})]
    return "\n".join(lines) + "\n"


def strong(digests: Iterable[object]) -> tuple[str, ...]:
    """Return the digests that an installer accepts, sorted; none where there are none."""
    return tuple(sorted({str(digest) for digest in digests if str(digest).startswith(STRONG)}))


def git(name: str, url: str, revision: str, folder: str = "") -> str:
    """Return the requirement of a package in a Git repository at a revision."""
    if SCP.fullmatch(url) and "://" not in url:
        host, _, path = url.partition(":")
        url = f"ssh://{host}/{path}"
    return f"{name} @ git+{url.removeprefix('git+')}@{revision}" + (
        f"#subdirectory={folder}" if folder else ""
    )


def local(path: str, base: str, folder: str = "") -> str:
    """Return the requirement of a package at a path relative to `base`, which is relative to where it is installed."""
    there = path if path.startswith("/") else f"./{normpath(join(base, path))}"
    return there + (f"#subdirectory={folder}" if folder else "")


def with_extras(marker: str, extras: Iterable[str]) -> str:
    """Return a marker in which it is decided which extras are asked for."""
    asked = frozenset(map(same, extras))

    def decided(found: re.Match[str]) -> str:
        sign, name = (found[1], found[2]) if found[1] else (found[4], found[3])
        return ALWAYS if (same(name) in asked) == (sign == "==") else NEVER

    return EXTRA.sub(decided, marker)


def table_text(value: Mapping[str, object], key: str) -> str:
    """Return a text of a table; "" where there is none."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def unreadable(path: str, why: str, mend: str) -> EnvironmentFailedError:
    """Return the error for a lock that cannot be installed as it is."""
    return EnvironmentFailedError(f'"{path}" cannot be installed', why=why, hint=mend)
