"""A directory to and from the store: whole, verified, refused where it cannot be kept."""

from __future__ import annotations

import os
from pathlib import Path

import obstore
import pytest

from foretell.errors import CorruptError, StoreError
from foretell.protocol import effects, steps
from foretell.protocol.effects import Create, Get
from foretell.protocol.keys import Attempt, Run, run_named
from foretell.protocol.records import File, Manifest, Outcome
from foretell.store import Store, artifacts
from foretell.store.artifacts import PART, commit, each, load, manifest, save
from foretell.store.contents import Placed, survey
from foretell.store.directory import FEW, STORE_RECORD

RUN: Run = run_named("toy", "1", "training", "20261121T060000Z-1")
ATTEMPT: Attempt = RUN.attempt(1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store((tmp_path / "store").as_uri())
    made.create(STORE_RECORD, b"{}")
    return made


@pytest.fixture
def output(tmp_path: Path) -> Path:
    place = tmp_path / "output"
    (place / "deep").mkdir(parents=True)
    (place / "hollow" / "er").mkdir(parents=True)
    (place / "deep" / "model").write_bytes(b"model" * 100)
    (place / "large").write_bytes(bytes(range(256)) * (PART // 256 + 1))
    (place / "empty").touch()
    return place


def saved(store: Store, output: Path) -> Manifest:
    return save(store, ATTEMPT, survey(output))


def test_what_is_saved_comes_back(store: Store, output: Path, tmp_path: Path) -> None:
    found = saved(store, output)
    assert [file.path for file in found.files] == ["deep/model", "empty", "large"]
    assert found.directories == ("hollow/er",)
    load(store, found.files, tmp_path / "loaded")
    for file in found.files:
        assert (tmp_path / "loaded" / file.path).read_bytes() == (output / file.path).read_bytes()


def test_saving_again_changes_nothing(store: Store, output: Path) -> None:
    first = saved(store, output)
    digest = commit(store, ATTEMPT, first)
    assert saved(store, output) == first
    assert commit(store, ATTEMPT, first) == digest
    assert manifest(store, ATTEMPT, digest) == first


def test_another_manifest_is_refused(store: Store, output: Path) -> None:
    first = saved(store, output)
    commit(store, ATTEMPT, first)
    with pytest.raises(CorruptError, match="another manifest"):
        commit(store, ATTEMPT, Manifest(files=first.files[:1]))


def test_inputs_that_nobody_touched_are_not_saved_again(store: Store, output: Path) -> None:
    placed = load(store, saved(store, output).files, output.with_name("next"))
    again = output.with_name("next")
    (again / "deep" / "model").write_bytes(b"model" * 100)  # the same bytes, and yet the model's own
    (again / "new").touch()
    (again / "empty").unlink()
    kept = save(store, RUN.attempt(2), survey(again).without(placed))
    assert [file.path for file in kept.files] == ["deep/model", "new"]


def test_a_link_is_saved_as_the_file_it_leads_to_which_is_kept_once(
    store: Store, output: Path, tmp_path: Path
) -> None:
    (output / "last").symlink_to("deep/model")
    (output / "all").symlink_to("deep")
    found = saved(store, output)
    assert [file.path for file in found.files] == ["all/model", "deep/model", "empty", "large", "last"]
    assert len({file.key for file in found.files}) == 3
    load(store, found.files, tmp_path / "loaded")
    for name in ("all/model", "deep/model", "last"):
        assert (tmp_path / "loaded" / name).read_bytes() == b"model" * 100
        assert not (tmp_path / "loaded" / name).is_symlink()


def test_a_link_to_an_input_is_saved_though_the_input_is_not(store: Store, output: Path) -> None:
    placed = load(store, saved(store, output).files, output.with_name("next"))
    (output.with_name("next") / "mine").symlink_to("deep/model")
    kept = save(store, ATTEMPT, survey(output.with_name("next")).without(placed))
    assert [file.path for file in kept.files] == ["mine"]


def test_a_file_whose_times_are_set_back_counts_as_touched(store: Store, output: Path) -> None:
    path = output / "deep" / "model"
    before = path.stat()
    placed = {path: Placed.of(path)}
    path.write_bytes(b"MODEL" * 100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    kept = save(store, ATTEMPT, survey(output).without(placed))
    assert "deep/model" in [file.path for file in kept.files]


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "/outside", "", "."])
def test_a_manifest_that_leads_outside_is_refused(store: Store, tmp_path: Path, path: str) -> None:
    store.create("evil", b"1")
    evil = File(path=path, key="evil", sha256="x", size=1)
    with pytest.raises(CorruptError, match="outside of the output"):
        load(store, [evil], tmp_path / "into")
    assert not (tmp_path / "outside").exists()


# --- what was cut ---------------------------------------------------------------------------------------------------


def test_a_file_that_was_cut_is_told_and_not_placed(store: Store, output: Path, tmp_path: Path) -> None:
    found = saved(store, output)
    assert store.directory is not None
    path = store.directory / ATTEMPT.output("large")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CorruptError, match='the stored object of "large" has changed') as told:
        load(store, found.files, tmp_path / "loaded")
    assert "instead of 8,388,864" in told.value.why
    assert not (tmp_path / "loaded" / "large").exists()
    assert not list((tmp_path / "loaded").glob("*.part"))


def test_a_file_of_the_same_size_with_other_bytes_is_told(store: Store, output: Path, tmp_path: Path) -> None:
    found = saved(store, output)
    assert store.directory is not None
    (store.directory / ATTEMPT.output("deep/model")).write_bytes(b"MODEL" * 100)
    with pytest.raises(CorruptError) as told:
        load(store, found.files, tmp_path / "loaded")
    assert told.value.why == "its SHA-256 differs from the manifest's"


def test_a_manifest_that_is_not_the_decided_one_is_told(store: Store, output: Path) -> None:
    commit(store, ATTEMPT, saved(store, output))
    with pytest.raises(CorruptError, match="not the one that the outcome names"):
        manifest(store, ATTEMPT, "0" * 64)
    with pytest.raises(CorruptError, match="not the one that the outcome names") as told:
        manifest(store, RUN.attempt(2), "0" * 64)
    assert told.value.why == "it is missing"


# --- power cuts -----------------------------------------------------------------------------------------------------


class Direct:
    """A world of the store alone."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def perform(self, op: object) -> object:
        match op:
            case Get(key):
                return self.store.get(key)
            case Create(key, data):
                return self.store.create(key, data)
            case _:
                raise AssertionError(op)


@pytest.mark.parametrize("files", [1, FEW + 1])
def test_what_an_outcome_names_is_on_the_disk_before_the_outcome(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    output = tmp_path / "few"
    output.mkdir()
    for number in range(files):
        (output / f"{number}").write_text("model")
    told: list[str] = []
    watch(monkeypatch, told)
    found = saved(store, output)
    digest = commit(store, ATTEMPT, found)
    outcome = Outcome(kind="produced", attempt=1, by="me", manifest=digest)
    assert effects.execute(steps.produce(RUN, outcome), Direct(store))
    decided = told.index(f"write {RUN.outcome}")
    for key in (*(file.key for file in found.files), ATTEMPT.manifest):
        written = told.index(f"write {key}")
        synced = {f"sync {store.directory}/{key}", "sync everything"}
        assert written < decided
        assert synced & set(told[written:decided])
    assert told.index(f"sync {store.directory}/{RUN.outcome}") > decided
    assert told[-1] == f"sync {store.directory}"


def watch(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    """Have every write and every sync told, in order."""
    put, fsync = obstore.put, os.fsync

    def watched_put(objects: object, key: str, *args: object, **named: object) -> object:
        told.append(f"write {key}")
        return put(objects, key, *args, **named)  # type: ignore[call-overload]

    def watched_fsync(descriptor: int) -> None:
        fsync(descriptor)
        told.append(f"sync {os.readlink(f'/proc/self/fd/{descriptor}')}")

    monkeypatch.setattr(obstore, "put", watched_put)
    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "sync", lambda: told.append("sync everything"))


# --- many at once ---------------------------------------------------------------------------------------------------


def test_results_come_in_order() -> None:
    assert each(lambda number: number * 2, range(100)) == list(range(0, 200, 2))
    assert each(lambda number: number * 2, []) == []


def test_the_first_error_ends_the_rest() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 3:
            raise StoreError("no")
        done.append(number)

    with pytest.raises(StoreError, match="no"):
        each(work, range(10_000), workers=2)
    assert len(done) < 10_000


def test_a_bug_in_the_work_is_not_swallowed() -> None:
    def work(number: int) -> int:
        return 1 // number

    with pytest.raises(ZeroDivisionError):
        each(work, [1, 0, 1])


def test_a_name_longer_than_a_directory_takes_is_kept(store: Store, output: Path, tmp_path: Path) -> None:
    name = "#" * 255
    (output / name).write_text("model")
    found = saved(store, output)
    assert max(len(part) for file in found.files for part in file.key.split("/")) <= artifacts.LONGEST_PART
    load(store, found.files, tmp_path / "loaded")
    assert (tmp_path / "loaded" / name).read_text() == "model"
