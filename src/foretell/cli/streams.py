"""Standard input, output and error of this process, when one of them is closed, full, or has lost its reader."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from foretell.errors import StreamError


def occupy() -> None:
    """Let a standard stream that is closed lead nowhere, lest its number go to a file or a lock of ours."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


class ReaderGoneError(Exception):
    """Whoever read what this process writes is there no more."""


def write(text: str) -> None:
    """Write a result that is no verb's; raises as `flush` does."""
    _guarded(sys.stdout, lambda stream: stream.write(text))
    flush()


def flush() -> None:
    """Hand on what is held back. StreamError where there is no room for the result; words may be lost."""
    for stream in (sys.stderr, sys.stdout):
        _guarded(stream, lambda stream: stream.flush())


def _guarded(stream: TextIO | None, act: Callable[[TextIO], object]) -> None:
    if stream is None:  # closed by whoever called us
        return
    try:
        act(stream)
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except OSError as error:
        silence(stream)
        if stream is sys.stdout:
            raise StreamError(error) from error


def silence(*streams: TextIO | None) -> None:
    """Let what is written go nowhere from now on, also what the interpreter still holds back at its end."""
    for stream in streams:
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - pathlib is not loaded
            if stream is not None:
                os.dup2(nowhere.fileno(), stream.fileno())
