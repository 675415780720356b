"""An env file, as a user meets it: its values reach the command, and nothing else."""

from __future__ import annotations

import pytest

from tests.acceptance.test_cli import foretell
from tests.support.stage import DELIVERY, Stage

pytestmark = pytest.mark.slow

SECRET = "correct horse battery"


@pytest.fixture
def filed(stage: Stage) -> Stage:
    script = 'echo "$TOKEN"; echo "$SHORT $BOTH $DECLARED"; printf %s "$TOKEN" | tr a-z A-Z > output/model'
    secret = 'secrets = {DECLARED = "projects/p/secrets/s/versions/1"}\n[actions.training.env]\nBOTH = "of the action"'
    stage.action("training", script, more=secret)
    text = (stage.root / "foretell.toml").read_text()
    (stage.root / "foretell.toml").write_text(f'env_file = "conf/prod.env"\n{text}')
    (stage.root / "conf").mkdir()
    (stage.root / "conf" / "prod.env").write_text(
        f"TOKEN='{SECRET}'\nSHORT=true\nBOTH=of the file\nDECLARED=declared-secret\n"
    )
    return stage


def test_its_values_reach_the_command_and_no_record_log_or_snapshot(filed: Stage) -> None:
    said = foretell(filed.root, "run", "training", TOKEN="inherited", SHORT="inherited")
    assert said.code == 0
    assert "***TOKEN***\ntrue of the action ***DECLARED***\n" in said.err
    (run,) = filed.runs("training")
    kept = [path for path in (filed.root / ".foretell").rglob("*") if path.is_file()]
    assert any(path.read_bytes() == SECRET.upper().encode() for path in kept)  # so the command had it
    assert not [
        path
        for path in kept
        if SECRET.encode() in path.read_bytes() or b"declared-secret" in path.read_bytes()
    ]
    assert str(filed.root / "conf" / "prod.env") in foretell(filed.root, "show", run.label).out


def test_a_cause_that_would_repeat_a_value_does_not(filed: Stage) -> None:
    text = (filed.root / "foretell.toml").read_text()
    (filed.root / "applies.sh").write_text('printf "a,b\\nx,$TOKEN\\n" > output/predictions.csv\n')
    table = "[actions.applies]\ncommand = '/bin/sh applies.sh'\n[actions.applies.delivery]\n"
    (filed.root / "foretell.toml").write_text(f"{text}\n{table}{DELIVERY}\n")
    said = foretell(filed.root, "run", "applies")
    assert said.code == 5
    assert "***TOKEN***" in said.err
    kept = [path for path in (filed.root / ".foretell").rglob("*") if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


def test_a_missing_or_broken_one_is_told_before_anything_is_started(filed: Stage) -> None:
    file = filed.root / "conf" / "prod.env"
    file.write_text(f"TOKEN={SECRET}\noops\n")
    for verb in ("run", "start", "plan"):
        said = foretell(filed.root, verb, "training")
        assert (said.code, said.out) == (2, "")
        assert f"where: {file}:2" in said.err
        assert SECRET not in said.err
    file.unlink()
    said = foretell(filed.root, "run", "training", "--json")
    assert (said.code, said.document["error"]["why"]) == (2, "it does not exist")
    assert filed.runs("training") == []


def test_one_that_is_gone_when_the_next_attempt_begins_fails_it(filed: Stage) -> None:
    filed.action("training", f"rm {filed.root}/conf/prod.env; exit 1", more="retries = 2")
    text = (filed.root / "foretell.toml").read_text()
    (filed.root / "foretell.toml").write_text(f'env_file = "conf/prod.env"\n{text}')
    said = foretell(filed.root, "run", "training")
    assert said.code == 1
    assert "the env file cannot be read" in said.err
    (run,) = filed.runs("training")
    assert len(filed.machines(run)) == 2  # a third could not mend it
