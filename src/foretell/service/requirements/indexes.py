"""What this machine knows of package indexes: pip's files and variables, in pip's words and in uv's."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser, Error
from pathlib import Path

YES = frozenset({"1", "y", "yes", "t", "true", "on"})
AS_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
    "keyring-provider": "UV_KEYRING_PROVIDER",
    "constraint": "UV_CONSTRAINT",
}
SECONDS = ("timeout", "default-timeout")
NUMBER = re.compile(r"\d+(\.\d*)?")
FLAGS = {
    "no-index": ("UV_NO_INDEX", "1"),
    "pre": ("UV_PRERELEASE", "allow"),
    "require-hashes": ("UV_REQUIRE_HASHES", "1"),
}
BINARY = {
    "no-binary": ("UV_NO_BINARY", "UV_NO_BINARY_PACKAGE"),
    "only-binary": ("UV_NO_BUILD", "UV_NO_BUILD_PACKAGE"),
}
AS_PIP = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
"""Of several indexes the best version is taken, whichever has it, as pip does."""


def for_uv(options: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that have uv do what options of pip, by name, have pip do."""
    found: dict[str, str] = {}
    for option, value in options.items():
        if option in FLAGS:
            found |= dict([FLAGS[option]]) if value.strip().lower() in YES else {}
        elif option in BINARY:
            every, some = BINARY[option]
            names = [name for part in value.split() for name in part.split(",")]
            found |= {every: "1"} if ":all:" in names else {some: " ".join(n for n in names if n != ":none:")}
        elif option == "proxy":
            found |= {"HTTP_PROXY": value, "HTTPS_PROXY": value}
        elif option == "find-links":
            # uv takes for a fault what pip passes over: a directory that is not there
            places = [os.path.expanduser(part) for part in value.split()]  # noqa: PTH111 - it may be a URL
            found[AS_UV[option]] = ",".join(part for part in places if "://" in part or Path(part).exists())
        elif option in SECONDS:
            # pip takes parts of a second
            found |= {AS_UV[option]: str(math.ceil(float(value)))} if NUMBER.fullmatch(value.strip()) else {}
        elif option in AS_UV:
            found[AS_UV[option]] = " ".join(value.split())
    return {name: value for name, value in found.items() if value}


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's options by name, "extra-index-url", as its files and variables give them; these win."""
    found = configured(environ)
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            found[_option(name.removeprefix("PIP_"))] = value
    return found


def configured(environ: Mapping[str, str]) -> dict[str, str]:
    """Read pip's files, the nearer over the farther, and in each what is for `install` over what is for all."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for place in places(environ):
        parser = ConfigParser(interpolation=None)
        try:
            parser.read(place, encoding="utf-8")
        except (Error, OSError, UnicodeDecodeError):
            continue  # pip itself says what is wrong with it
        for section, held in found.items():
            if section in parser:
                held |= {_option(name): value for name, value in parser[section].items() if value}
    return found["global"] | found["install"]


def places(environ: Mapping[str, str]) -> Iterator[Path]:
    """Return the files that pip reads, the farthest first, whether they are there or not."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    home = Path(environ.get("HOME") or Path.home())
    for shared in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep):
        yield Path(shared) / "pip/pip.conf"
    yield Path("/etc/pip.conf")
    if not (named and Path(named).exists()):
        # a file that is named stands for the user's own
        yield home / ".pip/pip.conf"
        if sys.platform == "darwin":
            yield home / "Library/Application Support/pip/pip.conf"
        yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    if environment := environ.get("VIRTUAL_ENV"):
        yield Path(environment) / "pip.conf"
    if named:
        yield Path(named)


def _option(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")
