"""What an image is made of: the files of the service that belong in it, read and written as a build's context."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path, PurePosixPath

import msgspec
from msgspec.structs import replace

from foretell.errors import EnvironmentFailedError, UsageError
from foretell.images.recipe import CONVERTED, TEMPLATES, Ingredients
from foretell.images.wheel import AgentWheel
from foretell.service.model import LOCK_FILE, SERVICE_FILE, Service
from foretell.service.requirements import groups, needs
from foretell.service.requirements.steps import InstallStep, steps
from foretell.sources import ignore
from foretell.sources import tree as trees
from foretell.sources.copying import write_file
from foretell.sources.fingerprint import fingerprint
from foretell.sources.ignore import DOCKER_IGNORE, IGNORE_FILE
from foretell.sources.left_out import LeftOut, Reason, summed
from foretell.sources.tree import Entry, Tree

LARGE = 10 * 1024 * 1024
"""Bytes; a file that has more is in no image."""
PLACE = ".foretell"
"""Where Foretell's own parts are in a context: a name that no service has files under."""
OWN = frozenset({SERVICE_FILE, LOCK_FILE})
"""What says how runs are asked for. It is resolved at the start of each, and is in no image."""
NO_SOURCES = frozenset({*OWN, IGNORE_FILE, "dags.py", "README.md"})
"""What may lie there where a service is only started from."""
READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def scan(service: Service) -> Tree:
    """
    Find the files of the image: those of a run on this machine, less what Git or Docker ignores, or is too large.

    What is needed to install the requirements is in it whoever ignores it, and so is what "!" in .foretellignore names.
    """
    tree = trees.of(service)
    kept: list[Entry] = []
    left_out = list(tree.left_out)
    try:
        judge = _Judge(service, tree)
    except OSError as error:
        raise trees.unreadable(tree.root, error) from error
    for entry in tree.entries:
        if entry.path in OWN:
            continue
        why = judge.why_not(entry)
        if why is None:
            kept.append(entry)
        elif entry.kind != "directory":
            left_out.append(why)
    return replace(tree, entries=tuple(kept), left_out=summed(left_out))


class _Judge:
    """Decides of each entry of a tree whether an image has it."""

    def __init__(self, service: Service, tree: Tree) -> None:
        self._tree = tree
        self._named = ignore.named(tree.root)
        self._git = ignore.by_git(tree.root, tree.repositories)
        self._docker = ignore.by_docker(tree.root, service.image.dockerfile)
        self._needed = _needed(service, tree.root)

    def why_not(self, entry: Entry) -> LeftOut | None:
        """Say what keeps an entry out of an image, and None of one that is in it."""
        reason, path = self._reason(entry)
        return LeftOut(path=path, reason=reason, size=entry.size) if reason else None

    def _reason(self, entry: Entry) -> tuple[Reason | None, str]:
        path = entry.path
        if entry.kind == "link":
            return "linked", path
        if path not in self._needed and self._named(path) is not False:
            if found := self._git(path):
                return "git", found
            if found := self._docker(path):
                return "docker", found
        if entry.kind == "copy" and entry.size > LARGE:
            return "large", path
        if entry.kind == "symlink" and not _stays(self._tree.root, entry):
            return "outside", path
        return None, path


def _needed(service: Service, root: Path) -> frozenset[str]:
    """List the files that say what is installed; where one is missing, `read` tells."""
    try:
        files, _ = needs.files(service.source, root)
    except EnvironmentFailedError:
        return frozenset()
    return frozenset(os.path.relpath(path, root) for path in files)


def is_here(service: Service, tree: Tree) -> bool:
    """Whether the sources are here, so that an image can be compared with them or made from them."""
    if not (service.root / service.source.path).is_dir():
        return False
    locked = (service.root / LOCK_FILE).exists()
    return not locked or any(entry.path not in NO_SOURCES for entry in tree.entries)


def read(service: Service, tree: Tree) -> Ingredients:
    """Read what the recipe depends on; UsageError where the user's Dockerfile is missing."""
    files: tuple[Path, ...] = ()
    whole, calls, options = False, tuple[InstallStep, ...](), tuple[str, ...]()
    source = service.source
    if service.image.dockerfile is None:
        files, whole = needs.files(source, tree.root)
        calls = tuple(steps([tree.root / name for name in source.requirements], tree.root, source.groups))
        if source.locked is not None:
            options = tuple(groups.options(tree.root / source.locked / "pyproject.toml", source.groups))
    return Ingredients(
        sources=fingerprint(tree),
        requirements=tuple(path.relative_to(tree.root).as_posix() for path in files),
        steps=calls,
        options=options,
        whole=whole,
        own=_own_dockerfile(service),
        running=(sys.version_info.major, sys.version_info.minor),
    )


def write(into: Path, tree: Tree, ingredients: Ingredients, agent: AgentWheel, dockerfile: str) -> None:
    """Write the context of a build into a directory that is empty: the Dockerfile, and all that it copies."""
    place = into / PLACE
    stage = place / "agent"
    stage.mkdir(parents=True)
    (stage / agent.name).write_bytes(agent.wheel)
    (stage / "requirements.txt").write_text(agent.requirements)
    shutil.copyfile(TEMPLATES / "assemble.py", stage / "assemble.py")
    _copy(tree, place / "service")
    for number, step in enumerate(ingredients.steps):
        if step.text:
            (place / CONVERTED).mkdir(exist_ok=True)
            (place / CONVERTED / f"{number}.txt").write_text(step.text)
    if ingredients.own is not None:
        _copy(tree, into)
        (into / DOCKER_IGNORE).unlink(
            missing_ok=True
        )  # what is here is chosen already, and it may name our place
    elif not ingredients.whole:
        (place / "requirements").mkdir()
        for name in ingredients.requirements:
            to = place / "requirements" / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree.root / name, to)
    (into / "Dockerfile").unlink(missing_ok=True)  # the user's own: its text is in ours
    (into / "Dockerfile").write_text(dockerfile)


def _stays(root: Path, entry: Entry) -> bool:
    """Return whether a symlink leads to something inside of the tree."""
    goal = PurePosixPath(entry.target)
    return not goal.is_absolute() and (root / entry.path).parent.joinpath(goal).exists()


def _own_dockerfile(service: Service) -> str | None:
    named = service.image.dockerfile
    if named is None:
        return None
    try:
        return (service.root / named).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f'the Dockerfile "{named}" cannot be read',
            where=str(service.root / named),
            why=str(error),
            hint="mend [image] dockerfile, or leave it out: one is made",
        ) from error


def _copy(tree: Tree, into: Path) -> None:
    into.mkdir(exist_ok=True)
    for entry in tree.entries:
        to = into / entry.path
        to.parent.mkdir(parents=True, exist_ok=True)
        match entry.kind:
            case "copy":
                # whoever the container runs as has to read it
                write_file((tree.root / entry.path).read_bytes(), to, entry.mode | READABLE, entry.mtime)
            case "directory":
                to.mkdir(exist_ok=True)
            case "symlink":
                to.symlink_to(entry.target)
            case "link":
                raise AssertionError(msgspec.to_builtins(entry))
