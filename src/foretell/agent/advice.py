"""What a tool's failure means, in its own words and with the next step."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from foretell.agent.interpreter import there
from foretell.agent.tools import Tools
from foretell.errors import EnvironmentFailedError

OLDEST = 7
LINES = 40
WIDTH = 300
ALIKE = 5
UNREACHABLE = re.compile(r"Failed to (?:fetch|download)|error sending request|network was disabled|timed out")
ABSENT = re.compile(
    r"Because (\S+) was not found in the (?:package registry|provided package locations)"
    r"|there (?:is|are) no versions? of (\S+)"
    r"|No matching distribution found for (\S+)"
)
OTHER = re.compile(r"Hash mismatch for `([^`]+)`|HASHES DO NOT MATCH|DO NOT MATCH THE HASHES")
ANSWER = re.compile(r"HTTP status [a-z]+ error \((\d{3})[^)]*\) for url \(([^)\s]+)\)")
TELLING = re.compile(r"^\s*(error|hint|cause)|^\s*ERROR", re.IGNORECASE)
SINGLE = re.compile(r"^\s+\S+$")
BY_HAND = "try it by hand in a fresh virtual environment; the full output of the tools is in the run's log"


def failed(what: str, errors: str, *, also: str = "", hint: str = "") -> EnvironmentFailedError:
    """
    Return the error for what a tool said. `also` is what pip said besides; `hint` a next step that is known better.
    """
    why = [*_whole(errors), *(line for line in also.splitlines() if TELLING.match(line))][-LINES:]
    meant, mend = _meaning(errors, what)
    return EnvironmentFailedError(
        meant, why="\n       ".join(line.strip("\n") for line in why), hint=hint or mend
    )


def older_python(
    has_wheels: Callable[[Sequence[str], str], bool],
    culprit: Sequence[str],
    every: Sequence[str],
    tools: Tools,
    python: Path,
) -> str:
    """
    Return the next step where an older Python has wheels for a requirement that this one has none for; "" elsewhere.

    Of several the newest that has them for `every` requirement, if one has. `has_wheels` tells it of one version.
    """
    said = tools.call([str(python), "-c", "import sys; print(sys.version_info[1])"], quiet=True)
    running = int(said.output) if said.ok else sys.version_info[1]
    if has_wheels(culprit, f"3.{running}"):
        return ""
    older = [f"3.{minor}" for minor in range(running - 1, OLDEST - 1, -1)]
    able = [version for version in older if has_wheels(culprit, version)]
    if not able:
        return ""
    version = next((version for version in able if has_wheels(every, version)), able[0])
    found = there(version, tools.ask, tools.environ)
    where = (
        f"is installed here ({found})" if found else f"is not installed here: `uv python install {version}`"
    )
    mend = f'in foretell.toml: [source] python = "{version}"'
    return f"prebuilt packages exist for Python {version}, which {where}; {mend}"


def _meaning(errors: str, what: str) -> tuple[str, str]:
    """Return what is wrong, and the next step."""
    errors = " ".join(errors.split())  # uv breaks its lines where a terminal would end
    if found := OTHER.search(errors):
        name = f' "{found[1]}"' if found[1] else ""
        return (
            f"the hash of the package{name} differs from the pinned one",
            "find out why the package changed; pin the new hash only if that is right",
        )
    if answer := ANSWER.search(errors):
        code, address = answer[1], answer[2]
        if code in ("401", "403"):
            return (
                f"the package index denies access: {code} for {address}",
                "add a login for it in ~/.netrc, or in its URL",
            )
        if code in ("404", "410"):
            return (
                f"a package file does not exist: {code} for {address}",
                "pin another version, or restore the file in the index",
            )
    if absent := ABSENT.search(errors):
        name = next(filter(None, absent.groups()))
        return (
            f'no such package or version: "{name}"',
            "correct its line in the requirements, or add its index",
        )
    if UNREACHABLE.search(errors):
        hint = "check the network and the index's address (UV_DEFAULT_INDEX, UV_INDEX), then run it again"
        return f"{what}: the package index does not answer", hint
    return what, BY_HAND


def _whole(errors: str) -> list[str]:
    """Return a tool's cause and hint whole; of a long list, and of a long line, the first part."""
    lines = [line.rstrip() for line in errors.splitlines() if line.strip()]
    first = next((place for place, line in enumerate(lines) if TELLING.match(line)), 0)
    kept: list[str] = []
    alike = 0
    for line in lines[first:]:
        alike = alike + 1 if SINGLE.match(line) else 0
        if alike == ALIKE + 1:
            kept.append("         … and more, in the run's log")
        elif alike <= ALIKE:
            kept.append(line if len(line) <= WIDTH else f"{line[:WIDTH]} …")
    return kept
