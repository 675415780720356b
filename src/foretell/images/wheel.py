"""The agent as a wheel, made of those files here that it consists of, and the versions of what its agent needs."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from msgspec import Struct

from foretell.errors import UsageError
from foretell.images import closure
from foretell.service.requirements.groups import same

PACKAGE = Path(__file__).parents[1]
NAME = "foretell"
NEEDED = ("duckdb", "msgspec", "obstore", "python-dotenv", "tzdata")
"""What an agent in an image loads; it makes no environments, reads no cron lines, completes no shell."""
GOOGLE = "google"
"""The extra of what an agent needs besides, where its store or warehouse is one of Google's."""
EPOCH = (1980, 1, 1, 0, 0, 0)
REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?")
EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


class AgentWheel(Struct, frozen=True, kw_only=True):
    """What the agent's Python is filled with: `wheel` is the agent, `requirements` what it needs, each pinned."""

    name: str
    wheel: bytes
    requirements: str

    @property
    def digest(self) -> str:
        return sha256(self.wheel + self.requirements.encode()).hexdigest()


def agent(*, google: bool = False, packages: Sequence[str] = ()) -> AgentWheel:
    """
    Return the agent as it is here, with Google's libraries and the `packages` that are asked for.

    The same files give the same bytes, wherever they are installed. UsageError where a library is not here, so that
    nobody can say which version works.
    """
    version = metadata.version(NAME)
    libraries = _required(metadata.distribution(NAME), {GOOGLE}, alone=True) if google else ()
    wanted = [*NEEDED, *libraries, *packages]
    pins = "".join(f"{name}=={found}\n" for name, found in sorted(_pins(wanted).items()))
    return AgentWheel(name=f"{NAME}-{version}-py3-none-any.whl", wheel=_wheel(version), requirements=pins)


def version(name: str) -> str:
    """Return the version of a package as it is installed here."""
    return metadata.version(name)


def _pins(wanted: Sequence[str]) -> dict[str, str]:
    """Return the versions installed here of packages and of all they need in turn."""
    found: dict[str, str] = {}
    waiting = list(wanted)
    asked: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if requirement in asked:
            continue
        asked.add(requirement)
        name, extras = _named(requirement)
        if same(name) == NAME:
            continue  # which the agent is
        try:
            there = metadata.distribution(name)
        except metadata.PackageNotFoundError as error:
            if requirement in wanted:
                raise _lacking(name) from error
            continue  # needed on other machines than this one
        found[same(name)] = there.version
        waiting += _required(there, extras)
    return found


def _required(
    package: metadata.Distribution, extras: Collection[str], *, alone: bool = False
) -> Iterator[str]:
    """Return what a package requires, "name[extra]", with these extras of it; `alone`: for them and nothing else."""
    for line in package.requires or ():
        requirement, _, marker = line.partition(";")
        condition = EXTRA.search(marker)
        named = REQUIREMENT.match(requirement)
        if named and (condition[1] in extras if condition else not alone):
            yield named[0].strip()


def _named(requirement: str) -> tuple[str, set[str]]:
    named = REQUIREMENT.match(requirement)
    if named is None:
        raise AssertionError(requirement)
    return named[1], {extra.strip() for extra in (named[2] or "").split(",") if extra.strip()}


def _lacking(name: str) -> UsageError:
    return UsageError(
        f'the image needs "{name}", which is not installed here',
        why="an agent has the versions that whoever builds it has",
        hint=f'install it: pip install "{NAME}[{GOOGLE}]", or "{name}" where [image] agent_packages names it',
    )


def _wheel(version: str) -> bytes:
    information = f"{NAME}-{version}.dist-info"
    files = {
        path.relative_to(PACKAGE.parent).as_posix(): path.read_bytes() for path in closure.files(PACKAGE)
    }
    files[f"{information}/METADATA"] = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n".encode()
    tag = f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{information}/WHEEL"] = tag.encode()
    lines = [f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items()]
    files[f"{information}/RECORD"] = "".join([*lines, f"{information}/RECORD,,\n"]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
