"""Where things are: this user's cache, and what an image holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

IMAGE_AGENT = "/opt/foretell/agent"
IMAGE_ENVIRONMENT = "/opt/foretell/environment"
IMAGE_SERVICE = "/opt/foretell/service"
IMAGE_ENV_FILE = "/tmp/foretell.env"  # noqa: S108
IMAGE_HOME = "/tmp/foretell"  # noqa: S108 - of a container, whose user may be anybody
"""Where things are in a container: Foretell's Python, the model's, source and configs, env file, the agent's work."""


def cache(environ: Mapping[str, str]) -> Path:
    """Return this user's directory for what can be made again: FORETELL_CACHE, else by the XDG convention."""
    if named := environ.get("FORETELL_CACHE"):
        return Path(named).absolute()
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home(), ".cache")
    return Path(base) / "foretell"
