"""What a service's directory says by itself: source, Python, packages, the usual command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from posixpath import normpath

from foretell.service.context import ResolveContext
from foretell.service.model import LOCK_FILE, Action, Source
from foretell.service.positions import KeyPath
from foretell.service.problems import Faults, suggestion
from foretell.service.reader import Given
from foretell.service.requirements import declared, groups, wishes
from foretell.service.requirements.foreign import FOREIGN
from foretell.service.requirements.place import Place, listed


def source(site: ResolveContext) -> Source:
    """Resolve the source: what the file says, else what the directories hold."""
    given: Given = site.given.get("source", {})
    root, faults = site.service.root, site.faults
    here = Place(root, ".")
    path = _path(given.get("path"), here, faults)
    link = _linked(given.get("link", ()), root, faults)
    if given.get("python") is False:
        return _bare(given, path, link, faults)
    places = [here] if path == here.name else [Place(root, path), here]
    commands = [
        command
        for action in site.actions.values()
        for command in (action.get("command"), *action.get("commands", ()))
        if command
    ]
    asked = given.get("groups", ())
    if "requirements" in given:
        requirements, locked = _required(given["requirements"], root, faults)
    else:
        requirements, locked = _found(places, declared.scripts_of(commands), asked)
    taken = requirements if locked is None else (f"{locked}/uv.lock",)
    return Source(
        path=path,
        python=_python(given.get("python"), places, taken, faults),
        requirements=requirements,
        locked=locked,
        link=link,
        groups=_groups(asked, taken, root, faults),
    )


def _bare(given: Given, path: str, link: tuple[str, ...], faults: Faults) -> Source:
    """Return a source that needs no Python: commands find what is on the PATH."""
    for key in ("requirements", "groups"):
        if given.get(key):
            faults.add(("source", key), f'python = false creates no environment, so "{key}" would be ignored')
    return Source(path=path, link=link, environment=False)


def inside(path: str, key: KeyPath, faults: Faults, *, below: str = "the directory of this file") -> bool:
    """Tell whether a path stays where it belongs, and a fault if it does not."""
    if not path.strip() or "\0" in path:
        faults.add(key, f'"{key[-1]}" must be a path')
    elif path.startswith("/") or "\\" in path or ".." in path.split("/"):
        faults.add(key, f'the path "{path}" must stay inside {below}: relative, with / and without ".."')
    else:
        return True
    return False


def apart(source: Source, actions: Iterable[Action], faults: Faults) -> None:
    """Add a fault for a link that an output or an input would be written into, or that hides it."""
    for number, link in enumerate(source.link):
        for action in actions:
            for place in (action.output, *(item.path for item in action.inputs)):
                if link.startswith(f"{normpath(place)}/") or f"{normpath(place)}/".startswith(f"{link}/"):
                    fault = f'"{link}" is linked, and "{action.name}" writes to "{place}"'
                    faults.add(
                        ("source", "link", number), f"{fault}: the next run would still have its files"
                    )


def mains(root: Path, source: Source) -> list[str]:
    """Return the modules that can be run as the model: one for every package that has a main."""
    packages = [(package.name, listed(package)) for package in sorted(_directories(root / source.path))]
    own = [name for name, files in packages if "__main__.py" in files]
    main = [f"{name}.main" for name, files in packages if "main.py" in files]
    return [*own, *(module for module in main if module.removesuffix(".main") not in own)]


def usual_command(root: Path, module: str, action: str) -> tuple[str, ...]:
    """Return the command of a model that is this module, after the convention of arguments."""
    command = ("python", "-m", module, "--action", "{action}")
    config = (root / "configs" / f"{action}.json").is_file()
    return (*command, "--config", "configs/{action}.json") if config else command


def _path(given: str | None, here: Place, faults: Faults) -> str:
    if given is None:
        return "source" if here.has("source", directory=True) else here.name
    key, path = ("source", "path"), given or here.name
    if not inside(path, key, faults):
        return "."
    if not _there(here.root, path, directory=True):
        mend = 'fetch a submodule with "git submodule update --init"'
        faults.add(key, f'no directory "{path}" beside this file; {mend}')
        return "."
    return str(PurePosixPath(path))


def _linked(paths: tuple[str, ...], root: Path, faults: Faults) -> tuple[str, ...]:
    for number, path in enumerate(paths):
        key = ("source", "link", number)
        if not inside(path, key, faults):
            continue
        if normpath(path) == ".":
            faults.add(key, "the whole directory cannot be linked; name only what is too large to copy")
        elif not (_there(root, path) or _there(root, path, directory=True)):
            faults.add(key, f'no file or directory "{path}" beside this file')
    return tuple(map(normpath, paths))


def _directories(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            return [path / entry.name for entry in entries if entry.name.isidentifier() and entry.is_dir()]
    except OSError:
        return []


def _there(root: Path, path: str, *, directory: bool = False) -> bool:
    place = root / path
    try:
        return (place.is_dir() if directory else place.is_file()) or _is_built(root)
    except OSError:
        return False


def _is_built(root: Path) -> bool:
    """Tell whether images are made already: then neither the sources nor what they need have to be here."""
    return (root / LOCK_FILE).is_file()


def _found(
    places: Sequence[Place], scripts: Sequence[str], groups: tuple[str, ...]
) -> tuple[tuple[str, ...], str | None]:
    """Return the requirement files that are there, or the directory of a locked project."""
    found = declared.look(places, scripts)
    if not found.requirements and found.locked is None and groups:
        # nothing but groups is declared
        projects = (place.inner("pyproject.toml") for place in places if place.has("pyproject.toml"))
        return tuple(projects)[:1], None
    return found.requirements, found.locked


def _required(names: tuple[str, ...], root: Path, faults: Faults) -> tuple[tuple[str, ...], str | None]:
    """Return the requirement files that the file names, or the directory of a locked project."""
    for number, name in enumerate(names):
        key = ("source", "requirements", number)
        if not inside(name, key, faults):
            continue
        if mend := FOREIGN.get(PurePosixPath(name).name):
            faults.add(key, f'"{name}" cannot be read as a requirement file; {mend}')
        elif not _there(root, name):
            faults.add(key, f'no requirement file "{name}" beside this file')
    match [PurePosixPath(name) for name in names]:
        case [path] if path.name == "uv.lock":
            return (), str(path.parent)
        case paths if any(path.name == "uv.lock" for path in paths):
            faults.add(
                ("source", "requirements"), "uv.lock must stand alone: it lists everything that is installed"
            )
        case _:
            pass
    return names, None


def _groups(asked: tuple[str, ...], taken: Sequence[str], root: Path, faults: Faults) -> tuple[str, ...]:
    """Return the groups that are asked for besides; a fault for one that nobody knows."""
    if not asked:
        return ()
    known = {name for path in taken for name in groups.known(root / path)}
    for number, name in enumerate(asked):
        if groups.same(name) in known or _is_built(root):
            continue
        where = " and ".join(str(PurePosixPath(path)) for path in taken)
        none = (
            f"{where} has none; name the file that has it in requirements"
            if taken
            else "no file here declares groups"
        )
        why = suggestion(name, known) if known else f"; {none}"
        faults.add(("source", "groups", number), f'unknown group "{name}"{why}')
    return tuple(map(groups.same, asked))


def _python(
    given: str | bool | None,
    places: Sequence[Place],
    taken: Sequence[str],
    faults: Faults,
) -> str | None:
    if isinstance(given, bool):
        if given:
            faults.add(
                ("source", "python"), '"python" must be a version, or false for no environment; write "3.11"'
            )
        return None
    if given is not None:
        if not any(mark.isdigit() for mark in given) or not given.isprintable():
            faults.add(
                ("source", "python"), f'"python" is not a version: "{given}"; write "3.11" or ">=3.11"'
            )
        return given
    lines = [line.strip() for place in places for line in place.text(".python-version").splitlines()]
    said = [line for line in lines if line and not line.startswith("#")]
    return said[0] if said else wishes.python(places, taken)
