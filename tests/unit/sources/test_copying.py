"""Copies: what they share with their originals (nothing), what they cost, and what is said where they do not fit."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foretell.errors import NoRoomError, UsageError
from foretell.sources import copying, digests, snapshot
from foretell.sources.copying import Copied, copy_directory, copy_file
from foretell.sources.digests import REMEMBERED, SETTLED, Digests
from foretell.sources.fingerprint import fingerprint
from foretell.sources.snapshot import freeze
from foretell.sources.tree import scan

AGO = time.time() - 3600


def settled(path: Path, data: bytes) -> Path:
    """Write a file as it would be had it been left alone for a while; its inode's own time cannot be set back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (AGO, AGO))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "service"
    settled(place / "data" / "large.bin", os.urandom(300_000))
    settled(place / "main.py", b"print(1)")
    return place


@pytest.fixture
def settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files count as left alone at once, as the clock of a test does not run for seconds."""
    monkeypatch.setattr(digests, "SETTLED", 0)
    time.sleep(0.02)  # the grain of the kernel's own clock


def kept(root: Path) -> list[Path]:
    return sorted(path for path in (root.parent / "kept").iterdir() if "-" in path.name)


def characters_read() -> int:
    """Return how many bytes this process has read so far, by whatever call."""
    return int(Path("/proc/self/io").read_text().split()[1])


def inode(path: Path) -> int:
    return path.stat().st_ino


# --- one file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, copying.SMALL, copying.SMALL + 1, 3_000_000])
def test_a_copy_has_the_bytes_time_and_permissions(tmp_path: Path, size: int) -> None:
    source = settled(tmp_path / "a", os.urandom(size))
    source.chmod(0o540)
    copy_file(source, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == source.read_bytes()
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o740
    assert (tmp_path / "b").stat().st_mtime_ns == source.stat().st_mtime_ns
    assert inode(tmp_path / "b") != inode(source)


@pytest.mark.parametrize(
    "holes", [[(0, b"")], [(0, b"a")], [(5_000_000, b"b")], [(0, b"a"), (7_000_000, b"c")]]
)
def test_holes_stay_holes(tmp_path: Path, holes: list[tuple[int, bytes]]) -> None:
    source = tmp_path / "a"
    with source.open("wb") as file:
        for place, data in holes:
            os.pwrite(file.fileno(), data, place)
        os.ftruncate(file.fileno(), 20_000_000)
    copy_file(source, tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == source.read_bytes()
    assert (tmp_path / "b").stat().st_blocks <= source.stat().st_blocks + 8


def test_what_the_kernel_does_not_copy_is_copied_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = settled(tmp_path / "a", os.urandom(3_000_000))

    def refuse(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    for number, kernel in enumerate((refuse, lambda *_: 0)):
        monkeypatch.setattr(os, "copy_file_range", kernel)
        copy_file(source, tmp_path / f"b{number}")
        assert (tmp_path / f"b{number}").read_bytes() == source.read_bytes()


def test_directories_are_real_and_links_stay_links(tmp_path: Path) -> None:
    for number in range(60):
        settled(tmp_path / "a" / f"{number % 3}" / "deep" / f"{number}", b"x" * number)
    (tmp_path / "a" / "link").symlink_to("1/deep")
    (tmp_path / "a" / "empty").mkdir()
    (tmp_path / "b").mkdir()
    copied = copy_directory(tmp_path / "a", tmp_path / "b")
    assert (copied.files, copied.size) == (60, sum(range(60)))
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "b")) == 60
    assert (tmp_path / "b" / "link").readlink() == Path("1/deep")
    assert (tmp_path / "b" / "empty").is_dir()
    assert (tmp_path / "b" / "2" / "deep" / "59").read_bytes() == b"x" * 59


# --- room -------------------------------------------------------------------------------------------------------------


def free(monkeypatch: pytest.MonkeyPatch, amount: int) -> None:
    usage = shutil.disk_usage("/")._replace(free=amount)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage)


def test_too_little_room_is_told_before_anything_is_copied(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 500_000)
    with pytest.raises(NoRoomError, match="not enough disk space") as caught:
        freeze(scan(root, []), tmp_path / "snapshots")
    assert "600 kB, and 500 kB are free" in caught.value.why
    assert "large.bin" in caught.value.why
    assert caught.value.exit_code == 3
    assert not kept(root)
    assert not (tmp_path / "snapshots").exists()


@pytest.mark.usefixtures("settling")
def test_what_is_kept_needs_room_for_the_working_directory_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    freeze(scan(root, []), tmp_path / "snapshots")
    free(monkeypatch, 500_000)
    _, place = freeze(scan(root, []), tmp_path / "snapshots")
    free(monkeypatch, 100_000)
    (tmp_path / "work").mkdir()
    with pytest.raises(NoRoomError, match="not enough disk space"):
        copy_directory(place, tmp_path / "work")
    assert not list((tmp_path / "work").iterdir())


def test_a_disk_that_fills_meanwhile_is_told_as_full_and_leaves_nothing_half(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(NoRoomError):
        freeze(scan(root, []), tmp_path / "snapshots")
    assert not kept(root)


# --- kept once --------------------------------------------------------------------------------------------------------


def test_a_large_file_is_kept_once_however_many_snapshots_there_are(root: Path, tmp_path: Path) -> None:
    places = []
    for number in range(3):
        (root / "main.py").write_text(f"print({number})")
        places.append(freeze(scan(root, []), tmp_path / "snapshots")[1])
    (one,) = kept(root)
    assert len({*places}) == 3
    assert {inode(place / "data/large.bin") for place in places} == {inode(one)}
    assert inode(root / "data/large.bin") != inode(one)


def test_a_working_directory_shares_no_file_with_a_snapshot(root: Path, tmp_path: Path) -> None:
    _, place = freeze(scan(root, []), tmp_path / "snapshots")
    (tmp_path / "work").mkdir()
    copy_directory(place, tmp_path / "work")
    assert inode(tmp_path / "work/data/large.bin") != inode(place / "data/large.bin")
    assert (tmp_path / "work/data/large.bin").stat().st_nlink == 1


def test_files_of_the_same_bytes_and_other_permissions_keep_their_own(root: Path, tmp_path: Path) -> None:
    shutil.copy2(root / "data/large.bin", root / "data/script.bin")
    (root / "data/script.bin").chmod(0o755)
    _, place = freeze(scan(root, []), tmp_path / "snapshots")
    assert os.access(place / "data/script.bin", os.X_OK)
    assert not (place / "data/large.bin").stat().st_mode & 0o111


def test_a_kept_file_that_was_cut_is_kept_again(root: Path, tmp_path: Path) -> None:
    _, place = freeze(scan(root, []), tmp_path / "snapshots")
    os.truncate(kept(root)[0], 1000)
    mark, again = freeze(scan(root, []), tmp_path / "snapshots")
    assert again == place
    assert (place / "data/large.bin").read_bytes() == (root / "data/large.bin").read_bytes()
    assert mark == fingerprint(scan(place, []))


def test_where_there_are_no_hard_links_files_are_copied(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    mark, place = freeze(scan(root, []), tmp_path / "snapshots")
    assert mark == fingerprint(scan(place, []))


def test_many_who_freeze_a_large_file_at_once_agree(root: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: freeze(scan(root, []), tmp_path / "snapshots"), range(16)))
    ((mark, place),) = found
    assert mark == fingerprint(scan(place, []))
    assert len(list((tmp_path / "snapshots").iterdir())) == 1
    assert not [path for path in (tmp_path / "kept").iterdir() if path.name.startswith(".")]


def test_what_takes_long_is_told(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    freeze(scan(root, []), tmp_path / "snapshots", say=said.append)
    assert not said
    monkeypatch.setattr(copying, "LONG", 0)
    (root / "main.py").write_text("print(2)")
    freeze(scan(root, []), tmp_path / "snapshots", say=said.append)
    (one,) = said
    assert one.startswith("took a snapshot of the sources: copied ")
    assert Copied(2, 3_100_000_000, 4.2).is_long
    assert str(Copied(2, 3_100_000_000, 4.2)) == "2 files, 3.1 GB, in 4.2 s"


# --- digests ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("settling")
def test_a_file_that_has_not_changed_is_not_read_again(root: Path, tmp_path: Path) -> None:
    first = freeze(scan(root, []), tmp_path / "snapshots")
    (root / "main.py").write_text("print(2)")
    before = characters_read()
    second = freeze(scan(root, []), tmp_path / "snapshots")
    assert first[0] != second[0]
    assert characters_read() - before < 100_000


@pytest.mark.usefixtures("settling")
@pytest.mark.parametrize("change", ["content", "length", "another file", "permissions", "time"])
def test_a_file_that_has_changed_in_any_way_is_read_again(root: Path, tmp_path: Path, change: str) -> None:
    path = root / "data/large.bin"
    freeze(scan(root, []), tmp_path / "snapshots")
    before = path.stat()
    match change:
        case "content":
            with path.open("r+b") as file:
                file.write(b"changed")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as some tools set times back
        case "length":
            os.truncate(path, 200_000)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        case "another file":
            other = settled(tmp_path / "other", os.urandom(300_000))
            os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
            other.replace(path)
        case "permissions":
            path.chmod(0o755)
        case _:
            os.utime(path)
    assert Digests(tmp_path / "kept" / snapshot.DIGESTS).get(str(path), path.stat()) is None
    mark, place = freeze(scan(root, []), tmp_path / "snapshots")
    assert mark == fingerprint(scan(root, []))
    assert (place / "data/large.bin").read_bytes() == path.read_bytes()


def test_a_file_that_was_changed_a_moment_ago_is_not_remembered(root: Path, tmp_path: Path) -> None:
    path = root / "data/large.bin"
    known = Digests(tmp_path / "digests")
    now = time.time_ns()
    known.put(str(path), path.stat(), "0" * 64, now + SETTLED - 1_000_000_000)
    assert known.get(str(path), path.stat()) is None
    known.put(str(path), path.stat(), "0" * 64, now + SETTLED + 1_000_000_000)
    assert known.get(str(path), path.stat()) == "0" * 64


@pytest.mark.usefixtures("settling")
@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 100, None])
def test_a_damaged_memory_is_forgotten(root: Path, tmp_path: Path, damage: bytes | None) -> None:
    mark, _ = freeze(scan(root, []), tmp_path / "snapshots")
    memory = tmp_path / "kept" / snapshot.DIGESTS
    data = bytearray(memory.read_bytes())
    if damage is None:
        place = data.index(hashlib.sha256((root / "data/large.bin").read_bytes()).hexdigest().encode())
        data[place] ^= 1
    memory.write_bytes(data if damage is None else damage)
    assert Digests(memory).get(str(root / "data/large.bin"), (root / "data/large.bin").stat()) is None
    assert freeze(scan(root, []), tmp_path / "snapshots")[0] == mark


@pytest.mark.usefixtures("settling")
def test_names_of_any_bytes_are_remembered_and_those_that_are_gone_forgotten(
    root: Path, tmp_path: Path
) -> None:
    strange = settled(root / os.fsdecode(b"\xff\xfe"), b"x" * REMEMBERED)
    gone = settled(root / "gone", b"y" * REMEMBERED)
    time.sleep(0.02)
    freeze(scan(root, []), tmp_path / "snapshots")
    info = gone.stat()
    gone.unlink()
    settled(root / "new", b"z" * REMEMBERED)
    time.sleep(0.02)
    freeze(scan(root, []), tmp_path / "snapshots")
    known = Digests(tmp_path / "kept" / snapshot.DIGESTS)
    assert known.get(str(strange), strange.stat())
    assert known.get(str(gone), info) is None


def test_an_unreadable_file_is_named(root: Path, tmp_path: Path) -> None:
    tree = scan(root, [])
    (root / "data/large.bin").unlink()
    (root / "data/large.bin").mkdir()
    with pytest.raises(UsageError, match=r"large\.bin"):
        freeze(tree, tmp_path / "snapshots")


# --- tidied -----------------------------------------------------------------------------------------------------------


def test_old_snapshots_go_and_what_they_alone_had_kept(root: Path, tmp_path: Path) -> None:
    _, old = freeze(scan(root, []), tmp_path / "snapshots")
    settled(root / "data/large.bin", os.urandom(300_000))
    _, new = freeze(scan(root, []), tmp_path / "snapshots")
    assert snapshot.tidy(tmp_path / "snapshots", set) == []
    os.utime(old, (AGO - snapshot.OLD, AGO - snapshot.OLD))
    assert snapshot.tidy(tmp_path / "snapshots", lambda: {str(old)}) == []
    gone = snapshot.tidy(tmp_path / "snapshots", set)
    assert gone[0] == f"snapshots/{old.name}"
    assert len(gone) == 2
    (one,) = kept(root)
    assert inode(one) == inode(new / "data/large.bin")


def test_a_snapshot_that_is_asked_for_again_is_new_again(root: Path, tmp_path: Path) -> None:
    _, place = freeze(scan(root, []), tmp_path / "snapshots")
    os.utime(place, (AGO - snapshot.OLD, AGO - snapshot.OLD))
    freeze(scan(root, []), tmp_path / "snapshots")
    assert snapshot.tidy(tmp_path / "snapshots", set) == []


def test_nothing_is_removed_while_somebody_freezes(root: Path, tmp_path: Path) -> None:
    _, place = freeze(scan(root, []), tmp_path / "snapshots")
    os.utime(place, (AGO - snapshot.OLD, AGO - snapshot.OLD))
    with snapshot._Kept(tmp_path / "kept").shared():
        assert snapshot.tidy(tmp_path / "snapshots", set) == []
    assert place.is_dir()
