"""What `pip install -r` installs is installed: several indexes, pip's files and variables, and what a failure says."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from foretell.errors import EnvironmentFailedError
from foretell.service.model import Source
from foretell.service.requirements.needs import read
from tests.acceptance.test_environment import ENVIRON, PYENV, make, says, wheel

pytestmark = pytest.mark.slow

SOURCE = Source(requirements=("requirements.txt",))
VERSION = "import tiny; print(tiny.version)"
SHA = "0" * 64


class Server(ThreadingHTTPServer):
    request_queue_size = 64  # a busy machine lets many wait


class Index:
    """A server of package indexes, each a folder of folders of wheels; /locked/ wants a login."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()

        class Handler(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # by the older one, an answer and the end of its connection race

            def __init__(self, *args: object, **kwargs: object) -> None:
                super().__init__(*args, directory=str(root), **kwargs)  # type: ignore[arg-type]

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                login = f"Basic {base64.b64encode(b'me:secret').decode()}"
                if self.path.startswith("/locked/") and self.headers.get("Authorization") != login:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="x"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                super().do_GET()

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, index: str, version: str, name: str = "tiny") -> str:
        """Put a version of a package into an index; return the index's address."""
        wheel(self.root / index / name, name, version)
        return f"{self.address}/{index}/"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    found = Index(tmp_path / "indexes")
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A person who has nothing but a home."""
    home = tmp_path / "home"
    home.mkdir()
    fresh = {
        "HOME": str(home),
        "UV_OFFLINE": "0",
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_HTTP_RETRIES": "5",
    }
    return {
        **ENVIRON,
        **fresh,
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CONFIG_DIRS": str(home / "none"),
    }


@pytest.fixture
def install(tmp_path: Path, environ: dict[str, str]) -> Callable[..., tuple[str, str]]:
    """Make the environment of requirements; return the version of tiny that is in it, and what was printed."""

    def run(text: str, name: str = "requirements.txt", **more: str) -> tuple[str, str]:
        root = tmp_path / "service"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        place, printed = make(root, tmp_path / "cache", Source(requirements=(name,)), environ | more)
        assert place is not None
        return says(place, VERSION), printed

    return run


def conf(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- which indexes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["==2.0", ">=2", ""])
def test_of_several_indexes_the_one_that_has_it_is_taken(
    index: Index, install: Callable[..., tuple[str, str]], wanted: str
) -> None:
    first, other = index.add("a", "2.0"), index.add("b", "1.0")
    version, printed = install(f"--index-url {first}\n--extra-index-url {other}\ntiny{wanted}\n")
    assert version == "2.0"
    assert "pip is tried" not in printed


def test_the_first_index_does_not_hide_the_others(
    index: Index, install: Callable[..., tuple[str, str]]
) -> None:
    old, new = index.add("a", "1.0"), index.add("b", "2.0")
    assert install(f"--index-url {old}\n--extra-index-url {new}\ntiny\n")[0] == "2.0"


@pytest.mark.parametrize(
    "place",
    ["home/.config/pip/pip.conf", "home/.pip/pip.conf", "env/pip.conf", "named.conf", "xdg/pip/pip.conf"],
)
def test_every_file_of_pip_is_read(
    index: Index, install: Callable[..., tuple[str, str]], tmp_path: Path, place: str
) -> None:
    address = index.add("a", "1.0")
    file = conf(tmp_path / place, f"[global]\nindex-url = {address}\n")
    more = {"VIRTUAL_ENV": str(tmp_path / "env"), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}
    if place == "named.conf":
        more["PIP_CONFIG_FILE"] = str(file)
    assert install("tiny==1.0\n", **more)[0] == "1.0"


@pytest.mark.parametrize(
    "setting", ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"]
)
def test_every_variable_of_pip_and_uv_is_heeded(
    index: Index, install: Callable[..., tuple[str, str]], setting: str
) -> None:
    address, other = index.add("a", "1.0"), index.add("b", "1.0", "other")
    more = {setting: address} if "LINKS" not in setting else {setting: str(index.root / "a" / "tiny")}
    if setting != "PIP_INDEX_URL" and "DEFAULT" not in setting:
        more["PIP_INDEX_URL"] = other
    if setting == "PIP_FIND_LINKS":
        more[setting] += " /not/there"
    assert install("tiny==1.0\n", **more)[0] == "1.0"


def test_several_values_in_a_file_of_pip(
    index: Index, install: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    addresses = [index.add("a", "1.0"), index.add("b", "2.0"), index.add("c", "3.0")]
    text = "[global]\nindex-url = {}\n[install]\nextra_index_url =\n  {}\n  {}\n".format(*addresses)
    conf(tmp_path / "home" / ".config" / "pip" / "pip.conf", text)
    assert install("tiny\n")[0] == "3.0"


def test_a_constraint_of_a_file_of_pip_is_kept(
    index: Index, install: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "narrow.txt").write_text("tiny<2\n")
    address = index.add("a", "1.0"), index.add("a", "2.0")
    text = f"[global]\nindex-url = {address[0]}\nconstraint = {tmp_path / 'narrow.txt'}\n"
    conf(tmp_path / "home" / ".config" / "pip" / "pip.conf", text)
    assert install("tiny\n")[0] == "1.0"


def test_a_login_is_taken_from_netrc(
    index: Index, install: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    address = index.add("locked", "1.0")
    with pytest.raises(EnvironmentFailedError):
        install(f"--index-url {address}\ntiny\n")
    conf(tmp_path / "home" / ".netrc", "machine 127.0.0.1 login me password secret\n").chmod(0o600)
    assert install(f"--index-url {address}\ntiny\n")[0] == "1.0"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('-r "more reqs.txt"', "more reqs.txt"),
        ("-r more\\ reqs.txt", "more reqs.txt"),
        ("-r ${NAMED}.txt", "named.txt"),
        ("--requirement \\\n  sub/deep.txt", "sub/deep.txt"),
    ],
)
def test_a_file_is_included_by_whatever_name_it_has(
    index: Index, install: Callable[..., tuple[str, str]], tmp_path: Path, line: str, name: str
) -> None:
    file = conf(tmp_path / "service" / name, f"--index-url {index.add('a', '1.0')}\ntiny\n")
    root = tmp_path / "service"
    assert install(f"{line}\n", NAMED="named")[0] == "1.0"
    before = read(SOURCE, root, Path("/python"), {"NAMED": "named"}).key
    file.write_text(f"{file.read_text()}# another\n")
    assert read(SOURCE, root, Path("/python"), {"NAMED": "named"}).key != before


# --- what a failure says ----------------------------------------------------------------------------------------------


def failure(install: Callable[..., tuple[str, str]], text: str) -> EnvironmentFailedError:
    with pytest.raises(EnvironmentFailedError) as caught:
        install(text)
    return caught.value


def test_another_file_than_the_pinned_one_is_told_as_one(
    index: Index, install: Callable[..., tuple[str, str]]
) -> None:
    address = index.add("a", "1.0")
    error = failure(install, f"--index-url {address}\ntiny==1.0 --hash=sha256:{SHA}\n")
    assert error.what == 'the hash of the package "tiny==1.0" differs from the pinned one'
    assert SHA in error.why
    assert "Computed" in error.why
    assert "network" not in str(error)
    assert "Python" not in error.hint


def test_a_file_that_is_gone_is_told_as_one(index: Index, install: Callable[..., tuple[str, str]]) -> None:
    folder = index.root / "a" / "tiny"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(
        '<a href="/gone/tiny-1.0-py3-none-any.whl">tiny-1.0-py3-none-any.whl</a>'
    )
    error = failure(install, f"--index-url {index.address}/a/\ntiny==1.0\n")
    assert error.what.startswith("a package file does not exist: 404 for http://127.0.0.1"), str(error)
    assert "network" not in str(error)


def test_what_is_for_another_system_is_told_in_uvs_own_words(
    index: Index, install: Callable[..., tuple[str, str]]
) -> None:
    index.add("a", "1.0")
    folder = index.root / "a" / "winonly"
    wheel(folder, "winonly", "1.0")
    shutil.move(folder / "winonly-1.0-py3-none-any.whl", folder / "winonly-1.0-cp311-cp311-win_amd64.whl")
    error = failure(install, f"--index-url {index.address}/a/\ntiny\nwinonly==1.0\n")
    assert "no wheels with a matching platform tag" in error.why
    assert (
        "hint: Wheels are available for `winonly` (v1.0) on the following platform: `win_amd64`" in error.why
    )


def test_of_a_long_list_the_first_lines_are_told(
    index: Index, install: Callable[..., tuple[str, str]]
) -> None:
    for number in range(80):
        address = index.add("a", f"1.{number}")
    error = failure(install, f"--index-url {address}\ntiny>=2\n")
    assert len(str(error)) < 3000
    assert "tiny>=2" in error.why


@pytest.mark.parametrize("there", [True, False])
def test_an_older_python_that_has_wheels_is_named(
    index: Index, install: Callable[..., tuple[str, str]], there: bool, tmp_path: Path
) -> None:
    index.add("a", "1.0")
    folder = index.root / "a" / "old"
    wheel(folder, "old", "1.0")
    shutil.move(folder / "old-1.0-py3-none-any.whl", folder / "old-1.0-cp37-cp37m-manylinux1_x86_64.whl")
    root = tmp_path / "service"
    root.mkdir()
    (root / "requirements.txt").write_text(f"--index-url {index.address}/a/\ntiny\nold==1.0\n")
    pyenv = tmp_path / "pyenv"
    if there:
        found = sorted(PYENV.glob("3.7.*"))
        if not found:
            pytest.skip("no Python 3.7 in pyenv here")
        (pyenv / "versions").mkdir(parents=True)
        (pyenv / "versions" / found[-1].name).symlink_to(found[-1])
    environ = ENVIRON | {"UV_OFFLINE": "0", "PYENV_ROOT": str(pyenv), "PATH": "/nowhere"}
    with pytest.raises(EnvironmentFailedError) as caught:
        make(root, tmp_path / "cache", SOURCE, environ)
    assert "prebuilt packages exist for Python 3.7" in caught.value.hint
    assert ("is installed here" in caught.value.hint) is there
    assert '[source] python = "3.7"' in caught.value.hint


def test_requirements_that_contradict_each_other_are_not_tried_again(
    index: Index, install: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    wheel(index.root / "a" / "needy", "needy", "1.0", "Requires-Dist: tiny<2\n")
    address = index.add("a", "1.0"), index.add("a", "2.0")
    with pytest.raises(EnvironmentFailedError) as caught:
        install(f"--index-url {address[0]}\nneedy\ntiny==2.0\n")
    assert "you require tiny==2.0" in caught.value.why


# --- what others have locked ------------------------------------------------------------------------------------------


def test_what_poetry_has_locked_is_installed(
    index: Index, install: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    address = index.add("a", "1.0"), index.add("a", "2.0")
    lock = '[[package]]\nname = "tiny"\nversion = "1.0"\ngroups = ["main"]\nfiles = []\n[metadata]\nlock-version = "2.1"\n'
    conf(
        tmp_path / "service" / "pyproject.toml", '[tool.poetry.dependencies]\npython = ">=3.9"\ntiny = "^1"\n'
    )
    assert install(lock, "poetry.lock", PIP_INDEX_URL=address[0])[0] == "1.0"


def test_a_project_of_poetry_is_installed_without_its_tool(
    index: Index, install: Callable[..., tuple[str, str]]
) -> None:
    address = index.add("a", "1.9"), index.add("a", "2.0")
    text = '[tool.poetry]\nname = "m"\npackage-mode = false\n[tool.poetry.dependencies]\ntiny = "^1"\n'
    assert install(text, "pyproject.toml", PIP_INDEX_URL=address[0])[0] == "1.9"


def test_what_pipenv_and_pdm_have_locked_is_installed(
    index: Index, install: Callable[..., tuple[str, str]]
) -> None:
    address = index.add("a", "1.0"), index.add("a", "2.0")
    sources = {"sources": [{"url": address[0]}]}
    pipenv = json.dumps({"_meta": sources, "default": {"tiny": {"version": "==1.0"}}})
    assert install(pipenv, "Pipfile.lock")[0] == "1.0"
    pdm = '[[package]]\nname = "tiny"\nversion = "1.0"\ngroups = ["default"]\n'
    assert install(pdm, "pdm.lock", PIP_INDEX_URL=address[0])[0] == "1.0"


def test_a_script_says_itself_what_it_needs(
    index: Index, install: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    address = index.add("a", "1.0"), index.add("a", "2.0")
    script = '# /// script\n# dependencies = ["tiny==1.0"]\n# ///\nprint()\n'
    assert install(script, "train.py", PIP_INDEX_URL=address[0])[0] == "1.0"
    source = Source(requirements=("train.py",))
    before = read(source, tmp_path / "service", Path("/python")).key
    (tmp_path / "service" / "train.py").write_text(f"{script}print(1)\n")
    assert read(source, tmp_path / "service", Path("/python")).key == before


def test_a_standard_lock_is_installed_with_its_group(
    index: Index, tmp_path: Path, environ: dict[str, str]
) -> None:
    index.add("a", "1.0"), index.add("a", "1.0", "more")
    root = tmp_path / "service"
    root.mkdir()
    text = 'lock-version = "1.0"\ncreated-by = "x"\ndependency-groups = ["train"]\n'
    for name, marker in (("tiny", ""), ("more", "marker = \"'train' in dependency_groups\"\n")):
        file = f"{name}-1.0-py3-none-any.whl"
        url = f"{index.address}/a/{name}/{file}"
        text += f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{marker}[[packages.wheels]]\nurl = "{url}"\nhashes = {{}}\n'
    (root / "pylock.toml").write_text(text)
    for groups, there in (((), "False"), (("train",), "True")):
        place, _ = make(
            root, tmp_path / "cache", Source(requirements=("pylock.toml",), groups=groups), environ
        )
        assert place is not None
        assert says(place, "import importlib.util as u; print(bool(u.find_spec('more')))") == there


BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(directory, settings=None):
    place = pathlib.Path(directory, "m-1.dist-info")
    place.mkdir()
    needed = pathlib.Path("needed.txt").read_text()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: m\\nVersion: 1\\nRequires-Dist: {needed}\\n")
    return place.name
def build_wheel(*args, **kwargs):
    raise SystemExit("the project itself is not built")
"""
DYNAMIC = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "m"
version = "1"
dynamic = ["dependencies"]
"""


def test_the_build_backend_says_what_a_project_needs(
    index: Index, install: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    address = index.add("a", "1.0"), index.add("a", "2.0")
    conf(tmp_path / "service" / "backend.py", BACKEND)
    conf(tmp_path / "service" / "needed.txt", "tiny==1.0")
    assert install(DYNAMIC, "pyproject.toml", PIP_INDEX_URL=address[0])[0] == "1.0"


def test_groups_of_a_project_are_installed_besides(
    index: Index, tmp_path: Path, environ: dict[str, str]
) -> None:
    address = index.add("a", "1.0"), index.add("a", "1.0", "more"), index.add("a", "1.0", "extra")
    text = '[project]\nname = "m"\nversion = "1"\ndependencies = ["tiny"]\n'
    text += '[project.optional-dependencies]\nfast = ["extra"]\n[dependency-groups]\ntrain = ["more"]\n'
    conf(tmp_path / "service" / "source" / "pyproject.toml", text)
    source = Source(requirements=("source/pyproject.toml",), groups=("train", "fast"))
    more = environ | {"PIP_INDEX_URL": address[0]}
    place, _ = make(tmp_path / "service", tmp_path / "cache", source, more)
    assert place is not None
    assert says(place, "import tiny, more, extra; print(extra.version)") == "1.0"
