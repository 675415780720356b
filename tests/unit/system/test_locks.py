from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from foretell.system.locks import take


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(("first", "second"), [(False, False), (False, True), (True, False), (True, True)])
def test_only_those_who_share_hold_a_lock_together(tmp_path: Path, *, first: bool, second: bool) -> None:
    with opened(tmp_path / "lock") as one, opened(tmp_path / "lock") as other:
        assert take(one, shared=first)
        assert take(other, shared=second) == (first and second)


def test_a_lock_is_free_once_its_file_is_closed(tmp_path: Path) -> None:
    with opened(tmp_path / "lock") as one:
        assert take(one)
    with opened(tmp_path / "lock") as other:
        assert take(other)
