"""Labels of Google's resources: a machine's and a table's by one rule, so that a run has the same on both."""

from __future__ import annotations

import re

LONGEST = 63


def label(text: str) -> str:
    """Return a text as the value of a label: small letters, digits, "_" and "-"; "-" stands for anything else."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:LONGEST]
