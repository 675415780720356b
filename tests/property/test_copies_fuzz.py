"""Whatever a command does to its working directory, the originals and the snapshot are what they were."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.agent.workspace import prepare
from foretell.sources.copying import SMALL
from foretell.sources.fingerprint import fingerprint
from foretell.sources.snapshot import freeze
from foretell.sources.tree import scan

names = st.sampled_from(["a", "b", "data", "x.bin", "main.py", "späce d", "-"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
sizes = st.sampled_from([0, 1, 5000, SMALL - 1, SMALL, SMALL + 1, 300_000])
kinds = st.sampled_from(["file", "file", "file", "directory", "symlink", "hard link", "sparse", "read-only"])
nodes = st.lists(st.tuples(paths, kinds, sizes, paths), max_size=12)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def write(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"changed")


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def map_into_memory(path: Path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[0:1] = b"!"


def move(path: Path) -> None:
    path.rename(path.with_name("moved"))


def replace(path: Path) -> None:
    path.write_bytes(b"new")


def link_and_write(path: Path) -> None:
    other = path.with_name("other")
    os.link(path, other)
    other.write_bytes(b"through another name")


def set_time(path: Path) -> None:
    os.utime(path, (1, 1))


def permit_nothing(path: Path) -> None:
    path.chmod(0)


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


DEEDS: list[Callable[[Path], object]] = [
    write, append, truncate, map_into_memory, move, replace, link_and_write, set_time, permit_nothing, remove,
]  # fmt: skip


def build(root: Path, tree: list[tuple[str, str, int, str]]) -> None:
    """Make what can be made of a description: a name may be taken, or be that of a file where a directory is meant."""
    for path, kind, size, other in tree:
        place = root / path
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            match kind:
                case "directory":
                    place.mkdir()
                case "symlink":
                    place.symlink_to(os.path.relpath(root / other, place.parent))
                case "hard link":
                    os.link(root / other, place)
                case "sparse":
                    with place.open("xb") as file:
                        file.truncate(size * 10)
                case _:
                    with place.open("xb") as file:
                        file.write(os.urandom(size))
                    place.chmod(0o444 if kind == "read-only" else 0o644)


def state(root: Path) -> dict[str, object]:
    """Give all that can be seen of a tree, times and inodes included."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            info = path.lstat()
            held = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[str(path)] = (info.st_mode, info.st_ino, info.st_mtime_ns, info.st_nlink, held)
    return found


def ruin(work: Path, random: Random) -> None:
    """Do everything a command may do to everything it finds, through every name."""
    everything = sorted(
        Path(folder, name) for folder, folders, files in os.walk(work) for name in folders + files
    )
    for path in everything:
        for deed in random.sample(DEEDS, 3):
            with suppress(OSError, ValueError):
                deed(path)


def check(tree: list[tuple[str, str, int, str]], seed: int) -> None:
    with TemporaryDirectory() as place:
        root, home = Path(place, "service"), Path(place, "home")
        root.mkdir()
        build(root, tree)
        mark, snapshot = freeze(scan(root, ["output"]), home / "snapshots")
        assert mark == fingerprint(scan(root, ["output"])) == fingerprint(scan(snapshot, ["output"]))
        before = state(root), state(home)
        work = Path(place, "work")
        prepare(snapshot, work, output="output")
        assert fingerprint(scan(work, ["output"])) == mark
        ruin(work, Random(seed))
        assert (state(root), state(home)) == before


@settings(max_examples=40, deadline=None)
@given(nodes, st.integers(0, 2**32))
def test_what_a_command_does_stays_in_its_working_directory(
    tree: list[tuple[str, str, int, str]], seed: int
) -> None:
    check(tree, seed)


@pytest.mark.soak
@settings(max_examples=3000, deadline=None)
@given(nodes, st.integers(0, 2**32))
def test_what_a_command_does_stays_there_many_times(tree: list[tuple[str, str, int, str]], seed: int) -> None:
    check(tree, seed)
