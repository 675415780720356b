"""What this machine knows of package indexes, for a build that must know it too, and that must not keep it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from foretell.images.recipe import SECRETS
from foretell.service.requirements import indexes

OPTIONS = frozenset(
    {
        "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "timeout", "retries", "proxy",
        "pre", "no-binary", "only-binary", "require-hashes",
    }
)  # fmt: skip
"""Options of pip that mean something inside a build; its `cert` and `constraint` are files of this machine."""
PASSED = (
    "UV_INDEX",
    "UV_DEFAULT_INDEX",
    "UV_INSECURE_HOST",
    "UV_INDEX_STRATEGY",
    "UV_HTTP_TIMEOUT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
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
    """Return the settings as a shell script: pip's own files and variables, and uv's, which take pip's place."""
    told = {name: value for name, value in settings(environ).items() if value}
    if certificates:
        told |= {"PIP_CERT": MOUNTED, "SSL_CERT_FILE": MOUNTED}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(told.items()))


def settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings by the names of their variables."""
    known = {
        option: _seen_inside(value)
        for option, value in indexes.settings(environ).items()
        if option in OPTIONS
    }
    found = {f"PIP_{option.upper().replace('-', '_')}": value for option, value in known.items()}
    found |= indexes.for_uv(known)
    return found | {
        name: value
        for name, value in environ.items()
        if name.upper() in PASSED or name.startswith("UV_INDEX_")
    }


def _seen_inside(value: str) -> str:
    """Leave out what lies on this machine, which no build sees."""
    return " ".join(part for part in value.split() if not part.startswith(("file:", "/", "~", ".")))


def _certificates(environ: Mapping[str, str]) -> Path | None:
    """Return the file of certificates that this machine trusts, where one is named."""
    named = [Path(environ[name]) for name in CERTIFICATES if environ.get(name)]
    return next((path.absolute() for path in named if path.is_file()), None)
