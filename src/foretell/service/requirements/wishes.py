"""Which version of Python a project asks for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import PurePosixPath

from foretell.service.requirements.place import Place, table
from foretell.service.requirements.versions import UnclearError, specifiers

SAYS = re.compile(
    r"""^(?:# )?(?:requires-python|python_requires)\s*=\s*["']?([^"'\n]+?)["']?\s*$""", re.MULTILINE
)


def python(places: Sequence[Place], taken: Sequence[str]) -> str | None:
    """Return the version or specifiers that the projects ask for, or else the file that is taken; None for none."""
    asked = [place.project.get("requires-python") for place in places]
    asked += [_of_poetry(place) for place in places if place.poetry]
    asked += [_of_file(place, path) for path in taken for place in places if _is_of(place, path)]
    return next((wish for wish in asked if isinstance(wish, str) and wish), None)


def _is_of(place: Place, path: str) -> bool:
    return str(PurePosixPath(path).parent) == place.name


def _of_poetry(place: Place) -> str | None:
    wish = table(place.poetry, "dependencies").get("python")
    try:
        return specifiers(wish) or None if isinstance(wish, str) else None
    except UnclearError:
        return None


def _of_file(place: Place, path: str) -> str | None:
    """Return what a lock file, a script or setup.cfg says of it."""
    name = PurePosixPath(path).name
    if name == "Pipfile.lock":
        try:
            asked = table(tomllib.loads(place.text("Pipfile")), "requires")
        except (ValueError, RecursionError):
            return None
        wish = asked.get("python_full_version") or asked.get("python_version")
        return wish if isinstance(wish, str) else None
    if name in ("setup.py", "setup.cfg"):
        found = SAYS.search(place.text("setup.cfg"))
    elif name == "pylock.toml" or name.endswith(".py"):
        found = SAYS.search(place.text(name))
    else:
        return None
    return found[1] if found else None
