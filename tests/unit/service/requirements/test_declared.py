"""Which of the files that lie there say what a model needs, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell import scaffold
from foretell.errors import ServiceFileError
from foretell.service.load import load
from foretell.service.model import Source
from foretell.service.requirements import declared

FILE = 'name = "a"\n[actions.training]\ncommand = "python -u train.py --fast"\n'
PROJECT = '[project]\nname = "m"\nversion = "1"\ndependencies = ["six"]\n'
DYNAMIC = '[project]\nname = "m"\nversion = "1"\ndynamic = ["dependencies"]\n'
POETRY = '[tool.poetry]\nname = "m"\n[tool.poetry.dependencies]\npython = "^3.9"\nsix = "*"\n'
SCRIPT = '# /// script\n# requires-python = ">=3.8"\n# dependencies = ["six"]\n# ///\n'
IN_ORDER: tuple[tuple[str, str], ...] = (
    ("requirements.txt", ""),
    ("uv.lock", ""),
    ("pylock.toml", ""),
    ("poetry.lock", ""),
    ("pdm.lock", ""),
    ("Pipfile.lock", "{}"),
    ("pyproject.toml", PROJECT),
    ("setup.py", ""),
    ("requirements.in", ""),
    ("requirements/base.txt", ""),
    ("train.py", SCRIPT),
)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def source(root: Path, more: str = "", files: dict[str, str] | None = None) -> Source:
    write(root, {"foretell.toml": f"{FILE}{more}", **(files or {})})
    return load(root, environ={}).source


def taken(found: Source) -> tuple[str, ...]:
    return found.requirements if found.locked is None else (f"{found.locked}/uv.lock",)


def faults(root: Path, more: str) -> str:
    with pytest.raises(ServiceFileError) as caught:
        source(root, more)
    return str(caught.value)


@pytest.mark.parametrize("first", range(len(IN_ORDER)))
def test_the_first_that_is_there_is_taken(tmp_path: Path, first: int) -> None:
    files = dict(IN_ORDER[first:])
    if "uv.lock" in files:
        files["pyproject.toml"] = PROJECT
    found = source(tmp_path, files=files)
    assert taken(found) == (IN_ORDER[first][0] if first != 1 else "./uv.lock",)
    rest = {name for name, _ in IN_ORDER[first + 1 :]}
    beside = declared.passed_over(found, tmp_path, ["train.py"]).beside
    assert rest - {"pyproject.toml", "setup.py", "requirements.in", "requirements/base.txt"} <= set(beside)


@pytest.mark.parametrize("name", [name for name, _ in IN_ORDER if name != "train.py"])
def test_the_source_comes_before_the_root(tmp_path: Path, name: str) -> None:
    text = dict(IN_ORDER)[name]
    both = {f"{place}{name}": text for place in ("", "source/")}
    if name == "uv.lock":
        both |= {"pyproject.toml": "", "source/pyproject.toml": ""}
    found = taken(source(tmp_path, files=both))
    assert found[0] == f"source/{name}"
    assert found[1:] == ((name,) if name == "requirements.txt" else ())


@pytest.mark.parametrize("later", [name for name, _ in IN_ORDER if name not in {"train.py", "uv.lock"}])
def test_whatever_says_it_in_the_source_comes_before_all_that_the_root_has(
    tmp_path: Path, later: str
) -> None:
    root = {name: text for name, text in IN_ORDER if name != "train.py"} | {"pyproject.toml": PROJECT}
    found = source(tmp_path, files=root | {f"source/{later}": dict(IN_ORDER)[later]})
    assert taken(found)[0] == f"source/{later}"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pyproject.toml": DYNAMIC}, ("pyproject.toml",)),
        ({"pyproject.toml": POETRY}, ("pyproject.toml",)),
        ({"pyproject.toml": "[tool.ruff]\n", "requirements.in": ""}, ("requirements.in",)),
        ({"pyproject.toml": '[project]\nname = "m"\n', "setup.py": ""}, ("setup.py",)),
        ({"setup.cfg": "[options]\ninstall_requires =\n  six\n"}, ("setup.cfg",)),
        ({"setup.cfg": "[flake8]\nmax-line-length = 100\n"}, ()),
        ({"requirements/only.txt": ""}, ("requirements/only.txt",)),
        ({"requirements/only.in": "", "requirements/only.txt": ""}, ("requirements/only.txt",)),
        ({"requirements/main.txt": "", "requirements/test.txt": ""}, ("requirements/main.txt",)),
        ({"requirements/prod.in": "", "requirements/dev.in": ""}, ("requirements/prod.in",)),
        ({"requirements/a.txt": "", "requirements/b.txt": ""}, ()),
        ({"train.py": "print()\n"}, ()),
        ({"uv.lock": ""}, ()),
    ],
)
def test_what_declares_nothing_is_passed_over(
    tmp_path: Path, files: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert taken(source(tmp_path, files=files)) == expected


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ('"python train.py"', True),
        ('["python3.11", "-u", "./train.py", "x"]', True),
        ('"./train.py"', True),
        ('commands = ["make", ["python", "train.py"]]', True),
        ('"python -m train.py"', False),
        ('"python other.py train.py"', False),
        ('"sh -c train.py"', False),
    ],
)
def test_a_script_that_says_what_it_needs_is_found_by_the_command(
    tmp_path: Path, command: str, script: bool
) -> None:
    line = command if command.startswith("commands") else f"command = {command}"
    write(tmp_path, {"train.py": SCRIPT, "foretell.toml": f'name = "a"\n[actions.a]\n{line}\n'})
    found = load(tmp_path, environ={}).source
    assert found.requirements == (("train.py",) if script else ())
    assert found.python == (">=3.8" if script else None)


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("environment.yml", "requirements.txt"),
        ("conda.yaml", "requirements.txt"),
        ("renv.lock", "[image] dockerfile"),
        ("DESCRIPTION", "[image] dockerfile"),
        ("MLproject", "[actions]"),
        ("Pipfile", "pipenv lock"),
    ],
)
def test_what_other_tools_read_is_told_with_the_mend(tmp_path: Path, name: str, mend: str) -> None:
    found = source(tmp_path, files={name: ""})
    said = declared.sentences(declared.passed_over(found, tmp_path))
    assert taken(found) == ()
    assert said[0] == "no packages are installed: no supported file declares any"
    assert said[1].startswith(f"{name} is not read: ")
    assert mend in said[1]


def test_what_was_taken_is_said_with_what_lay_beside_it(tmp_path: Path) -> None:
    found = source(tmp_path, files={"poetry.lock": "", "pyproject.toml": POETRY, "requirements.in": ""})
    assert declared.sentences(declared.passed_over(found, tmp_path)) == [
        "packages are installed from poetry.lock",
        "not read: requirements.in; choose with [source] requirements",
    ]
    assert declared.sentences(declared.passed_over(Source(), tmp_path / "nowhere")) == []


@pytest.mark.parametrize(
    ("files", "python"),
    [
        ({"pyproject.toml": POETRY}, ">=3.9,<4"),
        ({"pyproject.toml": POETRY, ".python-version": "3.12\n"}, "3.12"),
        ({"Pipfile": '[requires]\npython_version = "3.8"\n', "Pipfile.lock": "{}"}, "3.8"),
        ({"pylock.toml": 'lock-version = "1.0"\nrequires-python = ">=3.10"\n'}, ">=3.10"),
        ({"setup.cfg": "[options]\npython_requires = >=3.7\ninstall_requires = six\n"}, ">=3.7"),
    ],
)
def test_the_python_of_a_project_is_asked_for(tmp_path: Path, files: dict[str, str], python: str) -> None:
    assert source(tmp_path, files=files).python == python


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"poetry.lock": ""}, "packages are installed from poetry.lock"),
        ({"environment.yml": ""}, "environment.yml is not read: write its packages into a requirements.txt"),
        ({}, "no file says which Python packages are needed: write a requirements.txt, unless none are"),
        ({"source/pyproject.toml": PROJECT}, "packages are installed from source/pyproject.toml"),
    ],
)
def test_init_says_where_the_packages_are_from(tmp_path: Path, files: dict[str, str], said: str) -> None:
    write(tmp_path, {"train.py": "print()\n", **files})
    write(tmp_path, {"source/train.py": "print()\n"} if any("source" in name for name in files) else {})
    assert said in scaffold.adopt(tmp_path).notes


# --- groups, and no environment ---------------------------------------------------------------------------------------

GROUPS = '[source]\ngroups = ["Train_it"]\n'


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": f"{PROJECT}[dependency-groups]\ntrain-it = []\n"},
        {"pyproject.toml": "[dependency-groups]\ntrain-it = []\n"},
        {"pyproject.toml": f"{PROJECT}[project.optional-dependencies]\ntrain-it = []\n", "uv.lock": ""},
        {
            "pyproject.toml": f'{POETRY}[tool.poetry.group.train-it.dependencies]\nsix = "*"\n',
            "poetry.lock": "",
        },
        {"pyproject.toml": f"{PROJECT}[tool.pdm.dev-dependencies]\ntrain-it = []\n", "pdm.lock": ""},
        {"pylock.toml": 'dependency-groups = ["train-it"]\n'},
        {"Pipfile.lock": '{"_meta": {}, "default": {}, "train_it": {}}'},
    ],
)
def test_a_group_is_asked_for_by_its_name(tmp_path: Path, files: dict[str, str]) -> None:
    assert source(tmp_path, GROUPS, files).groups == ("train-it",)


def test_a_group_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, {"requirements.txt": ""})
    assert 'unknown group "Train_it"; requirements.txt has none' in faults(tmp_path, GROUPS)
    (tmp_path / "requirements.txt").unlink()
    assert "no file here declares groups" in faults(tmp_path, GROUPS)
    write(tmp_path, {"pyproject.toml": f"{PROJECT}[dependency-groups]\ntrain-its = []\n"})
    assert 'did you mean "train-its"?' in faults(tmp_path, GROUPS)


def test_no_environment_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    bare = "[source]\npython = false\n"
    found = source(tmp_path, bare, {"requirements.txt": "six\n", ".python-version": "3.9\n"})
    assert (found.environment, found.requirements, found.python) == (False, (), None)
    assert "no environment" in faults(tmp_path, f'{bare}requirements = ["requirements.txt"]\n')
    assert "no environment" in faults(tmp_path, f'{bare}groups = ["a"]\n')
    assert 'write "3.11"' in faults(tmp_path, "[source]\npython = true\n")


def test_what_no_tool_of_pythons_reads_cannot_be_named(tmp_path: Path) -> None:
    write(tmp_path, {"environment.yml": ""})
    said = faults(tmp_path, '[source]\nrequirements = ["environment.yml"]\n')
    assert (
        '"environment.yml" cannot be read as a requirement file; write its packages into a requirements.txt'
        in said
    )


def test_a_lock_of_uv_can_be_named(tmp_path: Path) -> None:
    files = {"requirements.txt": "", "uv.lock": "", "pyproject.toml": PROJECT}
    assert source(tmp_path, '[source]\nrequirements = ["uv.lock"]\n', files).locked == "."
