"""The configs of a model whose code has become source/: what they name lies there now."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from foretell.scaffold.commands import SOURCE

CONFIGS = "configs"
KINDS = frozenset({".json", ".yaml", ".yml", ".toml", ".ini", ".cfg"})
PATH = re.compile(r"(?<![\w./:\\-])(?:\./)?[\w-][\w.-]*(?:/[\w.-]+)*(?![\w/*:-])")
"""What may be a relative path, in whatever kind of file."""
SHOWN = 5


def bring(directory: Path) -> list[str]:
    """Copy the model's configs, with the paths that lead into its repository led to source/; say what was changed."""
    there = directory / SOURCE / CONFIGS
    if not there.is_dir() or (directory / CONFIGS).exists():
        return []
    shutil.copytree(there, directory / CONFIGS)
    led: dict[str, None] = {}
    lost: dict[str, None] = {}
    for file in sorted(path for path in (directory / CONFIGS).rglob("*") if path.suffix.lower() in KINDS):
        text = file.read_bytes().decode(errors="surrogateescape")
        mended = PATH.sub(lambda found: _led(found[0], directory, led, lost), text)
        if mended != text:
            file.write_bytes(mended.encode(errors="surrogateescape"))
    notes = []
    if led:
        notes.append(
            f"paths in {CONFIGS}/ lead to {SOURCE}/ now, where the model's files are: {_listed(led)}"
        )
    if lost:
        notes.append(
            f"{CONFIGS}/ names what is not there: {_listed(lost)}; files of the model are in {SOURCE}/"
        )
    return notes


def _led(path: str, directory: Path, led: dict[str, None], lost: dict[str, None]) -> str:
    """Return a path as it is written from the service: below source/ where it is there and nowhere else."""
    plain = path.removeprefix("./")
    if (directory / plain).exists() or plain.split("/")[0] == SOURCE:
        return path
    named = "/" in plain or "." in plain.strip(".")
    if named and (directory / SOURCE / plain).exists():
        led[plain] = None
        return f"{SOURCE}/{plain}"
    if "/" in plain and re.search(r"\.[a-z][a-z0-9]{1,7}$", plain) and not plain.startswith("output"):
        lost[plain] = None
    return path


def _listed(paths: dict[str, None]) -> str:
    shown = list(paths)[:SHOWN]
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(shown) + more
