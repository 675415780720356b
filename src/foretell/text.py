"""How a message says what is not text: a number of bytes, and what has characters that nobody can read."""

from __future__ import annotations


def size(count: int) -> str:
    """Say a number of bytes."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def printable(text: str) -> str:
    """Keep a message on its line, whatever it quotes."""
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)
