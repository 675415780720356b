"""What is in no snapshot because it looks like a secret, and in no image because Git or Docker ignores it."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat, pkcs12

from foretell.cli import main as door
from foretell.errors import UsageError
from foretell.images import context
from foretell.service.load import load
from foretell.sources.ignore import by_docker
from foretell.sources.left_out import MOST, LeftOut, lines, missed
from foretell.sources.snapshot import freeze
from foretell.sources.tree import Tree, scan

TOML = 'name = "toy"\n[actions.training]\ncommand = "python main.py"\n'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "service"
    write(place, {"foretell.toml": TOML, "main.py": "print()"})
    return place


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data if isinstance(data, bytes) else data.encode())


def paths(tree: Tree) -> set[str]:
    return {entry.path for entry in tree.entries} - {"foretell.toml", "main.py"}


def told(tree: Tree) -> dict[str, str]:
    return {one.path: one.reason for one in tree.left_out}


def image(root: Path) -> Tree:
    return context.scan(load(root, environ={}))


def refuse(_path: Path) -> bytes:
    raise PermissionError(13, "Permission denied")


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


# --- secrets ----------------------------------------------------------------------------------------------------------


@cache
def key(kind: str) -> Any:
    match kind:
        case "rsa":
            return rsa.generate_private_key(65537, 1024)
        case "dsa":
            return dsa.generate_private_key(1024)
        case "ec":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def private(kind: str, encoding: Encoding, form: PrivateFormat, password: bytes = b"") -> bytes:
    hiding = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    made: bytes = key(kind).private_bytes(encoding, form, hiding)
    return made


@cache
def certificate() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "example.com")])
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = x509.CertificateBuilder(name, name, key("rsa").public_key(), 1, day, day.replace(year=2030))
    return made.sign(key("rsa"), hashes.SHA256())


def bag(*, with_key: bool, password: bytes = b"") -> bytes:
    hiding = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    mine = key("rsa") if with_key else None
    return pkcs12.serialize_key_and_certificates(b"x", mine, certificate(), [certificate()], hiding)


PEM, DER = Encoding.PEM, Encoding.DER
TRADITIONAL, PKCS8, OPENSSH = PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8, PrivateFormat.OpenSSH
ACCOUNT = json.dumps({"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\nabc"})

FORMS = (("old", TRADITIONAL), ("new", PKCS8))

SECRETS: dict[str, Callable[[], dict[str, str | bytes]]] = {
    "by name": lambda: dict.fromkeys((".env", ".env.local", ".env.production", "conf/.env.production", ".ENV", ".env.example.local", ".netrc", "a/b/.pgpass", ".pypirc", "id_rsa", "ID_RSA", "keys/id_dsa", "id_ecdsa", "id_ed25519"), "x"),
    "keys as text": lambda: {
        **{f"{kind}-{name}.pem": private(kind, PEM, form) for kind in ("rsa", "ec", "dsa") for name, form in FORMS},
        "ed.pem": private("ed", PEM, PKCS8),
        "ssh.key": private("rsa", PEM, OPENSSH),
        "locked.pem": private("rsa", PEM, PKCS8, b"secret"),
        "old.PEM": private("rsa", PEM, TRADITIONAL, b"secret"),
        "chain.pem": certificate().public_bytes(PEM) + private("rsa", PEM, PKCS8),
        "wide.key": private("rsa", PEM, PKCS8).decode().encode("utf-16"),
        "pgp.key": "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nabc\n",
        "renamed.p12": private("rsa", PEM, PKCS8),
    },
    "keys as bytes": lambda: {
        **{f"{kind}-{name}.key": private(kind, DER, form) for kind in ("rsa", "ec", "dsa") for name, form in FORMS},
        "ed.key": private("ed", DER, PKCS8),
        "locked.key": private("rsa", DER, PKCS8, b"secret"),
        "a.p12": bag(with_key=True),
        "b.pfx": bag(with_key=True, password=b"secret"),
    },
    "credentials": lambda: {
        "account.json": ACCOUNT,
        "deep/account.JSON": json.dumps({"data": [{"credential": {"refresh_token" : "1//x"}}]}, indent=4),
        "wide.json": ACCOUNT.encode("utf-16"),
        "bom.json": b"\xef\xbb\xbf" + ACCOUNT.encode(),
    },
}  # fmt: skip


def no_secrets() -> dict[str, str | bytes]:
    return {
        **dict.fromkeys(
            (".env.example", ".env.sample", ".env.template", ".env.production.dist", ".envrc"), "A="
        ),
        **dict.fromkeys(("prod.env", "env", "id_rsa.pub", "aws/x", "ssh/x", "netrc", "environment.yml"), "x"),
        "public.pem": certificate().public_bytes(PEM),
        "public.key": key("rsa").public_key().public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo),
        "der.pem": certificate().public_bytes(DER),
        "der.key": key("rsa").public_key().public_bytes(DER, PublicFormat.SubjectPublicKeyInfo),
        "pkcs1.key": key("rsa").public_key().public_bytes(DER, PublicFormat.PKCS1),
        "trusted.p12": bag(with_key=False),
        "trusted.pfx": bag(with_key=False, password=b"secret"),
        "slides.key": b"PK\x03\x04" + b"x" * 1000,
        "empty.pem": "",
        "vocabulary.json": json.dumps({"private_key": 17, "refresh_token": 4}),
        "schema.json": json.dumps(
            {"properties": {"refresh_token": {"type": "string"}, "private_key_path": "x"}}
        ),
        "sample.json": json.dumps({"private_key": "", "refresh_token": None}),
        "text.txt": ACCOUNT,
    }


@pytest.mark.parametrize("kind", SECRETS)
def test_what_looks_like_a_secret_is_in_neither_snapshot_nor_image(
    root: Path, tmp_path: Path, kind: str
) -> None:
    made = SECRETS[kind]()
    write(root, made)
    _, place = freeze(scan(root, []), tmp_path / "snapshots")
    assert not {path.name for path in place.rglob("*") if path.is_file()} & {Path(path).name for path in made}
    for tree in (scan(root, []), image(root)):
        assert told(tree) == dict.fromkeys(made, "secret")
        assert not paths(tree) & set(made)


def test_what_only_looks_like_one_stays(root: Path) -> None:
    made = no_secrets()
    write(root, made)
    for tree in (scan(root, []), image(root)):
        assert paths(tree) == set(made)
        assert told(tree) == {}


def test_a_directory_of_secrets_is_told_as_one(root: Path) -> None:
    write(
        root,
        {".aws/credentials": "x", "deep/.SSH/config": "xy", "deep/.SSH/more/id": "z", ".env/production": "x"},
    )
    tree = scan(root, [])
    assert not paths(tree)
    assert {str(one) for one in tree.left_out} == {
        ".aws/ (1 file, 1 B): looks like a secret",
        ".env/ (1 file, 1 B): looks like a secret",
        "deep/.SSH/ (2 files, 3 B): looks like a secret",
    }


@pytest.mark.parametrize("sign", ["pyvenv.cfg", "conda-meta/history"])
def test_a_virtual_environment_of_that_name_is_none(root: Path, sign: str) -> None:
    write(root, {f".env/{sign}": "", ".env/bin/python": ""})
    tree = scan(root, [])
    assert not paths(tree)
    assert not tree.left_out


def test_links_to_secrets_are_left_out_like_them(root: Path, tmp_path: Path) -> None:
    write(root, {".env": "x", "conf/account.json": ACCOUNT, ".ssh/config": "x"})
    write(tmp_path, {"home/.ssh/id": "x", "home/account.json": ACCOUNT, "home/plain.json": "{}"})
    for name, goal in {
        "settings": ".env",
        "account": "conf/account.json",
        "deep/ssh": "../.ssh/config",
        "keys": str(tmp_path / "home/.ssh"),
        "adc": str(tmp_path / "home/account.json"),
        ".env.local": "main.py",
        "plain": str(tmp_path / "home/plain.json"),
        "dangling": "nowhere",
    }.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(goal)
    assert paths(scan(root, [])) == {"plain", "dangling", "conf", "deep"}


def test_an_exclamation_mark_brings_a_secret_back(root: Path, tmp_path: Path) -> None:
    write(root, {".env": "x", "conf/.env": "y", ".ssh/config": "x", ".ssh/id": "x", "a.json": ACCOUNT})
    (root / "settings").symlink_to("conf/.env")
    write(root, {".foretellignore": "!conf/.env\n!.ssh/config\n!a.json\n"})
    back = {"conf/.env", ".ssh/config", "a.json", "settings"}
    for tree in (scan(root, []), image(root)):
        assert paths(tree) == back | {".foretellignore"}
        assert told(tree) == {".env": "secret", ".ssh/": "secret"}
    _, place = freeze(scan(root, []), tmp_path / "snapshots")
    assert (place / "conf/.env").read_text() == "y"


def test_what_is_ignored_or_an_output_is_not_told(root: Path) -> None:
    write(root, {"output/.env": "", ".git/.env": "", "notes/.env": "", ".foretellignore": "notes/\n"})
    assert told(scan(root, ["output"])) == {}


def test_large_files_are_not_read_for_secrets(root: Path) -> None:
    with (root / "vocabulary.json").open("wb") as file:
        file.write(ACCOUNT.encode())
        file.truncate(2_000_000)
    assert told(scan(root, [])) == {}


# --- Git --------------------------------------------------------------------------------------------------------------


def test_what_git_ignores_is_in_the_run_and_not_in_the_image(root: Path) -> None:
    git(root, "init")
    write(root, {".gitignore": "*.csv\n/data/\n!data/keep.csv\n", ".git/info/exclude": "private\n"})
    write(root, {"data/a.bin": "123", "data/deep/b.bin": "4567", "data/keep.csv": "x", "x.csv": "x"})
    write(
        root,
        {"private": "x", "conf/.gitignore": "local.toml\n", "conf/local.toml": "", "conf/shared.toml": ""},
    )
    write(root, {"tracked.csv": "x"})
    git(root, "add", "--force", "tracked.csv")
    here = {".gitignore", "conf/.gitignore", "conf/shared.toml", "tracked.csv"}
    ignored = {"data/a.bin", "data/deep/b.bin", "data/keep.csv", "x.csv", "private", "conf/local.toml"}
    assert paths(scan(root, [])) == here | ignored
    assert paths(image(root)) == here
    assert told(image(root)) == dict.fromkeys(["data/", "x.csv", "private", "conf/local.toml"], "git")
    assert "data/ (3 files, 8 B): ignored by Git" in lines(image(root).left_out)


def test_an_exclamation_mark_brings_back_what_git_ignores(root: Path) -> None:
    git(root, "init")
    write(root, {".gitignore": "data/\n*.bin\n", "data/a": "", "data/b/c": "", "x.bin": "", "y.bin": ""})
    write(root, {".foretellignore": "!data/b/\n!x.bin\n"})
    assert paths(image(root)) == {".gitignore", ".foretellignore", "data/b/c", "x.bin"}


def test_a_service_below_the_top_of_its_repository(tmp_path: Path) -> None:
    root = tmp_path / "repository" / "services" / "toy"
    write(root, {"foretell.toml": TOML, "main.py": "", "data/x": "", "y.csv": "", "services/toy/y.csv": ""})
    write(tmp_path / "repository", {".gitignore": "services/*/data/\n"})
    write(root, {".gitignore": "/y.csv\n"})
    git(tmp_path / "repository", "init")
    assert paths(image(root)) == {".gitignore", "services/toy/y.csv"}


def test_submodules_and_repositories_within_have_their_own_say(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, {".gitignore": "*.bin\n", "code.py": ""})
    git(other, "init")
    git(other, "add", ".")
    git(other, "commit", "-m", "x")
    git(root, "init")
    write(root, {".gitignore": "vendored/\n"})
    git(root, "submodule", "add", str(other), "source")
    git(root, "clone", str(other), "cloned")
    git(root, "clone", str(other), "vendored")
    write(root, {"source/x.bin": "", "cloned/y.bin": "", "vendored/z.bin": ""})
    found = paths(image(root))
    assert {"source/code.py", "cloned/code.py"} <= found
    assert not {path for path in found if path.endswith(".bin") or path.startswith("vendored/")}
    assert {"source/x.bin": "git", "cloned/y.bin": "git", "vendored/": "git"}.items() <= told(
        image(root)
    ).items()


def test_a_directory_that_a_repository_above_ignores_as_a_whole_is_none_of_its_business(
    tmp_path: Path,
) -> None:
    root = tmp_path / "home" / "work" / "toy"
    write(root, {"foretell.toml": TOML, "main.py": "", "x.csv": ""})
    write(tmp_path / "home", {".gitignore": "*\n"})
    git(tmp_path / "home", "init")
    assert {entry.path for entry in image(root).entries} == {"main.py", "x.csv"}


def test_without_a_repository_nothing_is_ignored_by_git(root: Path) -> None:
    write(root, {".gitignore": "x", "x": ""})
    assert paths(image(root)) == {".gitignore", "x"}


@pytest.mark.parametrize("trouble", ["no git", "a lost submodule"])
def test_where_git_cannot_answer_its_files_are_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "no git":
        git(root, "init")
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        write(root, {".git": "gitdir: ../nowhere\n"})
    write(
        root,
        {".gitignore": "*.csv\ndata/\n!keep.csv\n", "deep/.gitignore": "!a.csv\n/b.txt\n", "deep/a.csv": ""},
    )
    write(root, {"a.csv": "", "keep.csv": "", "data/keep.csv": "", "deep/b.txt": "", "deep/er/b.txt": ""})
    assert paths(image(root)) == {".gitignore", "deep/.gitignore", "keep.csv", "deep/a.csv", "deep/er/b.txt"}


def test_what_a_hook_has_in_its_environment_does_not_confuse(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(root, "init")
    write(root, {".gitignore": "x\n", "x": ""})
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    assert paths(image(root)) == {".gitignore"}


def test_names_of_any_bytes_are_ignored_too(root: Path) -> None:
    git(root, "init")
    strange = ["späce and ö.csv", "new\nline.csv", os.fsdecode(b"\xff\xfe.csv"), '"quoted".csv']
    write(root, {".gitignore": "*.csv\n", **dict.fromkeys(strange, "")})
    assert paths(image(root)) == {".gitignore"}


def test_what_is_installed_from_is_in_the_image_whoever_ignores_it(root: Path) -> None:
    git(root, "init")
    write(
        root, {".gitignore": "*.txt\n", "requirements.txt": "-r more.txt\n", "more.txt": "", "other.txt": ""}
    )
    assert paths(image(root)) == {".gitignore", "requirements.txt", "more.txt"}


# --- Docker -----------------------------------------------------------------------------------------------------------

DOCKER = [
    # pattern lines, then what is ignored and what is not, as Docker's documentation and its own tests have it
    ("*/temp*", ["dir/temporary.txt", "dir/temp", "dir/temp/deep"], ["temp", "a/b/temp"]),
    ("*/*/temp*", ["a/b/temporary.txt"], ["a/temp", "temp"]),
    ("temp?", ["tempa", "tempb", "tempa/x"], ["temp", "tempab", "a/tempa"]),
    ("**/*.go", ["a.go", "a/b.go", "a/b/c.go"], ["a.gox"]),
    ("*.md\n!README.md", ["x.md"], ["README.md", "a/x.md"]),
    ("*.md\n!README*.md\nREADME-secret.md", ["x.md", "README-secret.md"], ["README.md"]),
    ("*.md\nREADME-secret.md\n!README*.md", ["x.md"], ["README.md", "README-secret.md"]),
    ("/foo/bar\n", ["foo/bar", "foo/bar/x"], ["foo", "a/foo/bar"]),
    ("./a/../b/", ["b", "b/c"], ["a"]),
    ("*\n!src\n!main.py", ["x", "a/b"], ["src", "src/a/b", "main.py"]),
    ("data\n!data/keep", ["data/x"], ["data/keep", "data/keep/y"]),
    ("# comment\n  spaced  \n\n", ["spaced"], ["# comment"]),
    ("\ufeffx", ["x"], []),
    ("**", ["a", "a/b"], []),
    ("a/**", ["a/b", "a/b/c"], ["a", "b"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["b", "a/xb"]),
    ("[a-c].txt", ["a.txt", "c.txt"], ["d.txt"]),
    ("[^a].txt", ["b.txt"], ["a.txt"]),
    (r"a\*b", ["a*b"], ["axb"]),
    ("a.b+(c)", ["a.b+(c)"], ["axb+(c)", "a.bb+(c)"]),
    ("!x", [], ["x", "y"]),
    ("[", [], ["a"]),
]


@pytest.mark.parametrize(("text", "ignored", "kept"), DOCKER, ids=[case[0] for case in DOCKER])
def test_dockerignore_is_read_as_docker_reads_it(
    tmp_path: Path, text: str, ignored: list[str], kept: list[str]
) -> None:
    (tmp_path / ".dockerignore").write_text(text, encoding="utf-8")
    find = by_docker(tmp_path, None)
    assert [path for path in ignored if not find(path)] == []
    assert [path for path in kept if find(path)] == []


def test_what_dockerignore_names_is_in_the_run_and_not_in_the_image(root: Path) -> None:
    write(root, {".dockerignore": "data\n*.md\n", "data/a": "1", "data/b/c": "2", "x.md": "", "y/x.md": ""})
    assert paths(scan(root, [])) == {".dockerignore", "data/a", "data/b/c", "x.md", "y/x.md"}
    assert paths(image(root)) == {".dockerignore", "y/x.md"}
    assert told(image(root)) == {"data/": "docker", "x.md": "docker"}
    write(root, {".foretellignore": "!data/b/\n"})
    assert paths(image(root)) == {".dockerignore", ".foretellignore", "y/x.md", "data/b/c"}


def test_a_dockerfile_may_have_its_own(root: Path) -> None:
    write(
        root,
        {
            "foretell.toml": f'{TOML}[image]\ndockerfile = "docker/Dockerfile"\n',
            "docker/Dockerfile": "FROM x",
        },
    )
    write(root, {".dockerignore": "a", "docker/Dockerfile.dockerignore": "b", "a": "", "b": ""})
    assert "a" in paths(image(root))
    assert "b" not in paths(image(root))


@pytest.mark.parametrize("name", [".foretellignore", ".dockerignore"])
def test_an_ignore_file_that_cannot_be_read_is_named(root: Path, name: str) -> None:
    (root / name).symlink_to(name)
    with pytest.raises(UsageError, match=f"{name}.* cannot be read"):
        image(root)


def test_a_key_that_may_not_be_read_is_a_secret(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root, {"theirs.key": "x", "theirs.txt": "x"})
    (root / "theirs.key").chmod(0)
    if not os.geteuid():  # who reads everything
        monkeypatch.setattr(Path, "read_bytes", refuse)
    assert told(scan(root, [])) == {"theirs.key": "secret"}


# --- told -------------------------------------------------------------------------------------------------------------


def test_an_image_lacks_what_is_large_linked_or_outside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(root, {"foretell.toml": f'{TOML}[source]\nlink = ["raw"]\n', "raw/x": "12345"})
    with (root / "large.bin").open("wb") as file:
        file.truncate(10 * 1024 * 1024 + 1)
    (root / "out").symlink_to(tmp_path / "elsewhere")
    assert told(image(root)) == {"large.bin": "large", "raw": "linked", "out": "outside"}


def test_up_to_twenty_are_listed_secrets_first_then_the_largest() -> None:
    many = [LeftOut(path=f"{number}.bin", reason="large", size=number) for number in range(30)]
    secret = LeftOut(path=".env", reason="secret", size=1)
    listed = list(lines([secret, *many]))
    assert len(listed) == MOST + 1
    assert listed[0] == ".env (1 B): looks like a secret"
    assert listed[-1] == "and 11 more"
    assert list(lines([])) == []


def test_a_sentence_says_what_is_missed_and_what_brings_it_back() -> None:
    assert missed([".env"], "the working directory") == (
        '".env" looks like a secret and is not in the working directory; `env_file = ".env"` gives a command its '
        'variables, "!.env" in .foretellignore keeps it'
    )
    assert missed([".env", "a\nb"], "x").startswith('".env", "a\\nb" look like secrets and are not in x; ')
    assert " and 5 more look" in missed([f"{number}.pem" for number in range(25)], "x")


def call(root: Path, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    assert door.main([*words, "--file", str(root / "foretell.toml")]) in (0, 1)
    found = capfd.readouterr()
    return found.out, found.err


def test_build_plan_and_doctor_list_it(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    git(root, "init")
    write(root, {".gitignore": "data/\n", "data/x": "123", "conf/.env": "A=1"})
    with (root / "large.bin").open("wb") as file:
        file.truncate(10 * 1024 * 1024 + 1)
    expected = [
        "conf/.env (3 B): looks like a secret",
        "large.bin (10.5 MB): over 10 MB",
        "data/ (1 file, 3 B): ignored by Git",
    ]
    for words in (
        ["build", "--dry-run"],
        ["build", "--context", str(tmp_path / "c")],
        ["plan", "training", "--on", "docker"],
    ):
        _, errors = call(root, capfd, *words)
        assert [
            line.removeprefix("left out: ") for line in errors.splitlines() if "left out: " in line
        ] == expected
    assert not list((tmp_path / "c").rglob(".env"))
    out, _ = call(root, capfd, "plan", "training", "--on", "local")
    (one,) = json.loads(out)["left_out"]
    assert one == {"path": "conf/.env", "reason": "secret", "size": 3, "files": 1}
    out, _ = call(root, capfd, "build", "--dry-run", "--json")
    assert [one["reason"] for one in json.loads(out)["left_out"]] == ["secret", "large", "git"]
    out, _ = call(root, capfd, "doctor")
    assert "conf/.env (3 B): looks like a secret" in out
    assert "ignored by Git" not in out
