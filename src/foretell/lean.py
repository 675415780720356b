"""A start of our own programs without what only older Pythons need."""

from __future__ import annotations

import importlib
import sys


def load_msgspec() -> None:
    """
    Load msgspec with the standard library's typing.

    It prefers typing_extensions where it is there, and that is 12 ms of a program's start. Only for programs that
    begin: in a process of others, what is loaded is theirs to decide.
    """
    if "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules["typing_extensions"]
