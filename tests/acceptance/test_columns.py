"""The line `columns = "…"`: printed for a run, in a rejection, at the end of a run without a delivery; and it holds."""

from __future__ import annotations

import pytest

from tests.acceptance.test_cli import foretell
from tests.support.stage import Stage

pytestmark = pytest.mark.slow

WRITE = r'printf "id,p,day\n007,0.5,2026-01-01\n012,1,2026-01-02\n" > output/p.csv'
LINE = 'columns = "id:STRING,p:FLOAT64,day:DATE"'


def test_a_line_by_which_what_was_written_is_delivered(stage: Stage) -> None:
    stage.action("application", WRITE)
    ran = foretell(stage.root, "run", "application", "--json")
    run = ran.document["run"]
    said = foretell(stage.root, "columns", run)
    named = foretell(stage.root, "columns", run, "p.csv", "--json").document
    told = foretell(stage.root, "run", "application").err

    assert said.out == f"{LINE}\n"
    assert 'together with file = "p.csv"' in said.err
    assert [table["line"] for table in ran.document["tables"]] == [LINE]
    assert named["tables"][0] == {
        "file": "p.csv",
        "line": LINE,
        "columns": "id:STRING,p:FLOAT64,day:DATE",
        "notes": [],
    }
    assert f'    [actions.application.delivery]\n    file = "p.csv"\n    {LINE}\n' in told

    stage.action("application", WRITE, delivery=f'file = "p.csv"\n{said.out}')
    assert foretell(stage.root, "run", "application").code == 0
    rows = foretell(stage.root, "predictions", "--json").document["rows"]
    assert rows[0] == {"id": "007", "p": 0.5, "day": "2026-01-01"}


def test_a_rejection_has_the_line(stage: Stage) -> None:
    stage.action("application", WRITE, delivery='file = "p.csv"\ncolumns = "id:STRING,p:INT64"')
    refused = foretell(stage.root, "run", "application", "--json")
    run = refused.document["run"]
    assert refused.code == 5
    assert f"\n  {LINE}" in refused.document["cause"]
    assert LINE in foretell(stage.root, "show", run).out
    assert foretell(stage.root, "columns", run).out == f"{LINE}\n"


def test_what_wrote_no_table_has_none(stage: Stage) -> None:
    stage.action("training", "echo model > output/model.txt")
    stage.action("failing", f"{WRITE}; exit 1")
    trained = foretell(stage.root, "run", "training", "--json").document
    failed = foretell(stage.root, "run", "failing", "--json").document

    none, kept = (
        foretell(stage.root, "columns", trained["run"]),
        foretell(stage.root, "columns", failed["run"]),
    )

    assert trained["tables"] == failed["tables"] == []
    assert (none.code, kept.code) == (2, 2)
    assert 'why: it wrote "model.txt"; supported as tables: .csv' in none.err
    assert "has no output" in kept.err
    assert f"`foretell logs {failed['run']}`" in kept.err
