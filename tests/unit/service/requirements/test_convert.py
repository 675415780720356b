"""Lock files of other tools, read as requirements: which packages, where, pinned how."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet

from foretell.errors import EnvironmentFailedError
from foretell.service.requirements import versions
from foretell.service.requirements.convert import converted
from foretell.service.requirements.pins import PYPI
from foretell.service.requirements.steps import steps

SHA = "a" * 64
OLD, NEW = (
    {"python_version": "3.8", "python_full_version": "3.8.1"},
    {"python_version": "3.12", "python_full_version": "3.12.1"},
)


def read(root: Path, name: str, *groups: str, **texts: str) -> str:
    for key, text in texts.items():
        (root / {"lock": name, "pyproject": "pyproject.toml"}[key]).write_text(text)
    found = converted(root / name, root, groups)
    assert found is not None
    return found[0]


def held(text: str, environment: dict[str, str] | None = None) -> dict[str, str]:
    """What a requirements file names, with its versions, for an interpreter."""
    found = {}
    for line in re.sub(r" \\\n\s+--hash=\S+", "", text).splitlines():
        what, _, marker = line.partition(" ; ")
        if line.startswith(("#", "--")) or (marker and not Marker(marker).evaluate(environment or NEW)):
            continue
        name, _, version = what.partition("==")
        found[name] = version
    return found


# --- poetry -----------------------------------------------------------------------------------------------------------

POETRY = """
[tool.poetry]
name = "m"
version = "0"
[tool.poetry.dependencies]
python = "^3.8"
client = {version = "^0.27", extras = ["socks"]}
"Old.Only" = {version = "^2", python = "<3.11"}
windows = {version = "*", platform = "win32"}
two = [{version = "<25", python = "<3.9"}, {version = ">=25", python = ">=3.9"}]
speed = {version = "*", optional = true}
[tool.poetry.extras]
fast = ["speed"]
[tool.poetry.group.dev.dependencies]
tests = "*"
[tool.poetry.group.train]
optional = true
[tool.poetry.group.train.dependencies]
learn = "^1"
"""


def package(name: str, version: str, more: str = "", after: str = "") -> str:
    return f"""
[[package]]
name = "{name}"
version = "{version}"
description = ""
optional = false
{more if "python-versions" in more else 'python-versions = ">=3.7"'}
{more if "python-versions" not in more else ""}
files = [
    {{file = "{name}-{version}-py3-none-any.whl", hash = "sha256:{SHA}"}},
    {{file = "{name}-{version}.tar.gz", hash = "md5:0"}},
]
{after}
"""


def grouped(*names: str) -> str:
    return f"groups = {list(names)}".replace("'", '"')


NEWER = (
    package("client", "0.27.2", grouped("main"), "[package.dependencies]\nsocksio = '>=1'\n")
    + package("socksio", "1.0.0", grouped("main"))
    + package("old-only", "2.0", grouped("main") + "\nmarkers = 'python_version < \"3.11\"'")
    + package("windows", "1", grouped("main") + "\nmarkers = 'sys_platform == \"win32\"'")
    + package("two", "24.0", grouped("main") + "\nmarkers = 'python_version < \"3.9\"'")
    + package("two", "25.0", grouped("main") + "\nmarkers = 'python_version >= \"3.9\"'")
    + package("speed", "1", grouped("main") + "\nmarkers = 'extra == \"fast\"'")
    + package("tests", "9", grouped("dev"))
    + package(
        "shared", "3", grouped("dev", "train") + '\nmarkers = {dev = "python_version < \\"3\\"", train = ""}'
    )
    + package("learn", "1.5", grouped("train"))
    + '[metadata]\nlock-version = "2.1"\n'
)
OLDER = (
    package(
        "client",
        "0.27.2",
        after='[package.dependencies]\nsocksio = {version = "==1.*", optional = true, markers = "extra == \\"socks\\""}\nbase = "*"\n[package.extras]\nsocks = ["socksio (==1.*)"]\nhttp2 = ["h2 (>=3)"]\n',
    )
    + package("socksio", "1.0.0")
    + package("h2", "4.0")
    + package(
        "base",
        "1",
        after='[package.dependencies]\nclient = "*"\n"Old.Only" = {version = "*", markers = "python_version < \\"3.9\\""}\n',
    )
    + package("old-only", "2.0")
    + package("windows", "1")
    + package("two", "24.0", 'python-versions = ">=3.7,<3.9"')
    + package("two", "25.0", 'python-versions = ">=3.9"')
    + package("speed", "1")
    + package("tests", "9", after='[package.dependencies]\nshared = "*"\n')
    + package("shared", "3")
    + package("learn", "1.5", after='[package.dependencies]\nshared = "*"\n')
    + '[metadata]\nlock-version = "2.0"\n'
)
MAIN = {"client": "0.27.2", "socksio": "1.0.0", "two": "25.0"}


@pytest.mark.parametrize("lock", [NEWER, OLDER], ids=["2.1", "2.0"])
def test_what_poetry_locked_is_what_its_main_group_needs(tmp_path: Path, lock: str) -> None:
    text = read(tmp_path, "poetry.lock", lock=lock, pyproject=POETRY)
    base = {"base": "1"} if lock is OLDER else {}
    assert held(text) == MAIN | base
    assert held(text, OLD) == MAIN | base | {"old-only": "2.0", "two": "24.0"}
    assert held(text, NEW | {"sys_platform": "win32"}) == MAIN | base | {"windows": "1"}
    assert text.count(f"--hash=sha256:{SHA}") == len(
        [line for line in text.splitlines() if "==" in line and line[0] != " "]
    )
    assert "md5" not in text


@pytest.mark.parametrize("lock", [NEWER, OLDER], ids=["2.1", "2.0"])
def test_groups_and_extras_of_poetry_come_where_they_are_asked_for(tmp_path: Path, lock: str) -> None:
    base = {"base": "1"} if lock is OLDER else {}
    text = read(tmp_path, "poetry.lock", "train", "fast", lock=lock, pyproject=POETRY)
    assert held(text) == MAIN | base | {"learn": "1.5", "shared": "3", "speed": "1"}


def test_sources_other_than_the_index_are_named(tmp_path: Path) -> None:
    origin = 'type = "git"\nurl = "git@example.com:a/b.git"\nreference = "main"\nresolved_reference = "c0ffee"\nsubdirectory = "x"'
    lock = (
        package("one", "1", grouped("main"), f"[package.source]\n{origin}\n")
        + package("two", "1", grouped("main"), '[package.source]\ntype = "directory"\nurl = "../lib"\n')
        + package("three", "1", grouped("main"), '[package.source]\ntype = "file"\nurl = "w/three-1.whl"\n')
        + package(
            "four", "1", grouped("main"), '[package.source]\ntype = "url"\nurl = "https://x/four.whl"\n'
        )
        + package(
            "five",
            "1",
            grouped("main"),
            '[package.source]\ntype = "legacy"\nurl = "https://x/simple"\nreference = "x"\n',
        )
    )
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "poetry.lock").write_text(lock)
    found = converted(tmp_path / "source" / "poetry.lock", tmp_path, ())
    assert found is not None
    lines = [line.removesuffix(" \\") for line in found[0].splitlines()]
    assert [line for line in lines[1:] if not line.startswith(" ")] == [
        "--extra-index-url https://x/simple",
        "./lib",
        "./source/w/three-1.whl",
        "five==1",
        "four @ https://x/four.whl",
        "one @ git+ssh://git@example.com/a/b.git@c0ffee#subdirectory=x",
    ]


def test_a_lock_that_lacks_what_the_project_asks_for_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailedError) as caught:
        read(tmp_path, "poetry.lock", lock=NEWER, pyproject=POETRY.replace("client", "another"))
    assert 'lacks "another"' in caught.value.why
    assert "poetry lock" in caught.value.hint


def test_a_project_of_poetry_without_a_lock_is_read(tmp_path: Path) -> None:
    text = read(tmp_path, "pyproject.toml", "train", pyproject=POETRY)
    assert [line for line in text.splitlines() if line[0] != "#"] == [
        "client[socks]>=0.27,<0.28",
        'Old.Only>=2,<3 ; python_full_version < "3.11"',
        'windows ; sys_platform == "win32"',
        'two<25 ; python_full_version < "3.9"',
        'two>=25 ; python_full_version >= "3.9"',
        "learn>=1,<2",
    ]


def test_what_no_requirement_can_say_is_told_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailedError) as caught:
        read(tmp_path, "pyproject.toml", pyproject='[tool.poetry.dependencies]\nsix = "^1 || ^3"\n')
    assert "six" in caught.value.why
    assert "poetry lock" in caught.value.hint


@pytest.mark.parametrize(
    ("constraint", "inside", "outside"),
    [
        ("^1.2.3", ["1.2.3", "1.9"], ["1.2.2", "2.0"]),
        ("^0.2.3", ["0.2.3"], ["0.3.0", "0.2.2"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0", ["0.9"], ["1.0"]),
        ("^1.x", ["1.9"], ["2.0"]),
        ("~1.2.3", ["1.2.9"], ["1.3"]),
        ("~1.2", ["1.2.9"], ["1.3"]),
        ("~1", ["1.9"], ["2.0"]),
        ("~=1.2", ["1.9"], ["2.0"]),
        ("1.2", ["1.2"], ["1.2.1"]),
        ("1.2.*", ["1.2.9"], ["1.3"]),
        ("*", ["0.1"], []),
        (">=1,<2", ["1.5"], ["2.0"]),
        (">= 1.0 <2.0, !=1.5", ["1.0"], ["1.5", "2.0"]),
        ("^1 || ^3", ["1.5", "3.5"], ["2.0"]),
        ("==1.0 | ==2.0", ["1.0", "2.0"], ["1.5"]),
    ],
)
def test_a_constraint_of_poetry_means_what_it_does_there(
    constraint: str, inside: list[str], outside: list[str]
) -> None:
    found = [SpecifierSet(one) for one in versions.alternatives(constraint)]
    assert all(any(version in one for one in found) for version in inside)
    assert not any(version in one for one in found for version in outside)
    if marker := versions.marker(constraint):
        assert all(Marker(marker).evaluate({"python_full_version": version}) for version in inside)
        assert not any(Marker(marker).evaluate({"python_full_version": version}) for version in outside)


@pytest.mark.parametrize("constraint", ["latest", "^", "1.0 or 2", "^a"])
def test_what_is_no_constraint_is_told(constraint: str) -> None:
    with pytest.raises(versions.UnclearError):
        versions.alternatives(constraint)


# --- pdm --------------------------------------------------------------------------------------------------------------

PDM = """
[project]
name = "m"
dependencies = ["client[socks]>=0.27", "old-only; python_version < '3.11'"]
[project.optional-dependencies]
fast = ["speed"]
[dependency-groups]
dev = ["tests"]
train = ["learn"]
"""


def of_pdm(name: str, version: str, groups: str, more: str = "") -> str:
    said = f"groups = [{groups}]\n" if groups else ""
    return f'[[package]]\nname = "{name}"\nversion = "{version}"\n{said}{more}\nfiles = [{{file = "x", hash = "sha256:{SHA}"}}]\n'


def lock_of_pdm(*, grouped: bool) -> str:
    def named(text: str) -> str:
        return text if grouped else ""

    marker = "marker = \"python_version < '3.11'\"" if grouped else ""
    return (
        of_pdm("client", "0.27", named('"default"'), 'dependencies = ["base"]')
        + of_pdm(
            "client",
            "0.27",
            named('"default"'),
            'extras = ["socks"]\ndependencies = ["client==0.27", "socksio==1.*"]',
        )
        + of_pdm("base", "1", named('"default"'))
        + of_pdm("socksio", "1.0", named('"default"'))
        + of_pdm("old-only", "2.0", named('"default"'), marker)
        + of_pdm("speed", "1", named('"fast"'))
        + of_pdm("tests", "9", named('"dev"'))
        + of_pdm("learn", "1.5", named('"train"'))
    )


@pytest.mark.parametrize("grouped", [True, False])
def test_what_pdm_locked_is_what_its_groups_need(tmp_path: Path, grouped: bool) -> None:
    lock = lock_of_pdm(grouped=grouped)
    text = read(tmp_path, "pdm.lock", lock=lock, pyproject=PDM)
    default = {"client": "0.27", "base": "1", "socksio": "1.0"}
    assert held(text) == default
    assert held(text, OLD) == default | {"old-only": "2.0"}
    assert text.count("client==") == 1
    text = read(tmp_path, "pdm.lock", "train", "fast", lock=lock, pyproject=PDM)
    assert held(text) == default | {"learn": "1.5", "speed": "1"}


def test_a_lock_of_pdm_that_lacks_what_the_project_asks_for_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailedError, match=r"pdm\.lock"):
        read(tmp_path, "pdm.lock", lock=lock_of_pdm(grouped=True), pyproject=PDM.replace("client", "another"))


# --- pipenv -----------------------------------------------------------------------------------------------------------

PIPENV = """
{"_meta": {"sources": [%s], "requires": {"python_version": "3.11"}},
 "default": {
  "six": {"hashes": ["sha256:%s"], "version": "==1.0", "markers": "python_version >= '3'", "index": "pypi"},
  "any": {"version": "*"},
  "lib": {"editable": true, "path": "./lib"},
  "far": {"file": "https://x/far.whl", "hashes": ["sha256:%s"]},
  "vcs": {"git": "https://x/vcs.git", "ref": "c0ffee", "subdirectory": "py"}},
 "develop": {"tests": {"version": "==9"}},
 "train": {"learn": {"version": "==1.5"}}}
"""
SOURCES = f'{{"name": "pypi", "url": "https://{PYPI}/simple", "verify_ssl": true}}'
OWN = '{"name": "own", "url": "https://own/simple", "verify_ssl": true}'


def test_what_pipenv_locked_is_installed_without_what_is_for_development(tmp_path: Path) -> None:
    text = read(tmp_path, "Pipfile.lock", lock=PIPENV % (SOURCES, SHA, SHA))
    assert text.splitlines()[1:] == [
        "./lib",
        "any",
        "far @ https://x/far.whl \\",
        f"    --hash=sha256:{SHA}",
        "six==1.0 ; python_version >= '3' \\",
        f"    --hash=sha256:{SHA}",
        "vcs @ git+https://x/vcs.git@c0ffee#subdirectory=py",
    ]
    assert "learn==1.5" in read(tmp_path, "Pipfile.lock", "train")
    assert "tests==9" in read(tmp_path, "Pipfile.lock", "dev")


@pytest.mark.parametrize(
    ("sources", "options"),
    [
        (SOURCES, []),
        (OWN, ["--index-url https://own/simple"]),
        (f"{SOURCES}, {OWN}", ["--extra-index-url https://own/simple"]),
        (
            f"{OWN}, {SOURCES}",
            ["--index-url https://own/simple", f"--extra-index-url https://{PYPI}/simple"],
        ),
    ],
)
def test_the_indexes_of_pipenv_are_asked(tmp_path: Path, sources: str, options: list[str]) -> None:
    text = read(tmp_path, "Pipfile.lock", lock=PIPENV % (sources, SHA, SHA))
    assert [line for line in text.splitlines() if line.startswith("--")] == options


@pytest.mark.parametrize("name", ["poetry.lock", "pdm.lock", "Pipfile.lock"])
def test_a_lock_that_is_none_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("<<<<<<< HEAD\n")
    with pytest.raises(EnvironmentFailedError, match=f'"{name}" cannot be installed'):
        steps([tmp_path / name], tmp_path, ())
