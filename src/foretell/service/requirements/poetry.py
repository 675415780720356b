"""poetry.lock, and the requirements of a [tool.poetry] without one, as a requirements file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from foretell.service.requirements import pins
from foretell.service.requirements.graph import Edge, Package, walk
from foretell.service.requirements.groups import same
from foretell.service.requirements.pins import PinnedPackage, table_text, unreadable
from foretell.service.requirements.place import table
from foretell.service.requirements.versions import UnclearError, alternatives, marker, specifiers

Table = Mapping[str, object]
AGAIN = "run `poetry lock` and commit what it writes"


def locked(lock: Table, pyproject: Table, *, path: str, base: str, groups: Sequence[str]) -> str:
    """
    Return what a poetry.lock holds of the main packages and of `groups`, groups or extras by their normalized names.

    `base` is its directory, from where it is installed. EnvironmentFailedError where it does not fit the project.
    """
    packages = [one for one in _tables(lock.get("package")) if one.get("name")]
    named = (
        *table(pyproject, "tool", "poetry", "extras"),
        *table(pyproject, "project", "optional-dependencies"),
    )
    extras = [name for name in map(same, named) if name in groups]
    roots = list(_roots(pyproject, groups, extras))
    known = {same(str(one["name"])) for one in packages}
    missing = [edge.name for edge in roots if edge.name not in known]
    if missing:
        raise unreadable(path, f'it lacks "{missing[0]}", which pyproject.toml requires', AGAIN)
    if packages and all("groups" in one for one in packages):
        reached = _by_group(packages, {"main", *groups})
    else:
        several = {name for name, count in Counter(one["name"] for one in packages).items() if count > 1}
        reached = walk([_package(one, parts=one["name"] in several) for one in packages], roots)
    files = table(lock, "metadata", "files")
    held = [
        PinnedPackage(
            what=_what(packages[place], base),
            marker=pins.with_extras(condition, extras),
            hashes=_hashes(packages[place], files),
        )
        for place, condition in reached.items()
    ]
    return pins.text(held, dict.fromkeys(_indexes(packages)), source=path)


def unlocked(pyproject: Table, *, path: str, base: str, groups: Sequence[str]) -> str:
    """Return what a [tool.poetry] without a lock asks for."""
    sources = _tables(table(pyproject, "tool", "poetry").get("source"))
    addresses = [table_text(one, "url") for one in sources]
    lines = [f"--extra-index-url {address}" for address in addresses if address]
    for name, asked in _asked(pyproject, groups):
        for said in _tables(asked) if isinstance(asked, list) else [asked]:
            try:
                lines.append(_requirement(name, said, base))
            except UnclearError as error:
                raise unreadable(path, f"of {name}: {error}", AGAIN) from error
    return "\n".join([f"# What {path} asks for.", *lines]) + "\n"


# --- what the project asks for ----------------------------------------------------------------------------------------


def _asked(pyproject: Table, groups: Iterable[str]) -> Iterator[tuple[str, object]]:
    """Return names, and what is said of them, of the main group, and of others that are asked for."""
    poetry = table(pyproject, "tool", "poetry")
    extras = [names for extra, names in table(poetry, "extras").items() if same(extra) in groups]
    optional = {name for names in extras for name in _names(names)}
    for name, asked in table(poetry, "dependencies").items():
        if name != "python" and (not _is_optional(asked) or same(name) in optional):
            yield name, asked
    for group, held in table(poetry, "group").items():
        if same(group) in groups:
            yield from table(held, "dependencies").items()
    if "dev" in groups:
        yield from table(poetry, "dev-dependencies").items()


def _roots(pyproject: Table, groups: Iterable[str], extras: Iterable[str]) -> Iterator[Edge]:
    for name, asked in _asked(pyproject, groups):
        for one in _tables(asked) if isinstance(asked, list) else [asked]:
            yield _edge(name, one)
    project = table(pyproject, "project")
    optional = table(project, "optional-dependencies")
    lists = [project.get("dependencies"), *(held for name, held in optional.items() if same(name) in extras)]
    lists += [held for name, held in table(pyproject, "dependency-groups").items() if same(name) in groups]
    for line in (line for held in lists if isinstance(held, list) for line in held):
        try:
            found = Requirement(str(line))
        except InvalidRequirement:
            continue  # a group that includes another, or what poetry itself refuses
        yield Edge(
            name=same(found.name),
            allowed=(str(found.specifier),),
            extras=tuple(sorted(found.extras)),
            marker=str(found.marker or ""),
        )


def _is_optional(asked: object) -> bool:
    return isinstance(asked, dict) and bool(asked.get("optional"))


def _edge(name: str, asked: object) -> Edge:
    said: Table = asked if isinstance(asked, dict) else {"version": asked}
    wish = table_text(said, "version") or "*"
    extras = said.get("extras")
    try:
        allowed = tuple(alternatives(wish))
    except UnclearError:
        allowed = ("",)
    return Edge(
        name=same(name),
        allowed=allowed,
        extras=tuple(map(same, extras)) if isinstance(extras, list) else (),
        marker=_marker(said),
    )


def _marker(said: Table) -> str:
    """Return the marker of what is said of a requirement: its own, its Python, its platform."""
    found = [table_text(said, "markers")]
    if python := table_text(said, "python"):
        found.append(marker(python))
    if platform := table_text(said, "platform"):
        found.append(f'sys_platform == "{platform}"')
    found = [one for one in found if one]
    return found[0] if len(found) == 1 else " and ".join(f"({one})" for one in found)


def _requirement(name: str, asked: object, base: str) -> str:
    """Return the line of a requirement that is not locked."""
    said: Table = asked if isinstance(asked, dict) else {"version": asked}
    extras = said.get("extras")
    full = f"{name}[{','.join(extras)}]" if isinstance(extras, list) and extras else name
    folder = table_text(said, "subdirectory")
    if address := table_text(said, "git"):
        at = next((table_text(said, key) for key in ("rev", "tag", "branch") if said.get(key)), "HEAD")
        what = pins.git(full, address, at, folder)
    elif address := table_text(said, "url"):
        what = f"{full} @ {address}"
    elif path := table_text(said, "path") or table_text(said, "file"):
        what = pins.local(path, base, folder)
    else:
        what = f"{full}{specifiers(table_text(said, 'version') or '*')}"
    return PinnedPackage(what=what, marker=_marker(said)).line()


# --- what is locked ---------------------------------------------------------------------------------------------------


def _by_group(packages: Sequence[Table], groups: set[str]) -> dict[int, str]:
    """Return the marker of each package that is of one of the groups; newer locks say it of each."""
    found = {}
    for place, one in enumerate(packages):
        named = one.get("groups")
        mine = [str(name) for name in named if same(str(name)) in groups] if isinstance(named, list) else []
        said = one.get("markers")
        if not mine:
            continue
        if isinstance(said, dict):
            by_group = [table_text(said, name) for name in mine]
            found[place] = "" if "" in by_group else " or ".join(f"({one})" for one in by_group)
        else:
            found[place] = said if isinstance(said, str) else ""
    return found


def _package(one: Table, *, parts: bool) -> Package:
    """
    Return a package of an older lock, which says what it requires and not who requires it.

    `parts` says that it is one of several versions, which part the interpreters among them.
    """
    edges: list[Edge] = []
    optional: dict[str, list[Edge]] = {}
    for name, asked in table(one, "dependencies").items():
        for said in _tables(asked) if isinstance(asked, list) else [asked]:
            if _is_optional(said):
                optional.setdefault(same(name), []).append(_edge(name, _without_extra(said)))
            else:
                edges.append(_edge(name, said))
    extras = {
        same(extra): tuple(edge for name in _names(named) for edge in optional.get(name, ()))
        for extra, named in table(one, "extras").items()
    }
    return Package(
        name=same(str(one["name"])),
        version=str(one.get("version", "")),
        edges=tuple(edges),
        extras=extras,
        marker=_of_python(one) if parts else "",
    )


def _of_python(one: Table) -> str:
    try:
        return marker(table_text(one, "python-versions") or "*")
    except UnclearError:
        return ""


def _without_extra(said: object) -> object:
    """Leave out of a marker which extra asks for it, since the extra's own list says so."""
    if not isinstance(said, dict):
        return said
    return {**said, "markers": pins.EXTRA.sub(pins.ALWAYS, table_text(said, "markers"))}


def _names(named: object) -> list[str]:
    """Return the names in a list of requirements such as "socks (>=1.5,<2)"."""
    return (
        [same(str(name).partition(" ")[0].partition("[")[0]) for name in named]
        if isinstance(named, list)
        else []
    )


def _what(one: Table, base: str) -> str:
    name, source = str(one["name"]), table(one, "source")
    address, folder = table_text(source, "url"), table_text(source, "subdirectory")
    match source.get("type"):
        case "git":
            at = table_text(source, "resolved_reference") or table_text(source, "reference")
            return pins.git(name, address, at, folder)
        case "url":
            return f"{name} @ {address}"
        case "directory" | "file":
            return pins.local(address, base, folder)
        case _:
            return f"{name}=={one.get('version')}"


def _hashes(one: Table, files: Table) -> tuple[str, ...]:
    if table(one, "source").get("type") in ("git", "directory"):
        return ()
    held = one.get("files") or files.get(str(one["name"]))
    return pins.strong(each.get("hash") for each in _tables(held))


def _indexes(packages: Iterable[Table]) -> Iterator[str]:
    """Return the options for the indexes that packages were locked from, beside the machine's own."""
    for one in packages:
        source = table(one, "source")
        address = table_text(source, "url")
        if source.get("type") == "legacy" and urlsplit(address).hostname != pins.PYPI:
            yield f"--extra-index-url {address}"


def _tables(value: object) -> list[Table]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
