"""
Foretell makes a predictive model that works run by itself.

The library in five names: `load`, `start`, `wait`, `check`, `run`. They are loaded when first used, so that a
program of one verb does not pay for the others.
"""

from __future__ import annotations

import importlib

PUBLIC = {
    "StartOptions": "foretell.controller.resolve",
    "Controller": "foretell.controller.controller",
    "ForetellError": "foretell.errors",
    "Phase": "foretell.protocol.rules",
    "Run": "foretell.protocol.keys",
    "Service": "foretell.service.model",
    "State": "foretell.protocol.rules",
    "check": "foretell.controller.library",
    "load": "foretell.controller.library",
    "run": "foretell.controller.library",
    "start": "foretell.controller.library",
    "wait": "foretell.controller.library",
}

__all__ = sorted(PUBLIC)  # noqa: PLE0605 - the table is the list


def __getattr__(name: str) -> object:
    if name in PUBLIC:
        return getattr(importlib.import_module(PUBLIC[name]), name)
    raise AttributeError(name)


def __dir__() -> list[str]:
    return __all__
