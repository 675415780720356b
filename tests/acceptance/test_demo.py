"""What a stranger sees first: the demo, and the code of the README."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_demo_trains_applies_and_shows_everything(tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns(".foretell", "output")
    )

    shown = subprocess.run(
        ["sh", str(tmp_path / "examples" / "demo.sh"), str(Path(sys.executable).parent)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert shown.returncode == 0, shown.stdout + shown.stderr
    both = shown.stdout + shown.stderr
    for part in ("customer_id", "probability", "auc_baseline", "warehouse.duckdb", "23,570 rows", "Try next"):
        assert part in both


def test_the_readme_shows_a_service_file_and_a_library_that_work(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    toml = re.search(r"```toml\n(.*?)```", readme, re.DOTALL)
    python = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert toml
    assert python
    (tmp_path / "foretell.toml").write_text(toml[1])
    for name in ("configs/training.json", "configs/application.json", "prediction/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}" if name.endswith("json") else "")
    (tmp_path / "prediction" / "main.py").write_text("open('output/model.txt', 'w').write('1')\n")
    (tmp_path / "use.py").write_text(python[1])

    used = subprocess.run(
        [sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )

    assert used.returncode == 0, used.stderr
