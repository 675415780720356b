"""What the user's own words say of a path: .foretellignore, Git's, Docker's."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from posixpath import normpath
from subprocess import DEVNULL, PIPE, run
from typing import TypeAlias

IGNORE_FILE = ".foretellignore"
DOCKER_IGNORE = ".dockerignore"
GIT_IGNORE = ".gitignore"
READ_ONLY = ("--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false")
"""So that Git answers whoever asks, also of somebody else's clone, and runs no program that the clone names."""
LISTING = ("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")

Rule: TypeAlias = Callable[[str], bool | None]
"""
Of a path relative to the root ("data/raw/" with a final slash for a directory): True, it is left out; False, a "!"
pattern names it, so it is not; None, no pattern names it.
"""
Finder: TypeAlias = Callable[[str], str | None]
"""Return for a file's path what of it is ignored: the path itself, or a directory above it with a final slash."""


def named(root: Path) -> Rule:
    """Return what .foretellignore, in the syntax of .gitignore, says of paths."""
    return _rule(_text(root / IGNORE_FILE))


def by_git(root: Path, repositories: Collection[str]) -> Finder:
    """
    Return what Git ignores: nothing outside of a repository, or below a directory that one ignores as a whole.

    `repositories` are the directories below the root that have a .git of their own, "" for the root itself. Where Git
    is not there, or does not know the repository any more, its .gitignore files alone decide.
    """
    ignored: set[str] = set()
    lost: list[tuple[str, Rule]] = []
    outer = "" not in repositories and any((folder / ".git").exists() for folder in root.parents)
    if outer and _git(root, "check-ignore", "--quiet", "--", ".") is not None:
        outer = False
    for place in [*([""] if outer else []), *sorted(repositories)]:
        listed = _git(root / place, *LISTING)
        if listed is None:
            lost += _gitignores(root, place)
        else:
            prefix = f"{place}/" if place else ""
            ignored |= {prefix + os.fsdecode(path) for path in listed.split(b"\0") if path}

    def find(path: str) -> str | None:
        above = [f"{folder}/" for folder in _above(path)]
        return next((one for one in (*above, path) if one in ignored or _says(lost, one)), None)

    return find


def by_docker(root: Path, dockerfile: str | None) -> Finder:
    """Return what .dockerignore, or the one that is named after the Dockerfile, keeps out of a build's context."""
    own = _text(root / f"{dockerfile}{DOCKER_IGNORE}") if dockerfile else None
    text = own if own is not None else _text(root / DOCKER_IGNORE)
    patterns = list(_docker_patterns(text or ""))

    def is_ignored(path: str) -> bool:
        matched = False
        names = [path, *_above(path)]
        for pattern, negated in patterns:
            if negated == matched and any(map(pattern.match, names)):
                matched = not negated
        return matched

    def find(path: str) -> str | None:
        if not is_ignored(path):
            return None
        # a directory is told as one where no "!" can bring back what is in it
        whole = (f"{folder}/" for folder in _above(path) if is_ignored(folder))
        return path if any(negated for _, negated in patterns) else next(whole, path)

    return find if patterns else lambda _path: None


def _rule(text: str | None) -> Rule:
    if text is None:
        return lambda _path: None
    # it takes 30 ms to load, which only those pay who have patterns
    from pathspec import GitIgnoreSpec

    spec = GitIgnoreSpec.from_lines(text.splitlines())

    def rule(path: str) -> bool | None:
        return spec.check_file(path).include

    return rule


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _above(path: str) -> list[str]:
    """List the directories above a path, the uppermost first."""
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


# --- Git --------------------------------------------------------------------------------------------------------------


def _git(place: Path, *arguments: str) -> bytes | None:
    """Return what Git says in a directory, and None where it ends otherwise than well."""
    # what a hook of another repository has in its environment is not about this one
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        said = run(
            ["git", *READ_ONLY, *arguments],
            cwd=place,
            env=environ,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            check=False,
        )
    except OSError:
        return None
    return said.stdout if said.returncode == 0 else None


def _gitignores(root: Path, place: str) -> Iterator[tuple[str, Rule]]:
    """Return the rules of the .gitignore files below a directory, each with where it holds; the nearest last."""
    for folder, folders, files in os.walk(root / place):
        folders[:] = sorted(set(folders) - {".git"})
        if GIT_IGNORE in files:
            where = os.path.relpath(folder, root)
            yield ("" if where == "." else f"{where}/"), _rule(_text(Path(folder, GIT_IGNORE)))


def _says(rules: Iterable[tuple[str, Rule]], path: str) -> bool:
    """Return what the nearest rule that has an opinion says of a path."""
    said = [rule(path[len(where) :]) for where, rule in rules if path.startswith(where) and path != where]
    return next((one for one in reversed(said) if one is not None), False)


# --- Docker -----------------------------------------------------------------------------------------------------------


def _docker_patterns(text: str) -> Iterator[tuple[re.Pattern[str], bool]]:
    """Return each line's pattern, as Docker reads it, and whether it is an exception."""
    for line in text.splitlines():
        pattern = "" if line.startswith("#") else line.strip()
        negated = pattern.startswith("!")
        pattern = pattern.removeprefix("!").strip()
        if pattern:
            yield _docker_pattern(normpath(pattern).lstrip("/")), negated


def _docker_pattern(pattern: str) -> re.Pattern[str]:
    parts = re.findall(r"\*\*/?|\*|\?|\\.|\[[^]]*\]|.", pattern, re.DOTALL)
    written = ""
    rest = pattern
    for part in parts:
        rest = rest[len(part) :]
        if part.startswith("**"):
            written += "(?:.*/)?" if rest else ".*"
        elif part == "*":
            written += "[^/]*"
        elif part == "?":
            written += "[^/]"
        elif part.startswith("[") and len(part) > 1:
            written += part.replace("\\", "\\\\")
        else:
            written += re.escape(part[-1])
    try:
        return re.compile(f"{written}\\Z", re.DOTALL)
    except re.error:
        return re.compile(re.escape(pattern) + "\\Z")
