"""Pipfile.lock as a requirements file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from foretell.service.requirements import pins
from foretell.service.requirements.groups import DEVELOP, same
from foretell.service.requirements.pins import PinnedPackage, table_text
from foretell.service.requirements.place import table

Table = Mapping[str, object]
VCS = ("git", "hg", "svn", "bzr")


def locked(lock: Table, *, path: str, base: str, groups: Sequence[str]) -> str:
    """
    Return what a Pipfile.lock holds of the default packages and of `groups`, its categories by normalized names.

    `base` is its directory, relative to where it is installed.
    """
    wanted = {"default", *(DEVELOP.get(name, name) for name in groups)}
    held = [
        _pin(name, said, base)
        for category, packages in lock.items()
        if same(category) in wanted and isinstance(packages, dict)
        for name, said in packages.items()
    ]
    return pins.text(held, _indexes(table(lock, "_meta")), source=path)


def _pin(name: str, said: object, base: str) -> PinnedPackage:
    one: Table = said if isinstance(said, dict) else {"version": said}
    hashes = one.get("hashes")
    digests = pins.strong(hashes) if isinstance(hashes, list) else ()
    folder, marker = table_text(one, "subdirectory"), table_text(one, "markers")
    kind = next((kind for kind in VCS if one.get(kind)), None)
    if kind == "git":
        return PinnedPackage(
            what=pins.git(name, table_text(one, kind), table_text(one, "ref") or "HEAD", folder),
            marker=marker,
        )
    if kind:
        return PinnedPackage(what=f"{name} @ {kind}+{one[kind]}@{table_text(one, 'ref')}", marker=marker)
    address = table_text(one, "file") or table_text(one, "path")
    if "://" in address:
        return PinnedPackage(what=f"{name} @ {address}", marker=marker, hashes=digests)
    if address:
        return PinnedPackage(what=pins.local(address, base, folder), marker=marker)
    version = table_text(one, "version")
    return PinnedPackage(
        what=name if version in ("", "*") else f"{name}{version}", marker=marker, hashes=digests
    )


def _indexes(meta: Table) -> Iterator[str]:
    """Return the options for its sources: the first is the default one, and PyPI is what the machine takes for it."""
    sources = meta.get("sources")
    addresses = (
        [table_text(one, "url") for one in sources if isinstance(one, dict)]
        if isinstance(sources, list)
        else []
    )
    for place, address in enumerate(addresses):
        is_pypi = urlsplit(address).hostname == pins.PYPI
        if place == 0 and not is_pypi:
            yield f"--index-url {address}"
        elif place > 0 and not (is_pypi and urlsplit(addresses[0]).hostname == pins.PYPI):
            yield f"--extra-index-url {address}"
