"""What this machine knows of package indexes, for a build that must know it too, and that must not keep it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from configparser import ConfigParser, Error
from pathlib import Path

from foretell.images.recipe import SECRETS

OPTIONS = ("index-url", "extra-index-url", "trusted-host", "timeout", "retries", "proxy")
"""Options of pip that mean something inside a build; its `cert` and `find-links` are files of this machine."""
PASSED = (
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_INSECURE_HOST",
    "UV_HTTP_TIMEOUT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
AS_UV = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
}
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
MOUNTED = f"/run/secrets/{SECRETS[1]}"


def secrets(environ: Mapping[str, str], into: Path) -> list[str]:
    """Write what a build is told in secret below `into`; give the options of `docker build` for it."""
    certificates = _certificates(environ)
    script = into / SECRETS[0]
    script.touch(mode=0o600)
    script.write_text(exports(environ, certificates=certificates is not None))
    options = ["--secret", f"id={SECRETS[0]},src={script}"]
    if certificates:
        options += ["--secret", f"id={SECRETS[1]},src={certificates}"]
    return options


def exports(environ: Mapping[str, str], *, certificates: bool) -> str:
    """Give the settings as a shell script: pip's own files and variables, and uv's, which take pip's place."""
    told = {name: value for name, value in settings(environ).items() if value}
    if certificates:
        told |= {"PIP_CERT": MOUNTED, "SSL_CERT_FILE": MOUNTED}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(told.items()))


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the settings by the names of their variables."""
    variables = {option: f"PIP_{option.upper().replace('-', '_')}" for option in OPTIONS}
    found = {variables[option]: _seen_inside(value) for option, value in _configured(environ).items()}
    found |= {name: _seen_inside(environ[name]) for name in variables.values() if name in environ}
    found |= {AS_UV[name]: value for name, value in found.items() if name in AS_UV}
    return found | {
        name: value
        for name, value in environ.items()
        if name.upper() in PASSED or name.startswith("UV_INDEX_")
    }


def _seen_inside(value: str) -> str:
    """Leave out addresses of this machine's files, which no build sees."""
    return " ".join(part for part in value.split() if not part.startswith("file:"))


def _configured(environ: Mapping[str, str]) -> dict[str, str]:
    """Read pip's files, the nearer over the farther."""
    home = Path(environ.get("HOME") or Path.home())
    user = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    places = [Path("/etc/pip.conf"), home / ".pip/pip.conf", user / "pip/pip.conf"]
    if named := environ.get("PIP_CONFIG_FILE"):
        places = [*places, Path(named)] if named != "/dev/null" else []
    parser = ConfigParser(interpolation=None)
    try:
        parser.read(places, encoding="utf-8")
    except (Error, OSError, UnicodeDecodeError):
        return {}  # pip itself says what is wrong with it
    sections = [parser[name] for name in ("global", "install") if name in parser]
    return {option: section[option] for section in sections for option in OPTIONS if option in section}


def _certificates(environ: Mapping[str, str]) -> Path | None:
    """Give the file of certificates that this machine trusts, where one is named."""
    named = [Path(environ[name]) for name in CERTIFICATES if environ.get(name)]
    return next((path.absolute() for path in named if path.is_file()), None)
