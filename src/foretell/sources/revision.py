"""The Git revision of a service's directory."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

from foretell.service.model import LOCK_FILE

FETCHED = f"{'[0-9]' * 8}T{'[0-9]' * 6}*Z-[1-9]*"
"""How directories are named that `foretell get` makes, as a glob: by run ids."""


def ask_revision(root: Path, outputs: Collection[str] = ()) -> Popen[bytes] | None:
    """Begin to ask Git, which goes on while others work; None where there is no Git to ask."""
    left_out = [f":(exclude){path}" for path in (".foretell", LOCK_FILE, *outputs)]
    status = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--", ".", *left_out]
    status += [":(exclude,glob)**/__pycache__/**", f":(exclude,glob)**/{FETCHED}/**"]
    try:
        return Popen(status, cwd=root, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    except OSError:
        return None


def read_revision(asked: Popen[bytes] | None, *, patience: float = 5.0) -> str:
    """Return HEAD (40 hex), with "+" where the work tree differs from it, or "" without Git or commit."""
    if asked is None:
        return ""
    with asked:
        try:
            answer, _ = asked.communicate(timeout=patience)
        except TimeoutExpired:
            asked.kill()
            return ""
    lines = answer.decode(errors="replace").splitlines()
    head = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    if asked.returncode or not head.isalnum():
        return ""
    return head + ("+" if any(not line.startswith("#") for line in lines) else "")


def revision(root: Path, outputs: Collection[str] = ()) -> str:
    """Ask and read at once."""
    return read_revision(ask_revision(root, outputs))
