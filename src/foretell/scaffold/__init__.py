"""A service's first files: around the repository at hand, around a model elsewhere, or with a tiny model of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from foretell.errors import UsageError
from foretell.scaffold.commands import LEFT_OUT, SOURCE, find
from foretell.scaffold.configs import CONFIGS, bring
from foretell.scaffold.packages import packages
from foretell.scaffold.text import FILE, describe, notes, slug

DAGS = "dags.py"
"""What Airflow reads."""
TEMPLATE = Path(__file__).parent / "template"
NAME = "example-service"
"""The service's name in the template."""
WELCOME = frozenset({".git", ".gitignore", ".gitattributes", ".github", "README.md", "LICENSE", "LICENSE.md"})
"""What may be in a directory already in which a service is made: a repository that was just begun."""


class Made(Struct, frozen=True, kw_only=True):
    """What was written, relative to `directory`; `first` is the action to run first, None where its command lacks."""

    directory: Path
    files: tuple[str, ...]
    notes: tuple[str, ...]
    first: str | None = "training"


def adopt(directory: Path) -> Made:
    """Add a foretell.toml to a repository, with the commands found in it. Nothing that is there is changed."""
    _must_be_new(directory)
    found = find(directory)
    files = [_write(directory, FILE, describe(directory.resolve().name, found))]
    if not (directory / DAGS).exists():
        files.append(_write(directory, DAGS, (TEMPLATE / DAGS).read_text(encoding="utf-8")))
    told = [*notes(found), *packages(directory, found)]
    if _in_repository(directory) and not _ignored(directory):
        if (directory / ".gitignore").exists():
            told.append('add ".foretell/" to .gitignore: runs and their files are kept there')
        else:
            files.append(_write(directory, ".gitignore", ".foretell/\n"))
    return Made(directory=directory, files=tuple(files), notes=tuple(told), first=found.first)


def create(directory: Path, model: str | None) -> Made:
    """Make a service in a new directory: around a model, a path or Git URL, or with a tiny one of its own."""
    _must_be_new(directory)
    strange = sorted({path.name for path in directory.iterdir()} - WELCOME) if directory.is_dir() else []
    if strange:
        raise UsageError(
            f'the directory "{directory}" is not empty',
            why=f"it holds {', '.join(strange[:5])}",
            hint="choose a new one, or go there and `foretell init` to adopt what it holds",
        )
    fresh = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return _around(directory, model) if model else _complete(directory)
    except OSError as error:
        raise UsageError(
            f'"{error.filename or directory}" cannot be written',
            why=error.strerror or str(error),
            hint="choose another place",
        ) from error
    except UsageError:
        if fresh:
            shutil.rmtree(directory, ignore_errors=True)
        raise


def _must_be_new(directory: Path) -> None:
    if (directory / FILE).exists():
        raise UsageError(
            f'there is a "{FILE}" already',
            where=str(directory),
            hint="edit it; `foretell schema` knows every key",
        )


# --- with a tiny model ------------------------------------------------------------------------------------------------


def _complete(directory: Path) -> Made:
    """Copy the template; what is there stays."""
    files = []
    for path in sorted(
        path for path in TEMPLATE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ):
        name = path.relative_to(TEMPLATE).as_posix().replace("gitignore", ".gitignore")
        if not (directory / name).exists():
            files.append(
                _write(directory, name, path.read_text(encoding="utf-8").replace(NAME, slug(directory.name)))
            )
    return Made(directory=directory, files=tuple(files), notes=())


# --- around a model ---------------------------------------------------------------------------------------------------


def _around(directory: Path, model: str) -> Made:
    """Make a service that has a model's repository as its source/."""
    brought = _bring(directory, model)
    before = (directory / CONFIGS).exists()
    led = bring(directory)
    files = [f"{CONFIGS}/"] if (directory / CONFIGS).exists() and not before else []
    found = find(directory)
    files.insert(0, _write(directory, FILE, describe(directory.name, found)))
    for name in ("README.md", DAGS, "gitignore"):
        target = name.replace("gitignore", ".gitignore")
        if not (directory / target).exists():
            files.append(_write(directory, target, _around_text(name, directory)))
    return Made(
        directory=directory,
        files=(*files, f"{SOURCE}/"),
        notes=(brought, *led, *notes(found), *packages(directory, found)),
        first=found.first,
    )


def _around_text(name: str, directory: Path) -> str:
    """Return a file of the template, less what is told there about the tiny model."""
    paragraphs = (
        (TEMPLATE / name).read_text(encoding="utf-8").replace(NAME, slug(directory.name)).split("\n\n")
    )
    return "\n\n".join(paragraph for paragraph in paragraphs if not paragraph.startswith("`prediction/`"))


def _bring(directory: Path, model: str) -> str:
    """Bring a model's repository to source/, as a submodule where there is Git; say how."""
    path = Path(model).expanduser()
    if _is_url(model):
        if not shutil.which("git"):
            raise UsageError(
                '"git" is not found',
                why="the model is at a URL",
                hint="install Git, or give a path: --model PATH",
            )
        return _submodule(directory, model)
    if not path.is_dir():
        raise UsageError(
            f'there is no model "{model}"', hint="give a directory or the URL of a Git repository"
        )
    path = path.resolve()
    if directory.resolve().is_relative_to(path):
        raise UsageError(
            f'the service cannot be inside of its model "{model}"',
            hint="go to the model and `foretell init` there",
        )
    if _is_repository(path) and shutil.which("git") and _has_commit(path):
        return _submodule(directory, str(path))
    shutil.copytree(path, directory / SOURCE, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return f"{SOURCE}/ is a copy of {path}: what changes there does not change here"


def _submodule(directory: Path, model: str) -> str:
    if not _in_repository(directory):
        _git(directory, "init", "--quiet")
    # Git refuses local repositories as submodules unless they are asked for by hand, which is the case here.
    _git(directory, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "--", model, SOURCE)
    return f"{SOURCE}/ is a Git submodule of {model}: commit it together with {FILE}"


def _git(directory: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise UsageError(
            f"git {' '.join(word for word in arguments if word[0] != '-' and '=' not in word)} failed",
            why=" ".join(said[-2:]),
            hint="check the address and your access to it",
        )


def _is_url(model: str) -> bool:
    return "://" in model or re.match(r"[\w.-]+@[\w.-]+:", model) is not None


def _is_repository(path: Path) -> bool:
    return (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())


def _has_commit(path: Path) -> bool:
    """Tell whether there is anything that a submodule could be of."""
    asked = ["git", "rev-parse", "--quiet", "--verify", "HEAD"]
    return subprocess.run(asked, cwd=path, capture_output=True, check=False).returncode == 0


def _in_repository(directory: Path) -> bool:
    directory = directory.resolve()
    return any((place / ".git").exists() for place in (directory, *directory.parents))


def _ignored(directory: Path) -> bool:
    try:
        lines = (directory / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip().strip("/") == ".foretell" for line in lines)


# --- what is written --------------------------------------------------------------------------------------------------


def _write(directory: Path, name: str, text: str) -> str:
    """Write a file that is not there yet; give its name."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return name
