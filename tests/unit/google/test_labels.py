from __future__ import annotations

import pytest

from foretell.google.labels import label


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("20261121T060000.123Z-1", "20261121t060000-123z-1"),
        ("1.2", "1-2"),
        ("churn_model", "churn_model"),
        ("Übung", "-bung"),
        ("a" * 80, "a" * 63),
    ],
)
def test_labels_are_what_google_takes(text: str, made: str) -> None:
    assert label(text) == made
