"""foretell.lock: which image a target runs. Written by `foretell build`, committed, read by whoever starts runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct

from foretell.errors import UsageError
from foretell.service.model import LOCK_FILE

HEADER = "# Which image each target runs. `foretell build --push` writes this file; commit it.\n"
PINNED = re.compile(r"(?:\S+@)?sha256:[0-9a-f]{64}")


class Locked(Struct, frozen=True, kw_only=True):
    """
    The image of one target: by digest, with the fingerprint and the Git revision of what is in it.

    `google` says that its agent has Google's libraries, `packages` what else it was given, `reads` which format of
    requests it reads: see `records`.
    """

    image: str
    tag: str
    fingerprint: str
    revision: str = ""
    google: bool = False
    packages: tuple[str, ...] = ()
    reads: int = 1


def read(root: Path) -> dict[str, Locked]:
    """Return what is locked, by target; nothing where there is no lock. UsageError where it cannot be read."""
    path = root / LOCK_FILE
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), dict[str, Locked])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise UsageError(
            f'"{LOCK_FILE}" cannot be read',
            where=str(path),
            why=str(error),
            hint="bring it back from Git, or remove it and run `foretell build --push`",
        ) from error
    for entry in found.values():
        pinned(entry.image)
    return found


def write(root: Path, target: str, entry: Locked) -> bool:
    """Lock a target's image, the others staying as they are; False where the same is locked already."""
    entries = read(root)
    there = entries.get(target)
    if there and (there.image, there.fingerprint) == (entry.image, entry.fingerprint):
        return (
            False  # the revision it was built from stays, else every commit of the lock would make a new one
        )
    entries[target] = entry
    text = HEADER + "".join(_section(name, entries[name]) for name in sorted(entries))
    draft = root / f".{LOCK_FILE}"
    draft.write_text(text, encoding="utf-8")
    draft.replace(root / LOCK_FILE)
    return True


def pinned(image: str) -> str:
    """Return a reference that can never mean another image; UsageError for one that can."""
    if not PINNED.fullmatch(image):
        raise UsageError(
            f'the image "{image}" is not pinned by its digest',
            why="what a tag means can change, also between two attempts of one run",
            hint="name it as REGISTRY/NAME@sha256:…; `docker image inspect` shows it as RepoDigests",
        )
    return image


def _section(target: str, entry: Locked) -> str:
    fields = msgspec.to_builtins(entry)
    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in fields.items() if value]
    return "\n".join([f"\n[{target}]", *lines, ""])
