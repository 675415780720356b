"""Which files belong to a service, their fingerprint, the frozen copy, the revision."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foretell import load, sources
from foretell.errors import UsageError
from foretell.sources.fingerprint import fingerprint
from foretell.sources.revision import ask_revision, read_revision, revision
from foretell.sources.snapshot import freeze
from foretell.sources.tree import Tree, of, scan

OUTPUTS = ["output"]
LARGE = 10 * 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "service"
    write(place, {"foretell.toml": 'name = "x"', "source/main.py": "print(1)"})
    return place


def write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def large(path: Path, size: int = LARGE + 1) -> None:
    """Make a file that is long and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def flip(path: Path) -> None:
    """Change a file's last byte and nothing else, its time included."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def kinds(tree: Tree) -> dict[str, str]:
    return {entry.path: entry.kind for entry in tree.entries}


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def test_the_default_leaves_out_git_outputs_environments_and_caches(root: Path) -> None:
    write(
        root,
        {
            ".git/HEAD": "",
            "source/.git": "gitdir: ../.git/modules/source",
            "output/model.pkl": "",
            ".foretell/store/x": "",
            "env/pyvenv.cfg": "",
            "env/lib/x.py": "",
            "source/__pycache__/main.pyc": "",
            "node_modules/x/y.js": "",
            "20261121T060000Z-1/model.pkl": "as foretell get brings it",
            "source/20261121T060000.123Z-12/model.pkl": "",
            "source/output/kept": "only the declared output directory is one",
        },
    )
    assert list(kinds(scan(root, OUTPUTS))) == ["foretell.toml", "source/main.py", "source/output/kept"]


def test_what_foretellignore_names_is_left_out_and_the_rest_of_the_rules_stay(root: Path) -> None:
    write(
        root,
        {
            ".foretellignore": "# comment\n*.csv\n!keep.csv\n/notes/\n!.mypy_cache\n!.git\n!output\n",
            "a.csv": "",
            "keep.csv": "",
            "notes/x": "",
            "source/notes/x": "",
            ".mypy_cache/x": "",
            "__pycache__/x": "",
            ".git/x": "",
            "output/x": "",
        },
    )
    assert set(kinds(scan(root, OUTPUTS))) == {
        ".foretellignore",
        ".mypy_cache/x",
        "foretell.toml",
        "keep.csv",
        "source/main.py",
        "source/notes/x",
    }


def test_pathspec_is_loaded_only_for_a_foretellignore(root: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from foretell.sources.tree import scan\n"
        "scan(Path('.'), []); print('pathspec' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(sources.__file__).parents[2])}
    argv = [sys.executable, "-c", script]
    assert subprocess.check_output(argv, cwd=root, env=env) == b"False\n"
    write(root, {".foretellignore": "x"})
    assert subprocess.check_output(argv, cwd=root, env=env) == b"True\n"


def test_everything_is_copied_whatever_its_size_or_number(root: Path) -> None:
    large(root / "data" / "customers.parquet")
    for number in range(1100):
        write(root, {f"data/images/{number % 7}/{number}.jpg": ""})
    assert set(kinds(scan(root, OUTPUTS)).values()) == {"copy"}


def test_what_is_named_as_link_is_one(root: Path) -> None:
    write(root, {"data/raw/a/1": "", "data/raw/.env": "", "data/big.bin": "", "data/small": ""})
    tree = scan(root, OUTPUTS, links=["data/raw", "data/big.bin"])
    links = {entry.path: entry.target for entry in tree.entries if entry.kind == "link"}
    assert links == {"data/raw": str(root / "data/raw"), "data/big.bin": str(root / "data/big.bin")}
    assert kinds(tree)["data/small"] == "copy"
    assert not any(path.startswith("data/raw/") for path in kinds(tree))


def test_where_foretell_itself_writes_is_no_part_of_the_sources(root: Path) -> None:
    text = 'name = "x"\n[actions.a]\ncommand = "true"\n[targets.here]\nstore = "runs"\n[targets.here.platform]\nhome = "work"\n'
    write(root, {"foretell.toml": text, "runs/x": "", "work/y": "", "works": ""})
    assert set(kinds(of(load(root)))) == {"foretell.toml", "source/main.py", "works"}


def test_symlinks_inside_are_kept_and_those_to_the_outside_made_absolute(root: Path, tmp_path: Path) -> None:
    write(tmp_path, {"elsewhere/table.csv": "a"})
    (root / "inside").symlink_to("source/main.py")
    (root / "source" / "absolute").symlink_to(root / "foretell.toml")
    (root / "outside").symlink_to("../elsewhere")
    (root / "dangling").symlink_to("/nowhere/at/all")
    (root / "loop").symlink_to("loop")
    targets = {entry.path: entry.target for entry in scan(root, OUTPUTS).entries if entry.kind == "symlink"}
    assert targets == {
        "inside": "source/main.py",
        "source/absolute": "../foretell.toml",
        "outside": str(tmp_path / "elsewhere"),
        "dangling": "/nowhere/at/all",
        "loop": "loop",
    }


def test_sockets_and_pipes_are_passed_over_and_empty_directories_kept(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "tmp" / "empty").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "s"))
        assert kinds(scan(root, OUTPUTS)) == {
            "foretell.toml": "copy",
            "source/main.py": "copy",
            "tmp/empty": "directory",
        }


def test_what_cannot_be_read_is_named(root: Path) -> None:
    tree = scan(root, OUTPUTS)
    (root / "source/main.py").unlink()
    (root / "source/main.py").mkdir()
    with pytest.raises(UsageError, match=r"source/main\.py") as caught:
        fingerprint(tree)
    assert caught.value.why == "is a directory"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        scan(tmp_path / "nowhere", OUTPUTS)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "source/main.py").write_text("print(2)"),
    "name": lambda root: (root / "source/main.py").rename(root / "source/other.py"),
    "a new file": lambda root: (root / "new").touch(),
    "the executable bit": lambda root: (root / "source/main.py").chmod(0o755),
    "an empty directory": lambda root: (root / "new").mkdir(),
    "a symlink": lambda root: (root / "new").symlink_to("foretell.toml"),
    "a large file's last byte": lambda root: flip(root / "data.bin"),
    "the size of a linked file": lambda root: large(root / "linked.bin", LARGE + 2),
    "the time of a linked file": lambda root: os.utime(root / "linked.bin", (1, 1)),
    "a file in a linked directory": lambda root: os.utime(root / "images/deep/1", (1, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_changes_with(root: Path, change: str) -> None:
    for name in ("data.bin", "linked.bin", "images/deep/1", "images/2"):
        large(root / name)
    links = ["linked.bin", "images"]
    before = fingerprint(scan(root, OUTPUTS, links=links))
    CHANGES[change](root)
    assert fingerprint(scan(root, OUTPUTS, links=links)) != before


def test_the_fingerprint_is_the_same_wherever_and_whenever_the_files_lie(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, {"source/main.py": "print(1)", "foretell.toml": 'name = "x"', "output/x": "", ".git/x": ""})
    os.utime(other / "foretell.toml", (1, 1))
    (other / "foretell.toml").chmod(0o600)
    mark = fingerprint(scan(root, OUTPUTS))
    assert mark == fingerprint(scan(other, OUTPUTS))
    assert re.fullmatch("[0-9a-f]{64}", mark)


def test_names_of_any_bytes_are_frozen(root: Path, tmp_path: Path) -> None:
    strange = ["späce and ö", "new\nline", os.fsdecode(b"\xff\xfe"), "*?[x]"]
    for name in strange:
        (root / name).write_text(name.encode(errors="surrogateescape").hex())
    _, place = freeze(scan(root, OUTPUTS), tmp_path / "snapshots")
    assert set(strange) <= set(names(place))


def test_a_frozen_copy_holds_everything_and_is_not_touched_by_edits(root: Path, tmp_path: Path) -> None:
    large(root / "data" / "customers.parquet")
    (root / "run.sh").write_text("#!/bin/sh")
    (root / "run.sh").chmod(0o755)
    (root / "empty").mkdir()
    mark, place = freeze(scan(root, OUTPUTS), tmp_path / "snapshots")
    write(root, {"source/main.py": "edited"})
    assert place == tmp_path / "snapshots" / mark[:32]
    assert (place / "source/main.py").read_text() == "print(1)"
    assert os.access(place / "run.sh", os.X_OK)
    assert (place / "empty").is_dir()
    assert not (place / "data/customers.parquet").is_symlink()
    assert (place / "data/customers.parquet").stat().st_size == LARGE + 1
    assert names(tmp_path / "snapshots") == [place.name]


def test_the_same_files_are_frozen_once(root: Path, tmp_path: Path) -> None:
    tree = scan(root, OUTPUTS)
    first = freeze(tree, tmp_path / "snapshots")
    made = first[1].stat().st_ino
    assert freeze(scan(root, OUTPUTS), tmp_path / "snapshots") == first
    assert first[1].stat().st_ino == made
    assert first[0] == fingerprint(tree)


@pytest.mark.parametrize("damage", ["cut", "removed"])
def test_a_damaged_copy_is_made_again(root: Path, tmp_path: Path, damage: str) -> None:
    tree = scan(root, OUTPUTS)
    _, place = freeze(tree, tmp_path / "snapshots")
    if damage == "cut":
        os.truncate(place / "source/main.py", 0)
    else:
        (place / "source/main.py").unlink()
    assert freeze(tree, tmp_path / "snapshots")[1] == place
    assert (place / "source/main.py").read_text() == "print(1)"
    assert names(tmp_path / "snapshots") == [place.name]


def test_many_who_freeze_at_once_share_one_copy(root: Path, tmp_path: Path) -> None:
    for number in range(50):
        write(root, {f"source/m{number}.py": str(number)})
    tree = scan(root, OUTPUTS)
    with ThreadPoolExecutor(16) as pool:
        results = set(pool.map(lambda _: freeze(tree, tmp_path / "snapshots"), range(32)))
    assert len(results) == 1
    assert names(tmp_path / "snapshots") == [place.name for _, place in results]


def test_an_edit_while_it_is_copied_cannot_make_the_fingerprint_lie(root: Path, tmp_path: Path) -> None:
    tree = scan(root, OUTPUTS)
    write(root, {"source/main.py": "edited after the look"})
    mark, place = freeze(tree, tmp_path / "snapshots")
    assert mark == fingerprint(scan(place, OUTPUTS))
    assert (place / "source/main.py").read_text() == "edited after the look"


def test_a_file_that_vanishes_meanwhile_is_no_part_of_the_copy(root: Path, tmp_path: Path) -> None:
    write(root, {"#main.py#": ""})
    tree = scan(root, OUTPUTS)
    (root / "#main.py#").unlink()
    mark, place = freeze(tree, tmp_path / "snapshots")
    assert mark == fingerprint(scan(root, OUTPUTS))
    assert not (place / "#main.py#").exists()


def test_the_revision_is_the_commit_with_a_plus_for_changes(root: Path) -> None:
    assert revision(root) == ""
    git(root, "init")
    assert revision(root) == ""
    git(root, "add", ".")
    git(root, "commit", "-m", "x")
    clean = revision(root, OUTPUTS)
    assert re.fullmatch("[0-9a-f]{40}", clean)
    write(
        root,
        {"output/x": "", ".foretell/x": "", "source/__pycache__/x.pyc": "", "20261121T060000.1Z-2/x": ""},
    )
    assert revision(root, OUTPUTS) == clean
    write(root, {"source/main.py": "edited"})
    assert revision(root, OUTPUTS) == f"{clean}+"


def test_the_revision_is_empty_where_there_is_no_git(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    assert revision(root) == ""


def test_the_revision_is_empty_where_git_takes_too_long(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "bin" / "git"
    write(tmp_path, {"bin/git": "#!/bin/sh\nexec sleep 60\n"})
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    asked = ask_revision(root)
    assert read_revision(asked, patience=0.05) == ""
    assert asked is not None
    assert asked.returncode is not None
