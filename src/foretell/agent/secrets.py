"""The secrets of an action: their values, and how they are kept out of what is printed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from foretell.errors import EnvironmentFailedError, UsageError
from foretell.protocol.records import Request
from foretell.service import env_file
from foretell.system import paths

SHORTEST = 6
"""Characters; what is shorter stands in a log by chance, and is no secret worth the name."""


def from_file(request: Request, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the service's env file; EnvironmentFailedError where it cannot be read."""
    if request.env_file is None:
        return {}
    path = Path(paths.IMAGE_ENV_FILE if request.image else request.env_file)
    try:
        return env_file.read(path, inherited)
    except UsageError as error:
        where = error.where.replace(str(path), request.env_file)  # as its owner knows it
        raise EnvironmentFailedError(error.what, where=where, why=error.why, hint=error.hint) from error


def values(request: Request, inherited: Mapping[str, str]) -> dict[str, str]:
    """
    Return the value of every secret by its variable.

    On a machine of Google's it comes from Secret Manager, by its reference; elsewhere from the variable of the same
    name. EnvironmentFailedError for what is not there, PlatformError where Secret Manager does not answer.
    """
    wanted = request.spec.secrets
    if not wanted:
        return {}
    if request.target.platform.google_identity:
        # Loaded here, for other machines have not what asks Google.
        from foretell.google.rest import Rest
        from foretell.google.secrets import access

        rest = Rest()
        return {name: _variable(name, access(rest, reference)) for name, reference in wanted.items()}
    missing = [name for name in wanted if name not in inherited]
    if missing:
        named = ", ".join(f'"{name}"' for name in missing)
        raise EnvironmentFailedError(
            f'the action "{request.action}" needs {"secrets" if missing[1:] else "the secret"} {named}',
            why="on this machine a secret comes from the variable of the same name, which is not set",
            hint=f"export {missing[0]}=…",
        )
    return {name: inherited[name] for name in wanted}


def _variable(name: str, value: bytes) -> str:
    if b"\0" in value:
        raise EnvironmentFailedError(
            f'the secret "{name}" holds a NUL character, which no variable can', hint="store it as text"
        )
    return os.fsdecode(value)


class Redactor:
    """
    Replaces the values of secrets in a stream of bytes, whatever pieces it comes in, by `***NAME***`.

    The end of a piece that a value may begin with is held back until the next one shows. Of a value of several
    lines every line is replaced, for programs print them one by one.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._names: dict[bytes, str] = {}
        for name, value in secrets.items():
            whole = os.fsencode(value).strip()
            for part in (whole, *whole.splitlines()):
                if len(part) >= SHORTEST:
                    self._names.setdefault(part, name)
        longest_first = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first)))
        self._longest = len(longest_first[0]) if longest_first else 0
        self._first = frozenset(part[0] for part in longest_first)
        self._held: dict[int, bytes] = {}

    def clean(self, stream: int, data: bytes) -> bytes:
        """Return what may be shown by now."""
        if not self._names:
            return data
        text = self._held.pop(stream, b"") + data
        end = self._beginning(text)
        shown = bytearray()
        done = 0
        for found in self._pattern.finditer(text):
            if found.start() >= end:
                break
            shown += text[done : found.start()] + self._mark(found)
            done = found.end()
        end = max(end, done)
        self._held[stream] = text[end:]
        return bytes(shown + text[done:end])

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """Return what was held back, at the end."""
        held, self._held = self._held, {}
        yield from ((stream, self._pattern.sub(self._mark, data)) for stream, data in held.items() if data)

    def whole(self, text: str) -> str:
        """Return a text that is no stream with the values replaced."""
        if not self._names:
            return text
        cleaned = self._pattern.sub(self._mark, text.encode(errors="surrogateescape"))
        return cleaned.decode(errors="surrogateescape")

    def _mark(self, found: re.Match[bytes]) -> bytes:
        return f"***{self._names[found[0]]}***".encode()

    def _beginning(self, text: bytes) -> int:
        """Return where a value may begin that goes on in the next piece; the length where none does."""
        for at in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[at] in self._first and any(part.startswith(text[at:]) for part in self._names):
                return at
        return len(text)
