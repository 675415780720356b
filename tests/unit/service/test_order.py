from __future__ import annotations

import pytest

from foretell.service.order import circles


@pytest.mark.parametrize(
    ("needed", "found"),
    [
        ({"a": [], "b": ["a"], "c": ["a", "b", "unknown"]}, []),
        ({"a": ["a"]}, [["a", "a"]]),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, [["a", "b", "c", "a"]]),
        ({"z": [], "c": ["d", "z"], "d": ["c"], "a": ["b"], "b": ["a"]}, [["a", "b", "a"], ["c", "d", "c"]]),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, [["b", "c", "b"]]),
    ],
)
def test_every_circle_is_told_from_its_first_action(
    needed: dict[str, list[str]], found: list[list[str]]
) -> None:
    assert sorted(circles(needed)) == found
