"""Real models in containers: the example, the seed's layout with its own old Python, and libraries that collide."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.acceptance.test_seed import OLD, delivered, make
from tests.docker.toy import FORETELL, REGISTRY, Toy
from tests.standins.containers.engine import Engine, interpreters, running
from tests.support.debian import lacking

EXAMPLE = Path(__file__).parents[2] / "examples" / "lifetime-value"
DATE = "2026-11-21T06:00:00Z"
IMAGE = f'\n[image]\nregistry = "{REGISTRY}/team"\nnetwork = "host"\n'


def foretell(cwd: Path, *arguments: str, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [*FORETELL, *arguments],
        cwd=cwd,
        env={name: value for name, value in {**os.environ, **(environ or {})}.items() if value},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert not done.returncode, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def offer(engine: Engine, requirements: list[str], python: str) -> None:
    """Put what a model needs into the index, as it is for its Python."""
    interpreter = interpreters()[python] / "bin" / f"python{python}"
    engine.fetch(requirements, python=str(interpreter) if python != running() else None)


def outputs(service: Path, action: str) -> dict[str, bytes]:
    """The files of the newest run of an action."""
    runs = sorted(service.glob(f".foretell/store/*/*/{action}/*/*"))
    output = runs[-1] / "attempts" / "1" / "output"
    return {
        path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*") if path.is_file()
    }


def must_predict_the_same(engine: Engine, service: Path) -> None:
    """Built, pushed, pulled by digest after the image here was removed, run: byte for byte what a process predicts."""
    with (service / "foretell.toml").open("a") as file:
        file.write(IMAGE)
    reference = foretell(service, "build", "--push").strip()
    engine.forget(reference.partition("@")[0])
    for action in ("training", "application"):
        foretell(service, "run", action, "--on", "docker", "--key", "inside", "--date", DATE)
    inside = outputs(service, "application")
    outside = engine.inherited | {"PIP_INDEX_URL": "", "PIP_CONFIG_FILE": ""}
    for action in ("training", "application"):
        foretell(service, "run", action, "--on", "local", "--key", "beside", "--date", DATE, environ=outside)
    assert inside
    assert outputs(service, "application") == inside


def test_the_example_predicts_in_a_container_what_it_predicts_beside_it(
    engine: Engine, tmp_path: Path
) -> None:
    service = tmp_path / "service"
    shutil.copytree(EXAMPLE, service, ignore=shutil.ignore_patterns(".foretell", "output", "__pycache__"))
    (service / ".python-version").write_text(running())
    offer(engine, (service / "requirements.txt").read_text().split(), running())
    must_predict_the_same(engine, service)


def test_the_seeds_layout_with_its_own_old_python(engine: Engine, tmp_path: Path) -> None:
    if OLD not in interpreters():
        lacking(f"no Python {OLD} on this machine")
    offer(engine, ["pandas==0.24.2", "six==1.16.0"], OLD)
    engine.import_base(interpreters()[OLD], f"python:{OLD}-slim")
    service = make(tmp_path, old=True)
    must_predict_the_same(engine, service)
    rows = delivered(service)
    assert [row["player_id"] for row in rows if row["label"]] == ["0002", "0004", "0005", "0007"]


def test_a_model_and_the_agent_may_need_different_versions(toy: Toy, engine: Engine) -> None:
    needs = ["pandas==2.0.3", "numpy==1.26.4", "tzdata==2023.3", "msgspec==0.18.6"]
    offer(engine, needs, running())
    (toy.root / "requirements.txt").write_text("\n".join(needs))
    (toy.root / "train.py").write_text(
        "import msgspec, pandas\nprint(msgspec.__version__, pandas.__version__)\n"
        'pandas.DataFrame({"a": ["x", "y"], "b": [1, 2]}).to_csv("output/predictions.csv", index=False)\n'
    )
    toy.command("application", "exec python train.py")
    toy.foretell("run", "training")
    assert "0.18.6 2.0.3" in toy.foretell("run", "application").stderr
    assert toy.rows() == [("x", 1), ("y", 2)]
