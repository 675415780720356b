"""The calls of an installer for what a model needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from foretell.service.requirements import groups as naming
from foretell.service.requirements.convert import converted


class InstallStep(Struct, frozen=True, kw_only=True):
    """
    One call of an installer: `files`, relative, or the `text` of a requirements file that stands for another kind.

    `complete` means that all there is to install is named. `for_pip` says whether pip reads it as well.
    """

    files: tuple[str, ...] = ()
    text: str = ""
    options: tuple[str, ...] = ()
    complete: bool = False
    for_pip: bool = True


def steps(requirements: Sequence[Path], root: Path, groups: Sequence[str]) -> list[InstallStep]:
    """Return the calls of an installer for these files; EnvironmentFailedError where a lock cannot be read."""
    plain: list[str] = []
    others: list[InstallStep] = []
    options: list[str] = []
    for path in requirements:
        name = os.path.relpath(path, root)
        if made := converted(path, root, groups):
            others.append(InstallStep(text=made[0], complete=made[1]))
        elif path.name == "pylock.toml":
            others.append(InstallStep(files=(name,), options=tuple(_of_pylock(path, groups)), for_pip=False))
        else:
            plain.append(name)
            options += _of_project(path, name, groups) if path.name == "pyproject.toml" else []
    for_pip = not any(path.suffix in (".toml", ".py", ".cfg") for path in map(Path, plain))
    return (
        [InstallStep(files=tuple(plain), options=tuple(options), for_pip=for_pip), *others]
        if plain
        else others
    )


def _of_project(path: Path, name: str, groups: Sequence[str]) -> Iterator[str]:
    options = list(naming.options(path, groups))
    for option, value in zip(options[::2], options[1::2], strict=True):
        yield from (option, value if option == "--extra" else f"{name}:{value}")


def _of_pylock(path: Path, groups: Sequence[str]) -> Iterator[str]:
    extras = naming.toml(path).get("extras")
    named = {naming.same(str(name)) for name in extras} if isinstance(extras, list) else set()
    for name in groups:
        yield from ("--extra" if name in named else "--group", name)
