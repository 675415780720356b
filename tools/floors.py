"""Draw the floors in ARCHITECTURE.md, from the contract of imports and what each package says of itself."""

# ruff: noqa: INP001 (a script, not a part of a package)

from __future__ import annotations

import ast
import textwrap
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "ARCHITECTURE.md"
SOURCE = ROOT / "src" / "foretell"
BEGIN, END = "<!-- Drawn by tools/floors.py: make floors -->\n", "<!-- end of the drawing -->\n"
WIDTH = 118


def picture() -> str:
    """Return the floors, the uppermost first; below a package the kinds in it, which do not know each other."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    kinds = next(contract["modules"] for contract in contracts if contract["type"] == "independence")
    names = [layer.replace(" ", "") for layer in layers]
    wide = max(map(len, names)) + 2
    lines = []
    for name in names:
        within = [kind.rpartition(".")[2] for kind in kinds if kind.startswith(f"foretell.{name}.")]
        said = [*textwrap.wrap(_said(name), WIDTH - wide), *([" | ".join(within)] if within else [])]
        lines += [f"{name:{wide}}{said[0]}", *(" " * wide + line for line in said[1:])]
    return "```\n" + "\n".join(lines) + "\n```\n"


def _said(name: str) -> str:
    """Return the first paragraph of what a package, or a module, says of itself."""
    file = SOURCE / name / "__init__.py"
    text = ast.get_docstring(ast.parse((file if file.exists() else SOURCE / f"{name}.py").read_text())) or ""
    return " ".join(text.partition("\n\n")[0].split())


def drawn(document: str) -> str:
    """Return the document with the picture as it is now."""
    before, _, rest = document.partition(BEGIN)
    return before + BEGIN + picture() + END + rest.partition(END)[2]


if __name__ == "__main__":
    DOCUMENT.write_text(drawn(DOCUMENT.read_text()))
