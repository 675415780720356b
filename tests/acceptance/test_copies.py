"""A command works on copies of its own, and has no secret that nobody gave it; by the command line, as a user sees it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from foretell.sources.copying import copy_directory
from foretell.sources.snapshot import freeze
from foretell.sources.tree import scan
from tests.acceptance.test_cli import foretell

pytestmark = pytest.mark.slow
TOML = 'name = "t"\n[actions.application]\ncommand = "python m.py"\n'
DONE = 'open("output/p.csv", "w").write("id,p\\na,0.5\\n")\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "service"
    place.mkdir()
    (place / "foretell.toml").write_text(TOML)
    return place


def test_a_database_of_the_repository_is_what_it_was(root: Path) -> None:
    with sqlite3.connect(root / "features.db") as features:
        features.execute("create table t(x)")
        features.executemany("insert into t values(?)", [("y" * 1000,)] * 12000)
    (root / "m.py").write_text(
        "import sqlite3\nwith sqlite3.connect('features.db') as c:\n    c.execute('delete from t where rowid > 10')\n"
        f"print('left', c.execute('select count(*) from t').fetchone()[0])\n{DONE}"
    )
    said = foretell(root, "run", "application")
    assert said.code == 0, said.err
    assert "left 10" in said.err
    with sqlite3.connect(root / "features.db") as features:
        assert features.execute("select count(*) from t").fetchone() == (12000,)


def test_a_directory_of_many_files_is_real_and_removed_in_the_copy_alone(root: Path) -> None:
    (root / "data" / "img").mkdir(parents=True)
    (root / "data" / "load.py").touch()
    for number in range(1200):
        (root / "data" / "img" / f"{number}.txt").write_text("x")
    (root / "m.py").write_text(
        "import os, shutil\nfrom pathlib import Path\n"
        "print('walked', sum(len(files) for _, _, files in os.walk('data')))\n"
        "print('globbed', len(list(Path('data').rglob('*.txt'))))\n"
        f"shutil.rmtree('data')\n{DONE}"
    )
    said = foretell(root, "run", "application")
    assert said.code == 0, said.err
    assert "walked 1201" in said.err
    assert "globbed 1200" in said.err
    assert len(list((root / "data" / "img").iterdir())) == 1200


def test_a_large_file_can_be_moved_into_the_output(root: Path) -> None:
    (root / "weights").mkdir()
    (root / "weights" / "base.bin").write_bytes(os.urandom(11 * 1024 * 1024))
    (root / "m.py").write_text("import shutil\nshutil.move('weights/base.bin', 'output/')\n")
    said = foretell(root, "run", "application", "--json")
    assert said.code == 0, said.err
    got = foretell(root, "get", said.document["run"], "--to", str(root.parent / "got"))
    assert got.code == 0, got.err
    assert (root.parent / "got" / "base.bin").read_bytes() == (root / "weights" / "base.bin").read_bytes()


def test_what_is_linked_is_the_original(root: Path) -> None:
    (root / "data" / "raw").mkdir(parents=True)
    (root / "data" / "raw" / "a.txt").write_text("a")
    (root / "foretell.toml").write_text(TOML + '[source]\nlink = ["data/raw"]\n')
    (root / "m.py").write_text(f"print(open('data/raw/a.txt').read())\nopen('data/raw/b.txt', 'w')\n{DONE}")
    said = foretell(root, "run", "application")
    assert said.code == 0, said.err
    assert (root / "data" / "raw" / "b.txt").exists()
    refused = foretell(root, "plan", "application", "--on", "docker")
    assert refused.code == 2
    assert '"data/raw" is too large to copy' in refused.err


def test_a_run_says_once_which_secret_it_does_not_have(root: Path) -> None:
    (root / ".env").write_text("KEY=1")
    (root / "conf").mkdir()
    (root / "conf" / "account.json").write_text(json.dumps({"private_key": "x"}))
    (root / "m.py").write_text(
        f"import os\nprint('here', sorted(os.listdir('.')), os.listdir('conf'))\n{DONE}"
        "raise SystemExit(os.environ['FORETELL_ATTEMPT'] == '1')\n"
    )
    (root / "foretell.toml").write_text(TOML + "retries = 1\n")
    said = foretell(root, "run", "application")
    assert said.code == 0, said.err
    assert "here ['conf', 'foretell.toml', 'm.py', 'output'] []" in said.err
    sentence = '"conf/account.json", ".env" look like secrets and are not in the working directory'
    shown = foretell(root, "show", said.out.split()[0])
    logged = foretell(root, "logs", said.out.split()[0])
    assert shown.out.count(sentence) == 1
    assert (logged.out + logged.err).count(sentence) == 1
    assert not [path for path in (root / ".foretell").rglob("*") if path.name in (".env", "account.json")]


def test_too_little_room_is_told_before_anything_is_copied(root: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=30m", "small", str(small)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk takes rights that are not given here")
    try:
        (root / "foretell.toml").write_text(f'{TOML}[targets.local.platform]\nhome = "{small}"\n')
        (root / "m.py").write_text(DONE)
        (root / "large.bin").write_bytes(os.urandom(20_000_000))
        said = foretell(root, "run", "application")
        assert said.code == 3, said.err
        assert "not enough disk space for the copies that a run works on" in said.err
        assert "they need 40.0 MB" in said.err
        assert f'the largest file is "{root}/large.bin"' in said.err
        assert not list((root / ".foretell").rglob("request.json"))
        assert sum(path.stat().st_size for path in small.rglob("*") if path.is_file()) < 10_000
        os.truncate(root / "large.bin", 10_000_000)
        said = foretell(root, "run", "application")
        assert said.code == 0, said.err
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


@pytest.mark.soak
def test_a_long_copy_is_told(root: Path) -> None:
    (root / "m.py").write_text(DONE)
    for number in range(4):  # in all more than any disk takes in a second
        with (root / f"{number}.bin").open("wb") as file:
            file.write(b"\0" * 300_000_000)
    said = foretell(root, "run", "application")
    assert said.code == 0, said.err
    assert "took a snapshot of the sources: copied 6 files, 1.2 GB, in " in said.err
    assert "foretell: created the working directory: copied 6 files, 1.2 GB, in " in said.err


@pytest.mark.soak
def test_where_files_can_be_cloned_copies_take_no_room(tmp_path: Path) -> None:
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(2**30)
    made = subprocess.run(["mkfs.btrfs", "--quiet", image], check=False).returncode == 0
    if not made or subprocess.run(["mount", "-o", "loop", image, disk], check=False).returncode:
        pytest.skip("a disk with clones takes btrfs-progs and rights that are not given here")
    try:
        root = disk / "service"
        root.mkdir()
        (root / "large.bin").write_bytes(os.urandom(300_000_000))
        os.sync()
        free = shutil.disk_usage(disk).free
        for _ in range(3):
            _, place = freeze(scan(root, []), disk / "home" / "snapshots")
            work = disk / f"work-{os.urandom(4).hex()}"
            work.mkdir()
            copy_directory(place, work)  # in all more than the disk has
            with (work / "large.bin").open("r+b") as file:
                file.write(b"changed")
        os.sync()
        assert free - shutil.disk_usage(disk).free < 20_000_000
        assert (place / "large.bin").read_bytes() == (root / "large.bin").read_bytes()
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
