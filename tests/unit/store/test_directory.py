"""The store in a directory: created once, synced before it counts, unreachable rather than empty."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from obstore.exceptions import PermissionDeniedError

from foretell.errors import StoreError, StoreFullError, StoreRefusedError, UsageError
from foretell.store import Store, connect, local_directory
from foretell.store.directory import FEW, STORE_RECORD
from foretell.store.errors import told


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store((tmp_path / "a store").as_uri())
    made.create(STORE_RECORD, b"{}")
    return made


class Flushes:
    """What was synced, as paths, in order; "everything" for a flush of the whole system."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        fsync = os.fsync

        def watched(descriptor: int) -> None:
            fsync(descriptor)
            self.paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))

        monkeypatch.setattr(os, "fsync", watched)
        monkeypatch.setattr(os, "sync", lambda: self.paths.append("everything"))


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> Flushes:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to see what is synced")
    return Flushes(monkeypatch)


def leading_to(store: Store, key: str) -> list[str]:
    """An object and every directory whose entry leads to it."""
    assert store.directory is not None
    path = store.directory / key
    return [str(path), *(str(parent) for parent in path.parents if parent.is_relative_to(store.directory))]


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "a b", "#1", "100%", "é", "?x=1"])
def test_a_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    store = Store((tmp_path / name).as_uri())
    store.create(STORE_RECORD, b"{}")
    assert local_directory(store.url) == tmp_path / name
    assert (tmp_path / name / STORE_RECORD).is_file()


def test_what_a_dead_writer_left_is_in_nobodys_way(store: Store) -> None:
    assert store.directory is not None
    (store.directory / "a").mkdir()
    (store.directory / "a" / "b.json#1").write_bytes(b"half")
    assert store.create("a/b.json", b"whole")
    assert store.get("a/b.json") == b"whole"


# --- unreachable, not empty -----------------------------------------------------------------------------------------


def test_a_store_that_was_moved_away_is_not_empty(store: Store, tmp_path: Path) -> None:
    store.create("a/b.json", b"1")
    assert store.directory is not None
    away = store.directory.rename(tmp_path / "away")
    for ask in (
        lambda: store.get("a/b.json"),
        lambda: store.create("a/c.json", b"1"),
        lambda: store.put("a/b.json", b"1"),
        lambda: store.folders("a"),
        lambda: store.create_file("a/d", away / STORE_RECORD),
        lambda: list(store.chunks("a/b.json")),
        lambda: Store(store.url).get("a/b.json"),
    ):
        with pytest.raises(StoreError, match="the store does not exist"):
            ask()
    assert not store.directory.exists()
    away.rename(store.directory)
    assert store.get("a/b.json") == b"1"


def test_looking_at_a_store_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store((tmp_path / "store").as_uri())
    assert not store.is_there()
    with pytest.raises(StoreError):
        store.get("a")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    store = Store((tmp_path / "store").as_uri())
    assert not store.is_there()
    with pytest.raises(StoreError, match="cannot write"):
        store.create(STORE_RECORD, b"{}")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Read-only file system (os error 30)", StoreRefusedError),
        ("Permission denied (os error 13)", StoreRefusedError),
        ("No space left on device (os error 28)", StoreFullError),
        ("Disk quota exceeded (os error 122)", StoreFullError),
        ("Input/output error (os error 5)", StoreError),
    ],
)
def test_the_reason_decides_what_is_done_about_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, said: str, kind: type[StoreError]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(said)

    monkeypatch.setattr("obstore.put", refuse)
    with pytest.raises(StoreError) as told:
        store.create("a", b"")
    assert type(told.value) is kind
    assert said in told.value.why


@pytest.mark.parametrize("url", ["s3://", "ftp://host/path", "nonsense"])
def test_a_url_that_is_no_store_is_told(url: str) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        Store(url)


# --- power cuts -----------------------------------------------------------------------------------------------------


def test_what_is_created_is_synced_with_all_that_leads_to_it(store: Store, flushes: Flushes) -> None:
    store.create("a/b/c.json", b"1")
    assert flushes.paths == leading_to(store, "a/b/c.json")


def test_what_another_created_is_synced_before_it_is_obeyed(store: Store, flushes: Flushes) -> None:
    store.create("a/b/c.json", b"1", durable=False)
    assert flushes.paths == []
    assert not store.create("a/b/c.json", b"2")
    assert flushes.paths == leading_to(store, "a/b/c.json")


@pytest.mark.parametrize("many", [1, FEW, FEW + 1])
def test_what_is_settled_is_synced(store: Store, flushes: Flushes, many: int) -> None:
    keys = [f"a/{number}" for number in range(many)]
    for key in keys:
        store.create(key, b"1", durable=False)
    store.settle(keys)
    every = {path for key in keys for path in leading_to(store, key)}
    assert set(flushes.paths) == ({"everything"} if many > FEW else every)


def test_a_sync_that_fails_is_no_success(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreError, match="cannot sync"):
        store.create("a", b"1")


# --- what a bucket's refusal means ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "member"),
    [
        ("m@p.iam.gserviceaccount.com", "serviceAccount:m@p.iam.gserviceaccount.com"),
        ("me@example.com", "user:me@example.com"),
    ],
)
def test_who_was_refused_is_named_in_the_command_that_mends_it(account: str, member: str) -> None:
    said = f"<Details>{account} does not have storage.objects.create access to the object.</Details>"
    error = PermissionDeniedError(
        f"Error - Server returned status code: 403 Forbidden: <Error>{said}</Error>"
    )
    found = told("write", "a", "gs://bucket/place", error)
    assert isinstance(found, StoreRefusedError)
    assert "does not have storage.objects.create" in found.why
    assert found.hint == (
        "gcloud storage buckets add-iam-policy-binding gs://bucket "
        f"--member={member} --role=roles/storage.objectUser"
    )


# --- who asks a bucket ----------------------------------------------------------------------------------------------


def settings_for(environ: dict[str, str]) -> dict[str, object]:
    return connect._of_google({"client_options": {}}, environ)


def test_an_emulator_is_asked_by_nobody() -> None:
    told = settings_for({"STORAGE_EMULATOR_HOST": "localhost:9000"})
    assert told["base_url"] == "http://localhost:9000"
    assert told["client_options"] == {"allow_http": True}


@pytest.mark.parametrize("kind", ["service_account", "authorized_user"])
def test_obstore_reads_the_files_that_it_knows(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "application_default_credentials.json"
    file.write_text(f'{{"type": "{kind}"}}')
    for environ in ({"CLOUDSDK_CONFIG": str(tmp_path)}, {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}):
        assert settings_for(environ) == {"client_options": {}, "application_credentials": str(file)}


def test_on_a_machine_of_googles_its_own_server_is_asked(tmp_path: Path) -> None:
    assert settings_for({"HOME": str(tmp_path)}) == {"client_options": {}}


def test_a_file_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    for text in (None, "no json"):
        if text:
            (tmp_path / "key.json").write_text(text)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
        with pytest.raises(UsageError, match="cannot be opened"):
            Store("gs://bucket")
