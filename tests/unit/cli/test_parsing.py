"""What the command line reads and says: dates, durations, tables, sizes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from foretell.cli import parsing, wording
from foretell.cli.output import Terminal, width


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("0.5s", 0.5), ("30m", 1800), ("1h30m", 5400), ("1d", 86400), ("0s", 0)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parsing.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-11-21", datetime(2026, 11, 21)),  # noqa: DTZ001 - that is the point
        ("2026-11-21T07:30", datetime(2026, 11, 21, 7, 30)),  # noqa: DTZ001
        ("2026-11-21T06:00:00Z", datetime(2026, 11, 21, 6, tzinfo=UTC)),
        ("2026-11-21T08:00+02:00", datetime(2026, 11, 21, 6, tzinfo=UTC)),
    ],
)
def test_dates_are_read(text: str, date: datetime) -> None:
    assert parsing.date(text) == date


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parsing.duration, ""),
        (parsing.duration, "1w"),
        (parsing.duration, "-1m"),
        (parsing.date, "20261121"),
        (parsing.date, "2026-W47-6"),
        (parsing.date, "now"),
        (parsing.date, "2026-13-01"),
        (parsing.date, "0001-01-01"),
        (parsing.date, "9999-12-31"),
        (parsing.limit, "-1"),
        (parsing.limit, "³"),
        (parsing.number, "0"),
        (parsing.chosen_input, "training"),
        (parsing.chosen_input, "=x"),
    ],
)
def test_what_is_none_is_refused(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        read(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (0.04, "0.0 s"),
        (9.5, "9.5 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (80, "1 min 20 s"),
        (7500, "2 h 5 min"),
        (100_000, "1 d 3 h"),
    ],
)
def test_durations_are_said_in_two_units(seconds: float | None, said: str) -> None:
    assert wording.duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123_456, "123 kB"), (2 * 10**9, "2.0 GB")],
)
def test_sizes_are_said(count: int, said: str) -> None:
    assert wording.size(count) == said


def test_metrics_are_said_in_a_line() -> None:
    assert (
        wording.metrics({"mae": 0.123456, "n": 12, "ok": True, "by": None})
        == "mae 0.1235 · n 12 · ok true · by "
    )
    assert wording.metrics(None) == ""
    assert (
        wording.metrics({"auc": {"train": 0.9, "test": {"a": 1}}, "n": {}})
        == "auc.train 0.9 · auc.test.a 1 · n {}"
    )


def table(capfd: pytest.CaptureFixture[str], *rows: list[str]) -> list[str]:
    Terminal(json=False, quiet=False, environ={}).table(("name", "n"), rows, right=("n",))
    return capfd.readouterr().out.splitlines()


def test_a_table_is_aligned(capfd: pytest.CaptureFixture[str]) -> None:
    assert table(capfd, ["a", "1"], ["long name", "22"]) == [
        "name        n",
        "a           1",
        "long name  22",
    ]


def test_a_value_stays_on_its_line_and_says_nothing_to_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert table(capfd, ["a\nb\x1b[2J", "1"])[1:] == [r"a\nb\x1b[2J  1"]


def test_wide_and_combining_signs_are_counted_as_they_are_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert (width("日本"), width("e\u0301"), width("abc")) == (4, 1, 3)
    assert table(capfd, ["日本", "1"], ["abcd", "2"]) == ["name  n", "日本  1", "abcd  2"]


def test_a_log_without_a_last_line_end_does_not_swallow_the_next_word(
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = Terminal(json=False, quiet=False, environ={})
    out.log(b"no end")
    out.tell("next")
    assert capfd.readouterr().err == "no end\nnext\n"
