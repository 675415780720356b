"""A service's first files: around the repository at hand, around a model elsewhere, or with a tiny model of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from foretell.errors import UsageError

FILE = "foretell.toml"
DAGS = "dags.py"
"""What Airflow reads."""
SOURCE = "source"
TEMPLATE = Path(__file__).parent / "resources" / "init"
NAME = "example-service"
"""The service's name in the template."""
WELCOME = frozenset({".git", ".gitignore", ".gitattributes", ".github", "README.md", "LICENSE", "LICENSE.md"})
"""What may be in a directory already in which a service is made: a repository that was just begun."""
LEFT_OUT = (
    ".git",
    ".venv",
    "venv",
    "__pycache__",
    ".foretell",
    "output",
    ".mypy_cache",
    ".pytest_cache",
    "node_modules",
)
WORDS = {
    "training": ("training", "train", "fit"),
    "application": ("application", "apply", "predict", "prediction", "score", "inference"),
}
"""Names that scripts and subcommands have for the two usual actions, the likeliest first."""
SCHEDULES = {
    "training": ("0 4 1 * *", "on the first of every month"),
    "application": ("0 6 * * *", "every morning"),
}
INPUTS = 'inputs = ["training"]'
DELIVERY = """
# [actions.application.delivery]       # which file of output/ becomes rows of which table
# file = "predictions.csv"
# columns = "customer_id:STRING,label:BOOL"
"""


class Made(Struct, frozen=True, kw_only=True):
    """What was written, relative to `directory`; `first` is the action to run first."""

    directory: Path
    files: tuple[str, ...]
    notes: tuple[str, ...]
    first: str = "training"


def adopt(directory: Path) -> Made:
    """Add a foretell.toml to a repository, with the commands found in it. Nothing that is there is changed."""
    _must_be_new(directory)
    commands = find_commands(directory)
    files = [_write(directory, FILE, describe(directory.resolve().name, commands))]
    if not (directory / DAGS).exists():
        files.append(_write(directory, DAGS, (TEMPLATE / DAGS).read_text(encoding="utf-8")))
    notes = _notes(commands)
    if _in_repository(directory) and not _ignored(directory):
        if (directory / ".gitignore").exists():
            notes.append('add ".foretell/" to .gitignore: runs and their files are kept there')
        else:
            files.append(_write(directory, ".gitignore", ".foretell/\n"))
    return Made(
        directory=directory, files=tuple(files), notes=tuple(notes), first=next(iter(commands), "training")
    )


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
    notes = [_bring(directory, model)]
    files = []
    configs = directory / SOURCE / "configs"
    if configs.is_dir() and not (directory / "configs").exists():
        shutil.copytree(configs, directory / "configs")
        files.append("configs/")
    commands = find_commands(directory)
    files.insert(0, _write(directory, FILE, describe(directory.name, commands)))
    for name in ("README.md", DAGS, "gitignore"):
        target = name.replace("gitignore", ".gitignore")
        if not (directory / target).exists():
            files.append(_write(directory, target, _around_text(name, directory)))
    return Made(
        directory=directory,
        files=(*files, f"{SOURCE}/"),
        notes=(*notes, *_notes(commands)),
        first=next(iter(commands), "training"),
    )


def _around_text(name: str, directory: Path) -> str:
    """Give a file of the template, less what is told there about the tiny model."""
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
    if _is_repository(path) and shutil.which("git"):
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


def _in_repository(directory: Path) -> bool:
    directory = directory.resolve()
    return any((place / ".git").exists() for place in (directory, *directory.parents))


def _ignored(directory: Path) -> bool:
    try:
        lines = (directory / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip().strip("/") == ".foretell" for line in lines)


# --- what is there ----------------------------------------------------------------------------------------------------


def find_commands(root: Path) -> dict[str, str]:
    """Find the commands of a repository by action: of a package with a main, else of scripts by their usual names."""
    source = root / SOURCE if (root / SOURCE).is_dir() else root
    mains = _mains(source)
    if len(mains) == 1:
        return _of_main(root, *mains.popitem())
    prefix = "" if source == root else f"{SOURCE}/"
    found = {}
    for action, words in WORDS.items():
        if scripts := [
            f"{place}{word}.py"
            for word in words
            for place in ("", "scripts/")
            if (source / place / f"{word}.py").is_file()
        ]:
            found[action] = f"python {prefix}{scripts[0]}{_config(root, action)}"
    return found


def _mains(source: Path) -> dict[str, str]:
    """Give the modules that can be run with -m, and their texts."""
    found = {}
    for package in sorted(source.iterdir()):
        for file, module in (("__main__.py", package.name), ("main.py", f"{package.name}.main")):
            if package.name.isidentifier() and package.name != "tests" and (package / file).is_file():
                found[module] = (package / file).read_text(encoding="utf-8", errors="replace")
                break
    return found


def _of_main(root: Path, module: str, text: str) -> dict[str, str]:
    """Give a main's commands: by --action, else by the subcommands that it seems to know."""
    if "--action" in text:
        names = _configured(root) or list(WORDS)
        return {
            name: f"python -m {module} --action {{action}}{_config(root, name) if '--config' in text else ''}"
            for name in names
        }
    found = {}
    for action, words in WORDS.items():
        known = [word for word in words if re.search(rf"""["']{word}["']""", text)]
        if known:
            found[action] = f"python -m {module} {known[0]}"
    return found or {"training": f"python -m {module}"}


def _configured(root: Path) -> list[str]:
    """Give the actions that have a config of their name, where training is one of them."""
    names = sorted(
        path.stem for path in (root / "configs").glob("*.*") if re.fullmatch(r"[a-z][a-z0-9_-]*", path.stem)
    )
    return (
        [*(name for name in WORDS if name in names), *(n for n in names if n not in WORDS)]
        if "training" in names
        else []
    )


def _config(root: Path, action: str) -> str:
    for suffix in ("json", "yaml", "yml", "toml"):
        if (root / "configs" / f"{action}.{suffix}").is_file():
            return f" --config configs/{{action}}.{suffix}"
    return ""


# --- what is written --------------------------------------------------------------------------------------------------


def describe(name: str, commands: Mapping[str, str]) -> str:
    """Give the text of a foretell.toml for these commands; for none, one to be filled in."""
    commands = commands or {"training": "python train.py"}
    lines = [
        f'name = "{slug(name)}"',
        "# Every key, with its default: `foretell schema`, or docs/service-file.md of Foretell.",
    ]
    for action, command in commands.items():
        lines += ["", f"[actions.{action}]"]
        if action in SCHEDULES:
            schedule, words = SCHEDULES[action]
            lines.append(f"{f'schedule = {json.dumps(schedule)}':38} # {words}")
        lines.append(f"command = {json.dumps(command, ensure_ascii=False)}")
        if action != "training" and "training" in commands:
            lines.append(
                f"{INPUTS:38} # its current model is put where it was written, before the command starts"
            )
    return "\n".join(lines) + "\n" + (DELIVERY if "application" in commands else "")


def _notes(commands: Mapping[str, str]) -> list[str]:
    if not commands:
        return [f"no command was found: write yours into {FILE}, in [actions.training]"]
    notes = ["what a command writes to output/ is kept; see that yours does"]
    if "application" in commands:
        notes.append(f"to deliver predictions to a table, fill in [actions.application.delivery] in {FILE}")
    return notes


def slug(name: str) -> str:
    """Make a service's name of a directory's."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (words if words[:1].isalpha() else f"service-{words}".rstrip("-"))[:63]


def _write(directory: Path, name: str, text: str) -> str:
    """Write a file that is not there yet; give its name."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return name
