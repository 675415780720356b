"""Locks of files, which the system takes back when their last holder dies."""

from __future__ import annotations

import fcntl


def take(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock of an open file, now or not at all; False while others hold it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
