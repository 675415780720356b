"""
A directory to and from the store: in parallel, verified by SHA-256, and named by a manifest that comes last.

What a reader sees are exactly the files of the manifest (P2): never a half upload, never a file that was cut since.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from foretell.errors import CorruptError
from foretell.protocol.keys import Attempt
from foretell.protocol.records import File, Manifest, decode, encode
from foretell.store import PART, Store
from foretell.store.contents import Contents, Placed
from foretell.system.parallel import each

LONGEST_PART = 200
"""Bytes; a directory takes 255, of which the store needs some while it writes."""
LONGEST_KEY = 900
"""Bytes; buckets take 1,024."""


# --- to the store -------------------------------------------------------------------------------------------------


def save(store: Store, attempt: Attempt, contents: Contents, *, rows: Iterable[Path] = ()) -> Manifest:
    """Upload what an output directory holds and the checked rows, durably, and give what was uploaded."""
    names: dict[Path, list[str]] = {}
    for name, path in contents.files:
        names.setdefault(path, []).append(name)
    jobs = [(_key(attempt, same[0]), path, same[0]) for path, same in names.items()]
    parts = [(attempt.rows(number), path, path.name) for number, path in enumerate(rows)]
    saved = each(lambda job: _upload(store, *job), jobs + parts)
    store.settle([file.key for file in saved])
    files = [
        replace(file, path=name)
        for file, (_, path, _) in zip(saved, jobs, strict=False)
        for name in names[path]
    ]
    return Manifest(
        files=tuple(sorted(files, key=lambda file: file.path)),
        delivery=tuple(saved[len(jobs) :]),
        directories=contents.hollow,
    )


def commit(store: Store, attempt: Attempt, manifest: Manifest) -> str:
    """Write the manifest and give its SHA-256, by which the outcome names it."""
    data = encode(manifest)
    if not store.create(attempt.manifest, data) and store.get(attempt.manifest) != data:
        raise CorruptError(
            "the attempt already has another manifest",
            where=attempt.manifest,
            hint="see `foretell show` for the run",
        )
    return hashlib.sha256(data).hexdigest()


def _key(attempt: Attempt, name: str) -> str:
    """Return a file's object: named as the file, or by a hash where that is longer than stores take."""
    key = attempt.output(name)
    if len(key.encode()) <= LONGEST_KEY and all(
        len(part.encode()) <= LONGEST_PART for part in key.split("/")
    ):
        return key
    return attempt.output(f"{hashlib.sha256(name.encode()).hexdigest()}.file")


def _upload(store: Store, key: str, path: Path, name: str) -> File:
    """Upload a file; "exists" in a folder that we claimed is our own earlier try."""
    if path.stat().st_size <= PART:
        data = path.read_bytes()
        store.create(key, data, durable=False)
        return File(path=name, key=key, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    digest: list[str] = []
    hashing = threading.Thread(target=lambda: digest.append(_hash_file(path)))
    hashing.start()
    store.create_file(key, path)
    hashing.join()
    return File(path=name, key=key, sha256=digest[0], size=path.stat().st_size)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- from the store -----------------------------------------------------------------------------------------------


def manifest(store: Store, attempt: Attempt, digest: str) -> Manifest:
    """Read the manifest that an outcome names; CorruptError where it is missing or another."""
    data = store.get(attempt.manifest)
    if data is None or hashlib.sha256(data).hexdigest() != digest:
        raise CorruptError(
            "the manifest is not the one that the outcome names",
            where=attempt.manifest,
            why="it is missing" if data is None else "its SHA-256 differs from the outcome's",
            hint="restore it from a backup, or withdraw the run (`foretell withdraw`) and run the action again",
        )
    return decode(data, Manifest, attempt.manifest)


def load(store: Store, files: Iterable[File], into: Path) -> dict[Path, Placed]:
    """
    Place files below a directory, each verified while it is written; CorruptError where one is not what it was.

    A file is written aside and put in place by a rename, so it is never seen half. Gives what was placed.
    """
    jobs = [(file, _inside(into, file)) for file in files]
    for folder in {target.parent for _, target in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    each(lambda job: _download(store, *job), jobs)
    return {target: Placed.of(target) for _, target in jobs}


def _inside(root: Path, file: File) -> Path:
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise CorruptError(
            f'the manifest contains the path "{file.path}", which is outside of the output',
            where=file.key,
            hint="do not use this run: withdraw it with `foretell withdraw`",
        )
    return root.joinpath(*path.parts)


def _download(store: Store, file: File, target: Path) -> None:
    aside = target.with_name(f".{file.sha256[:16]}-{threading.get_ident()}.part")
    digest = hashlib.sha256()
    size = 0
    with aside.open("wb") as out:
        for part in store.chunks(file.key):
            _hash_and(out.write, digest.update, part)
            size += len(part)
    if digest.hexdigest() != file.sha256:
        aside.unlink()
        raise CorruptError(
            f'the stored object of "{file.path}" has changed',
            where=f"{store.url}/{file.key}",
            why=f"it has {size:,} bytes instead of {file.size:,}"
            if size != file.size
            else "its SHA-256 differs from the manifest's",
            hint="withdraw the run (`foretell withdraw`) and run its action again, or restore the object from a backup",
        )
    aside.replace(target)


def _hash_and(
    write: Callable[[memoryview], object], update: Callable[[memoryview], None], part: memoryview
) -> None:
    """Hash and write a part; a large one at the same time, for its hash takes longer than its writing."""
    if len(part) < PART:
        update(part)
        write(part)
        return
    hashing = threading.Thread(target=update, args=(part,))
    hashing.start()
    write(part)
    hashing.join()
