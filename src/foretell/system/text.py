"""How a message says what is not text: bytes, seconds, how many there are, and characters that nobody can read."""

from __future__ import annotations

from collections.abc import Iterable

MINUTE = 60


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


def duration(seconds: float | None) -> str:
    """Return a duration in at most two units; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    hours, minutes = divmod(minutes, MINUTE)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join([f"{count:,} {unit}" for count, unit in parts if count][:2])


def counted(count: int, thing: str) -> str:
    """Return how many there are of something whose plural ends in s."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def likeliest(word: str, known: Iterable[str]) -> str | None:
    """Return what was probably meant by a word that is not known."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), n=1)), None)
