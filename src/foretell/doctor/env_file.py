"""Whether the service's env file can be read as an attempt will read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from foretell.errors import UsageError
from foretell.service.env_file import read
from foretell.service.model import Service
from foretell.system.check import Check, missing, ok


def env_file(service: Service, environ: Mapping[str, str]) -> Iterator[Check]:
    """Look at the file, if the service has one."""
    if service.env_file is None:
        return
    try:
        found = read(Path(service.env_file), environ)
    except UsageError as error:
        yield missing("env file", f"{error.where}: {error.why}", error.hint)
        return
    count = f"{len(found)} variable{'' if len(found) == 1 else 's'}"
    yield ok("env file", f"{service.env_file}, {count}")
