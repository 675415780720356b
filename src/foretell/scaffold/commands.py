"""The commands of a repository: those that are found for certain, and what else could be one."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

SOURCE = "source"
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
LIKELY = {
    "training": re.compile(r"train|trainer|training|fit|learn"),
    "application": re.compile(
        r"predict(ions?)?|predictor|apply|application|scor(e|ing)|infer(ence)?|forecast(er|ing)?"
    ),
}
"""Words in the names of files and rules that could be the actions."""
PROGRAMS = {
    ".py": "python {}",
    ".r": "Rscript {}",
    ".jl": "julia {}",
    ".sh": "sh {}",
    ".ipynb": "jupyter nbconvert --to notebook --execute {} --output-dir output",
}
"""How a file is run, by its suffix in lower case."""
PROJECTS = ("pyproject.toml", "setup.py", "setup.cfg")
"""Files beside which a src/ is on PYTHONPATH."""
OTHERS = ("MLproject", "dvc.yaml")
"""Files of other tools that hold commands."""
DEPTH, ENTRIES = 4, 5_000
"""How far is looked for what could be a command."""
SHOWN = 5


class Found(Struct, frozen=True, kw_only=True):
    """
    The commands of a repository.

    `commands` are certain, by action; `candidates` are what else could be one, by the action it could be; `lacking` are
    arguments that a command's script asks for, by action; `others` are files in which other tools keep commands;
    `usual` says whether an action without a command would get one, which nobody has found to be right.
    """

    commands: dict[str, str]
    candidates: dict[str, tuple[str, ...]]
    lacking: dict[str, tuple[str, ...]]
    others: tuple[str, ...] = ()
    usual: bool = False

    @property
    def first(self) -> str | None:
        """The action that is run first."""
        return next(iter(self.commands), None)


def find(root: Path) -> Found:
    """Find the commands of a repository: of a package with a main, else of scripts by their usual names."""
    source = root / SOURCE if (root / SOURCE).is_dir() else root
    mains = _mains(source)
    usual = len(mains) == 1
    if not mains and any((source / name).is_file() for name in PROJECTS):
        mains = _mains(source / "src")
    commands = _of_main(root, *next(iter(mains.items()))) if len(mains) == 1 else {}
    scripts = {} if commands else _scripts(source)
    prefix = "" if source == root else f"{SOURCE}/"
    commands = commands or {
        action: f"python {prefix}{script}{_config(root, action)}" for action, script in scripts.items()
    }
    candidates = _candidates(source, prefix)
    lacking = {action: _asked_for(source / script) for action, script in scripts.items()}
    return Found(
        commands=commands,
        candidates={name: found for name, found in candidates.items() if found and name not in commands},
        lacking={name: found for name, found in lacking.items() if found},
        others=tuple(name for name in OTHERS if (source / name).is_file()),
        usual=usual,
    )


def _scripts(source: Path) -> dict[str, str]:
    found = {}
    for action, words in WORDS.items():
        places = (f"{place}{word}.py" for word in words for place in ("", "scripts/"))
        if script := next((place for place in places if (source / place).is_file()), None):
            found[action] = script
    return found


def _mains(source: Path) -> dict[str, str]:
    """Return the modules that can be run with -m, and their texts."""
    found = {}
    for package in sorted(Path(entry.path) for entry in _entries(source)):
        for file, module in (("__main__.py", package.name), ("main.py", f"{package.name}.main")):
            if package.name.isidentifier() and package.name != "tests" and (package / file).is_file():
                found[module] = (package / file).read_text(encoding="utf-8", errors="replace")
                break
    return found


def _of_main(root: Path, module: str, text: str) -> dict[str, str]:
    """Return a main's commands: by --action, else by the subcommands that it seems to know."""
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
    if not found and re.search(r"\b(train|fit)\w*\b", text):
        found["training"] = f"python -m {module}"
    return found


def _configured(root: Path) -> list[str]:
    """Return the actions that have a config of their name, where training is one of them."""
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


# --- what could be one ------------------------------------------------------------------------------------------------


def _candidates(source: Path, prefix: str) -> dict[str, tuple[str, ...]]:
    """Return commands by the action that a file's or a rule's name speaks of, those nearest to the root first."""
    found: dict[str, list[str]] = {action: [] for action in LIKELY}
    for path in _files(source):
        program = PROGRAMS.get(path.suffix.lower())
        words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path.stem).lower())
        for action, likely in LIKELY.items():
            if program and "test" not in words and any(map(likely.fullmatch, words)):
                found[action].append(program.format(f"{prefix}{path.relative_to(source).as_posix()}"))
    for rule in _rules(source / "Makefile"):
        for action, likely in LIKELY.items():
            if any(map(likely.fullmatch, re.split(r"[^a-z]+", rule.lower()))):
                found[action].append(f"make {rule}" if not prefix else f"make -C {SOURCE} {rule}")
    return {action: tuple(commands[:SHOWN]) for action, commands in found.items()}


def _files(source: Path) -> Iterator[Path]:
    """Return the files that may be code, by their distance from the root."""
    seen = 0
    level = [source]
    for _ in range(DEPTH):
        below: list[Path] = []
        for folder in level:
            for entry in sorted(_entries(folder), key=lambda entry: entry.name):
                seen += 1
                if seen > ENTRIES:
                    return
                if entry.is_file():
                    yield Path(entry.path)
                elif _may_hold_code(entry):
                    below.append(Path(entry.path))
        level = below


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _may_hold_code(entry: os.DirEntry[str]) -> bool:
    hidden = entry.name.startswith(".") or entry.name in LEFT_OUT or entry.name in ("test", "tests", "docs")
    return not hidden and entry.is_dir(follow_symlinks=False) and not Path(entry.path, "pyvenv.cfg").exists()


def _rules(makefile: Path) -> list[str]:
    try:
        text = makefile.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return re.findall(r"^([A-Za-z][\w-]*)\s*:(?!=)", text, re.MULTILINE)


def _asked_for(script: Path) -> tuple[str, ...]:
    """Return the arguments without which a script refuses to run, as far as it asks for them by argparse."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ()
    found = []
    for call in ast.walk(tree):
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "add_argument"
        ):
            names = [str(each.value) for each in call.args if isinstance(each, ast.Constant)]
            told = {each.arg: each.value for each in call.keywords}
            if names and _is_required(names[-1], told):
                found.append(names[-1])
    return tuple(found)


def _is_required(name: str, told: dict[str | None, ast.expr]) -> bool:
    if name.startswith("-"):
        required = told.get("required")
        return isinstance(required, ast.Constant) and required.value is True
    count = told.get("nargs")
    return not (isinstance(count, ast.Constant) and count.value in ("?", "*")) and "default" not in told
