"""What the verbs say where a newcomer would ask what is meant."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from foretell.cli import main as door
from foretell.system.times import rfc3339
from tests.support.past import NOON, Past

TRAINING = """
    name = "toy"
    [actions.training]
    command = "true"
"""
APPLYING = f"""{TRAINING}
    [actions.application]
    command = "true"
    inputs = ["training"]
"""


def said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], where: Path, *argv: str
) -> tuple[int, str, str]:
    monkeypatch.chdir(where)
    monkeypatch.delenv("FORETELL_TARGET", raising=False)
    code = door.main(list(argv))
    return code, *capfd.readouterr()


@pytest.mark.parametrize("asked", [(), ("application",), ("nonsense",)])
def test_predictions_where_nothing_delivers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], asked: tuple[str, ...]
) -> None:
    Past(tmp_path, APPLYING)
    code, _, err = said(monkeypatch, capfd, tmp_path, "predictions", *asked)
    assert code == 2
    assert 'error: no action of "toy" delivers' in err
    assert "next: add [actions.application.delivery] to foretell.toml" in err


def test_predictions_of_an_action_that_does_not_deliver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Past(tmp_path)
    assert '"training" has no delivery' in said(monkeypatch, capfd, tmp_path, "predictions", "training")[2]
    assert 'unknown action "aplication"' in said(monkeypatch, capfd, tmp_path, "predictions", "aplication")[2]


def test_models_of_a_service_that_only_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Past(tmp_path, TRAINING).add(NOON)
    code, _, err = said(monkeypatch, capfd, tmp_path, "models")
    assert code == 0
    assert 'write inputs = ["training"]' in err
    assert "`foretell runs training`" in err
    assert "there are no models" not in err


def test_runs_come_by_when_they_were_asked_for_and_show_their_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    past = Past(tmp_path, TRAINING)
    usual = [past.add(NOON - timedelta(days=day)) for day in range(4)]
    backfilled = past.add(NOON - timedelta(days=300), asked_at=NOON + timedelta(hours=1))
    code, out, _ = said(monkeypatch, capfd, tmp_path, "runs", "--limit", "3")
    assert code == 0
    header, *lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [run.label for run in (backfilled, *usual[:2])]
    assert "date (UTC)" in header
    assert lines[0].split()[2] == rfc3339(backfilled.date)[:10]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("airflow",), "`foretell airflow up` starts"),
        (("run",), "for example `foretell run training`"),
        (("show",), "for example `foretell show training/"),
    ],
)
def test_a_verb_alone_says_how_it_is_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    argv: tuple[str, ...],
    words: str,
) -> None:
    code, _, err = said(monkeypatch, capfd, tmp_path, *argv)
    assert code == 2
    assert f"error: `foretell {argv[0]}` needs" in err
    assert words in err


def test_a_plan_says_which_run_it_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Past(tmp_path, TRAINING)
    code, _, err = said(monkeypatch, capfd, tmp_path, "plan", "training", "--date", "2026-01-02")
    assert code == 0
    assert "the run would be training/20260102T000000Z-1, or end in -2, -3, …" in err


def test_several_schedules_are_told_how_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "foretell.toml").write_text(
        'name = "toy"\n[actions.training]\ncommand = "true"\nschedule = ["0 7 * * *", "0 19 * * *"]\n'
    )
    code, _, err = said(monkeypatch, capfd, tmp_path, "runs")
    assert code == 2
    assert 'write several times in one line, "0 7,19 * * *"' in err
