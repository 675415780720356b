"""What is known of images that were never pushed: of one engine of one machine, and no more than it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.platforms.docker import memory
from foretell.system.container_engine import Engine

IMAGE = f"sha256:{'a' * 64}"
DOCKER, PODMAN = Engine("/usr/bin/docker", {}), Engine("podman", {})


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"FORETELL_CACHE": str(tmp_path / "cache")}


def test_an_image_is_known_to_the_engine_that_ran_it_alone(environ: dict[str, str]) -> None:
    assert not memory.has_run(IMAGE, DOCKER, environ)
    memory.remember(IMAGE, DOCKER, environ)
    memory.remember(IMAGE, DOCKER, environ)
    assert memory.has_run(IMAGE, DOCKER, environ)
    assert not memory.has_run(IMAGE, PODMAN, environ)
    assert not memory.has_run(IMAGE.replace("a", "b"), DOCKER, environ)


def test_another_machine_that_shares_the_cache_knows_nothing(environ: dict[str, str]) -> None:
    memory.remember(IMAGE, DOCKER, environ)
    (engines,) = Path(environ["FORETELL_CACHE"], "engines").iterdir()
    engines.rename(engines.with_name("elsewhere"))
    assert not memory.has_run(IMAGE, DOCKER, environ)


def test_an_image_of_a_registry_is_not_noted(environ: dict[str, str]) -> None:
    memory.remember("registry/toy@sha256:0", DOCKER, environ)
    assert not memory.has_run("registry/toy@sha256:0", DOCKER, environ)


def test_notes_do_not_grow_without_end(environ: dict[str, str]) -> None:
    images = [f"sha256:{number:064x}" for number in range(memory.MOST + 5)]
    for image in images:
        memory.remember(image, DOCKER, environ)
    assert sum(memory.has_run(image, DOCKER, environ) for image in images) == memory.MOST
    assert memory.has_run(images[-1], DOCKER, environ)


def test_where_nothing_can_be_noted_nothing_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {"FORETELL_CACHE": str(tmp_path / "file")}
    memory.remember(IMAGE, DOCKER, environ)
    assert not memory.has_run(IMAGE, DOCKER, environ)
