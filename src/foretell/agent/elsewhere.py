"""The working directory outside of the output: what a command leaves there is lost, and what lies there may deceive."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from msgspec import Struct

from foretell.protocol.records import METRICS
from foretell.sources.tree import CACHES, NEVER
from foretell.system.text import printable, size

MOST = 20
"""Files that are named one by one."""
TOOLS = (
    CACHES | NEVER | {".cache", ".eggs", ".hypothesis", ".numba_cache", ".Rproj.user", ".virtual_documents"}
)
"""Directories that tools leave behind, which nobody misses."""
COMPILED = (".pyc", ".pyo")


class FileStamp(NamedTuple):
    """What changes when a file is written or replaced; `mtime` in nanoseconds, `size` in bytes."""

    inode: int
    mtime: int
    size: int

    @classmethod
    def of(cls, stat: os.stat_result) -> FileStamp:
        return cls(stat.st_ino, stat.st_mtime_ns, stat.st_size)


class Lost(Struct, frozen=True, kw_only=True):
    """
    Files that a command wrote outside of its output, the largest first, each with its bytes.

    `place` is the one directory that holds all of them and nothing that was there before, "" where there is none: made
    the output, it would keep them and take nothing away from the command.
    """

    files: tuple[tuple[str, int], ...]
    place: str = ""

    def mend(self, action: str, output: str, *, kept: bool) -> str:
        """Say how they would be kept, where the output is `output` and what it holds is `kept` or nothing."""
        if self.place and (not kept or output.startswith(f"{self.place}/")):
            return f'set output = "{printable(self.place)}" in [actions.{action}]'
        other = "" if kept else f", or to another directory and set `output` of [actions.{action}] to that"
        first = printable(self.files[0][0]) if len(self.files) == 1 else ""
        step = f', or move it there in a last step, commands = ["…", "mv {first} {output}/"]' if first else ""
        return f'let the command write to "{output}/"{other}{step}'

    def __str__(self) -> str:
        return self.listed(MOST)

    def listed(self, most: int) -> str:
        """Name them with their sizes, up to so many, and say how many more there are."""
        names = [f"{printable(name)} ({size(count)})" for name, count in self.files[:most]]
        more = len(self.files) - most
        return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")


def scan(work: Path, output: str) -> dict[str, FileStamp]:
    """Return every file of a working directory by its name in it, but for the output's and what tools leave."""
    found: dict[str, FileStamp] = {}
    without = os.path.normpath(output)
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(work / folder) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if name == without or entry.name in TOOLS or entry.name.endswith(COMPILED):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name)
                    elif entry.is_file(follow_symlinks=False):
                        found[name] = FileStamp.of(entry.stat(follow_symlinks=False))
        except OSError:
            continue  # gone meanwhile, or not to be read: this only informs
    return found


def stamps(work: Path, output: str, files: Iterable[Path]) -> dict[str, FileStamp]:
    """Return what `scan` would find of these files of a working directory."""
    names = {os.path.relpath(path, work): path for path in files}
    inside = os.path.normpath(output) + "/"
    return {name: FileStamp.of(path.lstat()) for name, path in names.items() if not name.startswith(inside)}


def written(
    before: Mapping[str, FileStamp], after: Mapping[str, FileStamp], *, inputs: Collection[str] = ()
) -> Lost:
    """Compare two scans: what is new or another after the command. `inputs` are put into an output as well."""
    files = {name: stamp.size for name, stamp in after.items() if before.get(name) != stamp}
    place = os.path.commonpath([os.path.dirname(name) for name in files]) if files else ""  # noqa: PTH120
    own = (name for name in before if name not in files and name not in inputs)
    shared = any(name.startswith(f"{place}/") for name in own)
    return Lost(
        files=tuple(sorted(files.items(), key=lambda file: (-file[1], file[0]))),
        place="" if shared else place,
    )


class Namesake(NamedTuple):
    """A file that a command may take for an input's: its name, the input's file, both in the working directory."""

    name: str
    brought: str
    place: str
    """The place of the input that would put its file there; "" where none would."""

    def told(self, run: str) -> str:
        """Say what there is, with the input's run."""
        there = f'the working directory has its own "{printable(self.name)}"'
        return f'{there}, beside "{printable(self.brought)}" of the input {run}'

    def mend(self, run: str) -> str:
        """Say what to do about it."""
        action = run.partition("/")[0]
        mend = f'set inputs = {{{action} = "{self.place}"}}' if self.place else "let it read the latter"
        return f"if the command reads the former, {mend}"


def namesakes(there: Iterable[str], place: str, files: Iterable[str]) -> list[Namesake]:
    """
    Find the files of a working directory that have the name of an input's file, in another place.

    `place` is where the input is put, `files` are its files. Hidden ones and metrics, which every output may have, are
    no models.
    """
    inputs = {os.path.normpath(f"{place}/{name}"): name for name in files}
    wanted = {PurePosixPath(name).name: name for name in inputs}
    wanted.pop(METRICS, None)
    found = []
    for name in sorted(there):
        last = name.rpartition("/")[2]
        if last in wanted and name not in inputs and not last.startswith("."):
            brought = wanted[last]
            there_too = f"/{name}".removesuffix(f"/{inputs[brought]}")
            found.append(
                Namesake(name, brought, "" if there_too == f"/{name}" else there_too.strip("/") or ".")
            )
    return found
