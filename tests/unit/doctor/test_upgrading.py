"""An image that an older Foretell has made: it runs, and nothing is asked of it that it would ignore."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from foretell import load
from foretell.controller.freeze import Frozen
from foretell.doctor.upgrading import upgrading
from foretell.errors import UsageError
from foretell.images import chosen, lock
from foretell.images.lock import Locked
from foretell.protocol import records
from foretell.protocol.records import FORMAT, Request, decode
from foretell.service.model import Action, Service

IMAGE = f"registry.example.com/toy@sha256:{'1' * 64}"
OLD_LOCK = f'[production]\nimage = "{IMAGE}"\ntag = "registry.example.com/toy:1"\nfingerprint = "f"\n'
FIXTURES = Path(__file__).parents[2] / "fixtures" / "records"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    (tmp_path / "foretell.toml").write_text(
        'name = "toy"\n[actions.training]\ncommand = "true"\noutput = "models"\n'
        "[targets.production]\n"
        f'store = "{tmp_path.as_uri()}/store"\nplatform = {{kind = "docker"}}\n'
    )
    (tmp_path / "foretell.lock").write_text(OLD_LOCK)
    return load(tmp_path)


def test_a_lock_of_before_formats_reads_the_first_and_a_new_one_says_its_own(service: Service) -> None:
    assert lock.read(service.root)["production"].reads == 1
    entry = Locked(image=IMAGE.replace("1" * 64, "2" * 64), tag="t", fingerprint="f", reads=FORMAT)
    assert lock.write(service.root, "production", entry)
    assert lock.read(service.root)["production"] == entry


def test_a_named_image_reads_what_the_lock_says_of_it_and_else_the_least(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = service.targets["production"]
    lock.write(
        service.root, "production", Locked(image=f"{IMAGE[:-1]}3", tag="t", fingerprint="f", reads=FORMAT)
    )
    assert chosen.named(service, target, f"{IMAGE[:-1]}3").reads == FORMAT
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("FORETELL_ENGINE", raising=False)
    assert chosen.named(service, target, IMAGE).reads is None
    assert chosen.labelled(IMAGE) == 1, "no engine of this machine knows it"


def test_an_old_agent_is_refused_what_it_would_ignore_and_given_all_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = FIXTURES / "request-1-here.json"
    request = decode(path.read_bytes(), Request, path.name)
    newer = replace(request, spec=replace(request.spec, output="models"))
    monkeypatch.setattr(records, "SINCE_2", {Action: frozenset({"output"})})
    old, new = Frozen(fingerprint="f", image=IMAGE, reads=1), Frozen(fingerprint="f", image=IMAGE)
    old.must_heed(request)
    new.must_heed(newer)
    with pytest.raises(UsageError) as refused:
        old.must_heed(newer)
    assert refused.value.exit_code == 2
    assert "would ignore output of foretell.toml" in refused.value.what
    assert refused.value.where == IMAGE
    assert "`foretell build --push --on here`" in refused.value.hint
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("FORETELL_ENGINE", raising=False)
    unknown = replace(old, reads=None)
    unknown.must_heed(request)
    with pytest.raises(UsageError):
        unknown.must_heed(newer)


def test_the_doctor_tells_of_an_older_image(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    target = service.targets["production"]
    (check,) = upgrading(service, target)
    assert (check.state, check.fix) == ("warning", "foretell build --push --on production")
    monkeypatch.setattr(records, "SINCE_2", {Action: frozenset({"output"})})
    (check,) = upgrading(service, target)
    assert check.state == "missing"
    assert "it would ignore output" in check.detail
    (service.root / "foretell.lock").write_text(f"{OLD_LOCK}reads = {FORMAT}\n")
    assert not list(upgrading(service, target))
    assert not list(upgrading(service, service.targets["local"]))
