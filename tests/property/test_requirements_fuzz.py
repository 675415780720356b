"""Requirements files of any shape are read as pip's own reader reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell.service.model import Source
from foretell.service.requirements.lines import lines
from foretell.service.requirements.needs import files

ORACLE = """
import json, sys
from pip._internal.network.session import PipSession
from pip._internal.req.req_file import RequirementsFileParser, get_line_parser
parser = RequirementsFileParser(PipSession(), get_line_parser(None))
for name in sys.stdin:
    try:
        found = [(line.requirement if line.is_requirement else None, line.constraint, line.filename)
                 for line in parser.parse(name.strip(), False)]
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    print(json.dumps(found), flush=True)
"""
ENVIRON = {"NAMED": "more", "EMPTY": ""}
SPACE = st.sampled_from(["", " ", "  ", "\t"])
NAME = st.sampled_from(["six", "Tiny_1", "a.b", "x[extra]"])
INCLUDED = ["more.txt", "more reqs.txt", "sub/deep.txt", "m#1.txt"]
WRITTEN = st.sampled_from(
    [
        "more.txt", '"more reqs.txt"', "'more reqs.txt'", "more\\ reqs.txt", "${NAMED}.txt", "sub/deep.txt",
        '"${NAMED} reqs.txt"', "m#1.txt", "./more.txt", '"sub/deep.txt" ', "more.txt  # why",
    ]
)  # fmt: skip
OPTION = st.sampled_from(
    ["-r ", "-r", "-r=", "--requirement ", "--requirement=", "-c ", "--constraint=", "--req ", "-c  "]
)
REQUIREMENT = st.builds(
    "{}{}{}{}".format,
    NAME,
    st.sampled_from(
        ["", "==1.0", ">=1,<2", " == 1.0", " ; python_version > '3'", "==1.0 \\\n    --hash=sha256:00"]
    ),
    SPACE,
    st.sampled_from(["", "# because", " # because", "#egg", " \\"]),
)
LINE = st.one_of(
    REQUIREMENT,
    st.builds("{}{}{}".format, SPACE, OPTION, WRITTEN),
    st.sampled_from(
        [
            "", "# -r more.txt", "   # -r more.txt", "--pre", "--no-index", "-f wheels", "--find-links=wheels",
            "-i https://x/simple", "--extra-index-url https://y --pre", "-e ./lib", '-e "./my lib"', "./lib",
            "--hash=sha256:00", "six==1 --hash=sha256:00 \\", "\\", "-r \\", "more.txt", "--only-binary :all:",
            "lib @ file:///x/y.whl", "--trusted-host h", "tiny=${NAMED}", "tiny==${lower}", "${EMPTY}six",
        ]
    ),
)  # fmt: skip
TEXT = st.builds(
    lambda parts, end: end.join(parts), st.lists(LINE, max_size=8), st.sampled_from(["\n", "\r\n", "\r"])
)
ENCODED = st.builds(
    lambda text, how: (b"\xff\xfe" if how == "utf-16-le" else b"") + text.encode(how),
    TEXT,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le"]),
)


@pytest.fixture(scope="module")
def pip() -> Iterator[subprocess.Popen[str]]:
    """pip's own reader, as a process that is asked for one file a line."""
    command = [sys.executable, "-c", ORACLE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | ENVIRON
    ) as process:
        yield process
        process.terminate()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as found:
        root = Path(found)
        (root / "sub").mkdir()
        for name in INCLUDED:
            (root / name).write_text("inner==1\n")
        (root / "sub" / "deep.txt").write_text("deep==1\n-r ../more.txt\n")
        yield root


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(data=ENCODED)
def test_what_pip_reads_is_what_is_read(data: bytes, pip: subprocess.Popen[str], place: Path) -> None:
    file = place / "requirements.txt"
    file.write_bytes(data)
    assert pip.stdin
    assert pip.stdout
    pip.stdin.write(f"{file}\n")
    pip.stdin.flush()
    theirs = json.loads(pip.stdout.readline())
    if isinstance(theirs, str):
        return  # pip refuses it, and says why
    assert list(_read(file, ENVIRON)) == [(wanted.strip(), narrow) for wanted, narrow, _ in theirs if wanted]
    found, _ = files(Source(requirements=("requirements.txt",)), place, ENVIRON)
    assert {Path(name).resolve() for _, _, name in theirs} <= {path.resolve() for path in found}


def _read(path: Path, environ: dict[str, str], narrow: bool = False) -> Iterator[tuple[str, bool]]:
    """Every requirement of a file and of what it includes, in order."""
    for line in lines(path.read_bytes(), environ):
        if line.file:
            yield from _read(path.parent / line.file, environ, line.constraint)
        elif line.requirement:
            yield line.requirement, narrow
