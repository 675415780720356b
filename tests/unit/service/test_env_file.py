"""A file of environment variables: read as python-dotenv reads it, or told by line what is not understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.agent import secrets
from foretell.doctor.env_file import env_file
from foretell.errors import EnvironmentFailedError, ServiceFileError, UsageError
from foretell.protocol.records import Request, asked_since_2, encode
from foretell.service.env_file import read
from foretell.service.load import load
from tests.support.records import request_of

LEAST = 'name = "x"\nenv_file = ".env"\n[actions.training]\ncommand = "true"\n'


def written(root: Path, text: str | bytes) -> Path:
    path = root / ".env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_is_read_as_its_models_would_read_it(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "\ufeff# comment\n\nA=1\nexport B = two words # comment\nC='single # ${A} \\'s'\n"
        'D="double ${A} \\"x\\"\\nline"\nE=${B}/${HOME}/${NONE:-else}\nF=\nG="several\nlines"\nH=a#b$A\nA=2\nI=a=b\r\n',
    )
    assert read(path, {"HOME": "/home/x", "A": "inherited"}) == {
        "A": "2",
        "B": "two words",
        "C": "single # ${A} 's",
        "D": 'double 1 "x"\nline',
        "E": "two words//home/x/else",
        "F": "",
        "G": "several\nlines",
        "H": "a#b$A",
        "I": "a=b",
    }


lines = st.lists(
    st.tuples(
        st.sampled_from(["", "export "]),
        st.sampled_from(["A", "B_1", "c"]),
        st.sampled_from(["=", " = "]),
        st.sampled_from(["", '"', "'"]),
        st.text("ab \\#=$éü\t", max_size=8),
    ),
    max_size=6,
)


@given(lines)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_read_is_what_the_library_reads(tmp_path: Path, told: list[tuple[str, ...]]) -> None:
    text = "".join(
        f"{export}{name}{equals}{quote}{value}{quote}\n" for export, name, equals, quote, value in told
    )
    path = written(tmp_path, text)
    try:
        found = read(path, {})
    except UsageError:
        return
    assert found == dotenv_values(path)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("A=1\n\n\nhunter2\n", 4, "= is missing"),
        ('A=1\nB="hunter2\nC=3\n', 2, "a quote is not closed"),
        ("A='hunter2' x\n", 1, "a quote is not closed, or text follows the closing quote"),
        ("A-B=hunter2\n", 1, "is not a variable name"),
        ("1A=hunter2\n", 1, "is not a variable name"),
        ("=hunter2\n", 1, "= is missing"),
        ("\nNAME=hunter2\n", 2, '"NAME" is set by Foretell'),
        ("FORETELL_RUN=hunter2\n", 1, '"FORETELL_RUN" is set by Foretell'),
        ("A=hunter2${NOWHERE}\n", 1, '"${NOWHERE}" is defined neither above'),
        ("A=1\nB=hunter2\0\n", 2, "a NUL character"),
        (b"A=1\nB=hunter2\xff\n", 2, "it is not UTF-8"),
    ],
)
def test_what_is_not_understood_is_told_by_line_and_never_repeated(
    tmp_path: Path, text: str | bytes, line: int, why: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read(path, {})
    assert (caught.value.exit_code, caught.value.where) == (2, f"{path}:{line}")
    assert why in caught.value.why
    assert caught.value.hint
    assert "hunter2" not in str(caught.value)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "none", "does not exist"),
        (tmp_path, "is a directory"),
        (Path("/dev/null"), "not a regular"),
    ):
        with pytest.raises(UsageError, match=why):
            read(path, {})


def test_its_path_is_from_the_service_file_and_it_is_no_code(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text(LEAST)
    service = load(tmp_path, environ={})
    assert service.env_file == str(service.root / ".env")
    assert service.not_code == [".env", "output"]
    (tmp_path / "foretell.toml").write_text(LEAST.replace(".env", "~/prod.env"))
    service = load(tmp_path, environ={"HOME": "/home/x"})
    assert (service.env_file, service.not_code) == ("/home/x/prod.env", ["output"])


def test_it_is_a_fault_for_machines_elsewhere(tmp_path: Path) -> None:
    machines = '[targets.cloud]\nstore = "gs://b"\n[targets.cloud.platform]\nkind = "compute-engine"\nproject = "p"\nzones = ["z"]\nmachine_type = "m"\n'
    (tmp_path / "foretell.toml").write_text(LEAST + machines)
    with pytest.raises(ServiceFileError) as caught:
        load(tmp_path, environ={})
    (fault,) = caught.value.faults
    assert fault.startswith(
        'foretell.toml:2: "env_file" is read on this machine, but the machines of target "cloud" are remote'
    )
    assert "[actions.X.secrets]" in fault
    (tmp_path / "foretell.toml").write_text(LEAST.replace(".env", " "))
    with pytest.raises(ServiceFileError, match="names no file"):
        load(tmp_path, environ={})


def asked_for(root: Path) -> Request:
    (root / "foretell.toml").write_text(LEAST)
    service = load(root, environ={})
    return request_of(service, "training", env_file=service.env_file)


def test_a_request_names_the_file_alone_and_says_that_an_older_agent_would_ignore_it(tmp_path: Path) -> None:
    asked = asked_for(tmp_path)
    assert asked_since_2(asked) == ["env_file"]
    assert json.loads(encode(asked))["format"] == 2


def test_an_attempt_that_finds_it_gone_says_so(tmp_path: Path) -> None:
    asked = asked_for(tmp_path)
    with pytest.raises(EnvironmentFailedError, match="the env file cannot be read") as caught:
        secrets.from_file(asked, {})
    assert caught.value.where == asked.env_file
    written(tmp_path, "A=${B}")
    assert secrets.from_file(asked, {"B": "b"}) == {"A": "b"}


def test_the_doctor_tells_of_it(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text(LEAST)
    service = load(tmp_path, environ={})
    (check,) = env_file(service, {})
    assert (check.state, check.detail) == ("missing", f"{service.env_file}: it does not exist")
    written(tmp_path, "A=1\nB=2\n")
    (check,) = env_file(service, {})
    assert (check.state, check.detail) == ("ok", f"{service.env_file}, 2 variables")
