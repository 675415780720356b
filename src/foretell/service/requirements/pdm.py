"""pdm.lock as a requirements file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from foretell.service.requirements import pins
from foretell.service.requirements.graph import Edge, Package, walk
from foretell.service.requirements.groups import same
from foretell.service.requirements.pins import PinnedPackage, table_text, unreadable
from foretell.service.requirements.place import table

Table = Mapping[str, object]
AGAIN = "run `pdm lock` and commit what it writes"


def locked(lock: Table, pyproject: Table, *, path: str, base: str, groups: Sequence[str]) -> str:
    """
    Return what a pdm.lock holds of the default packages and of `groups`, by their normalized names.

    `base` is its directory, from where it is installed. EnvironmentFailedError where it does not fit the project.
    """
    held = lock.get("package")
    packages: list[Table] = (
        [one for one in held if isinstance(one, dict) and one.get("name")] if isinstance(held, list) else []
    )
    known = {same(str(one["name"])) for one in packages}
    roots = list(_roots(pyproject, groups))
    missing = [edge.name for edge in roots if edge.name not in known]
    if missing:
        raise unreadable(path, f'it lacks "{missing[0]}", which pyproject.toml requires', AGAIN)
    if packages and all("groups" in one for one in packages):
        wanted = {"default", *groups}
        reached = {
            place: table_text(one, "marker")
            for place, one in enumerate(packages)
            if wanted & {same(str(name)) for name in _list(one.get("groups"))}
        }
    else:
        reached = walk([_package(one, packages) for one in packages], roots)
    found = [
        PinnedPackage(what=_what(packages[place], base), marker=condition, hashes=_hashes(packages[place]))
        for place, condition in reached.items()
    ]
    return pins.text(_widest(found), dict.fromkeys(_indexes(pyproject)), source=path)


def _widest(found: Iterable[PinnedPackage]) -> Iterator[PinnedPackage]:
    """Join what stands there once more with an extra: one package, wherever one of the two is asked for."""
    by_name: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for pin in found:
        by_name.setdefault((pin.what, pin.hashes), []).append(pin.marker)
    for (what, hashes), markers in by_name.items():
        marker = "" if "" in markers else " or ".join(f"({one})" for one in dict.fromkeys(markers))
        yield PinnedPackage(what=what, marker=marker, hashes=hashes)


def _roots(pyproject: Table, groups: Iterable[str]) -> Iterator[Edge]:
    project = table(pyproject, "project")
    lists = [project.get("dependencies")]
    for where in (
        ("project", "optional-dependencies"),
        ("dependency-groups",),
        ("tool", "pdm", "dev-dependencies"),
    ):
        lists += [held for name, held in table(pyproject, *where).items() if same(name) in groups]
    for line in (line for held in lists for line in _list(held)):
        if edge := _edge(str(line)):
            yield edge


def _edge(line: str) -> Edge | None:
    try:
        found = Requirement(line.removeprefix("-e "))
    except InvalidRequirement:
        return None  # a path, or a group that includes another
    return Edge(
        name=same(found.name),
        allowed=(str(found.specifier),),
        extras=tuple(map(same, sorted(found.extras))),
        marker=str(found.marker or ""),
    )


def _package(one: Table, packages: Iterable[Table]) -> Package:
    """Return a package of a lock that does not say who requires it; one with extras stands there once more."""
    mine = [
        other
        for other in packages
        if other["name"] == one["name"] and other.get("version") == one.get("version")
    ]
    extras = {same(str(extra)): _edges(other, one) for other in mine for extra in _list(other.get("extras"))}
    return Package(
        name=same(str(one["name"])), version=table_text(one, "version"), edges=_edges(one, one), extras=extras
    )


def _edges(one: Table, less: Table) -> tuple[Edge, ...]:
    """Return what a package requires, less itself."""
    edges = (_edge(str(line)) for line in _list(one.get("dependencies")))
    return tuple(edge for edge in edges if edge and edge.name != same(str(less["name"])))


def _what(one: Table, base: str) -> str:
    name, folder = str(one["name"]), table_text(one, "subdirectory")
    if address := table_text(one, "git"):
        return pins.git(name, address, table_text(one, "revision") or table_text(one, "ref"), folder)
    if address := table_text(one, "url"):
        return f"{name} @ {address}"
    if path := table_text(one, "path"):
        return pins.local(path, base, folder)
    return f"{name}=={one.get('version')}"


def _hashes(one: Table) -> tuple[str, ...]:
    if one.get("git") or one.get("path"):
        return ()
    return pins.strong(each.get("hash") for each in _list(one.get("files")) if isinstance(each, dict))


def _indexes(pyproject: Table) -> Iterator[str]:
    """Return the options for the project's own indexes, beside the machine's."""
    for one in _list(table(pyproject, "tool", "pdm").get("source")):
        if not isinstance(one, dict) or urlsplit(table_text(one, "url")).hostname in (None, pins.PYPI):
            continue
        option = "--find-links" if one.get("type") == "find_links" else "--extra-index-url"
        yield f"{option} {table_text(one, 'url')}"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
