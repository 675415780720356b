"""Service → Dockerfile and fingerprint. Pure: whatever was read from disk is given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from posixpath import normpath
from string import Template

import msgspec
from msgspec import Struct

from foretell.errors import UsageError
from foretell.protocol import records
from foretell.service.model import Service
from foretell.service.requirements.indexes import AS_PIP
from foretell.service.requirements.steps import InstallStep
from foretell.system import paths

TEMPLATES = Path(__file__).parent / "templates"
FORMAT = "1"
"""Grows when images of an older Foretell must not pass for what a newer one would build."""
KNOWN = tuple((3, minor) for minor in range(7, 15))
"""The versions of Python that `base` is looked up for, where a range is asked for."""
USER = "10001:10001"
ENTRYPOINT = (
    f"{paths.IMAGE_AGENT}/lib/ld.so",
    "--library-path",
    f"{paths.IMAGE_AGENT}/lib",
    f"{paths.IMAGE_AGENT}/bin/python",
    "-I",
    "-m",
    "foretell.agent.guard",
)
"""The guard is process 1, so that signals arrive; its own loader makes it independent of the model's base."""
SECRETS = ("foretell-index", "foretell-certificates")
"""What the host knows of package indexes, mounted while something is installed and in no layer."""
ARGUMENTS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX", "UV_INDEX")
"""The same for builders that mount nothing; only stages that stay out of the image take them."""
CONVERTED = "converted"
IMAGE_CONVERTED = f"/opt/foretell/{CONVERTED}"
"""Requirements files that stand for what no installer reads: the lock files of other tools."""
FROM = re.compile(
    r"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?[ \t]*$", re.MULTILINE | re.IGNORECASE
)
CLAUSE = re.compile(r"(===|==|~=|!=|<=|>=|<|>|)\s*(\d+)(?:\.(\d+|\*))?(\.\d+|\.\*)?")


class Ingredients(Struct, frozen=True, kw_only=True):
    """
    What was read for an image.

    `sources` is the fingerprint of the files it holds, `requirements` the files that are installed from, relative,
    and `steps` how. `options` are those of `uv sync`, for a project that uv has locked.
    `whole` says that they ask for parts of the source tree, `own` is the text of the user's Dockerfile.
    """

    sources: str
    requirements: tuple[str, ...] = ()
    steps: tuple[InstallStep, ...] = ()
    options: tuple[str, ...] = ()
    whole: bool = False
    own: str | None = None
    running: tuple[int, int]
    """The Python that Foretell itself runs on, which serves where the model asks for none."""


def fingerprint(service: Service, read: Ingredients) -> str:
    """
    Return the SHA-256 (hex) of all that the service says of its image: sources, requirements, base.

    Neither the service file is part of it, whose other keys are resolved when a run is asked for, nor Foretell itself,
    so that an upgrade of whoever starts runs leaves an image that was pushed before what it is.
    """
    image = (service.image.base, service.image.agent_base, service.image.apt, read.own)
    source = records.plain(service.source)
    source.pop("link", None)  # of this machine, and in no image
    said = (FORMAT, service.name, service.version, source, image, read.sources)
    return sha256(msgspec.json.encode(said)).hexdigest()


def mark(fingerprint: str, *made: str) -> str:
    """Return what tags an image: its fingerprint, and how it is `made`: Dockerfile, agent, architecture."""
    return sha256("\0".join((fingerprint, *made)).encode()).hexdigest()[:16]


def dockerfile(
    service: Service, read: Ingredients, *, uv: str, labels: Mapping[str, str], mounts: bool = True
) -> str:
    """
    Return the Dockerfile. `uv` is the version that installs; `mounts` is False for builders that mount nothing.

    UsageError where the service asks for what no image can be made from.
    """
    values = {
        "agent_base": service.image.agent_base,
        "base": _base(service, read),
        "apt": _apt(service.image.apt),
        "uv": uv,
        "user": USER,
        "entrypoint": msgspec.json.encode(ENTRYPOINT).decode(),
        "labels": "\n".join(f"LABEL {name}={_quoted(value)}" for name, value in labels.items()),
        "copies": _copies(read),
        "strategy": "" if service.source.locked else "".join(f" {k}={v}" for k, v in AS_PIP.items()),
        "install": _install(service, read),
        "environment": f"COPY --from=foretell-environment {paths.IMAGE_ENVIRONMENT} {paths.IMAGE_ENVIRONMENT}",
        "index": "".join(f"--mount=type=secret,id={name} " for name in SECRETS) if mounts else "",
        "mount_cache": "--mount=type=cache,id=foretell,target=/root/.cache " if mounts else "",
        "set_index": f"\\\n    if [ -r /run/secrets/{SECRETS[0]} ]; then . /run/secrets/{SECRETS[0]}; fi; \\\n   "
        if mounts
        else "\\\n   ",
    }
    parts = ["agent", "uv", "base", "environment", "service"]
    text = ""
    if not service.source.environment:
        parts = ["agent", "base", "service"]
        values["environment"] = "# no environment is made: commands find what the base has"
    if read.own is not None:
        parts = ["agent", "service"]
        text = _named(read.own)
        values["environment"] = "# the model's environment is the base's own"
    text += "\n".join(_filled(part, values) for part in parts)
    return text if mounts else _with_arguments(text)


def python(asked: str | None, running: tuple[int, int]) -> str:
    """
    Return the version, "3.11", whose image serves for what is asked for: a version or specifiers.

    Foretell's own where it is within, else the newest that is. UsageError where none is.
    """
    if asked is None:
        return f"{running[0]}.{running[1]}"
    exact = re.fullmatch(r"\s*(?:==\s*)?(\d+\.\d+(?:\.\d+)?)\s*", asked)
    if exact:
        return exact[1]
    clauses = [CLAUSE.fullmatch(part.strip()) for part in asked.split(",")]
    fitting = [version for version in KNOWN if all(clause and _allows(clause, version) for clause in clauses)]
    if not fitting:
        raise UsageError(
            f'no image of Python is known for "{asked}"',
            hint='name one version: python = "3.11" in [source], or a base without {python} in [image]',
        )
    major, minor = running if running in fitting else fitting[-1]
    return f"{major}.{minor}"


def _allows(clause: re.Match[str], version: tuple[int, int]) -> bool:
    sign, major, minor = clause[1], int(clause[2]), clause[3]
    there = (major, int(minor)) if minor and minor != "*" else (major,)
    mine = version[: len(there)]
    match sign:
        case ">=":
            return version >= there
        case ">":
            # 3.8.1 is newer than 3.8, and so is its image
            return mine > there or bool(clause[4] and mine == there)
        case "<":
            return mine < there or bool(clause[4] and clause[4] != ".0" and mine == there)
        case "<=":
            return mine <= there
        case "!=":
            return mine != there or bool(clause[4] and clause[4] != ".*")
        case "~=":
            return version >= there and (mine == there if clause[4] else version[0] == major)
        case _:
            return mine == there


def _base(service: Service, read: Ingredients) -> str:
    base = service.image.base
    return (
        base.replace("{python}", python(service.source.python, read.running)) if "{python}" in base else base
    )


def _apt(packages: Iterable[str]) -> str:
    wanted = shlex.join(packages)
    if not wanted:
        return "USER 0:0\n"
    steps = (
        "apt-get update",
        f"apt-get install --yes --no-install-recommends {wanted}",
        "rm -rf /var/lib/apt/lists/*",
    )
    return f"USER 0:0\nRUN {' && '.join(steps)}\n"


def _copies(read: Ingredients) -> str:
    """Return how what is installed from gets in: the files, and what stands for those that no installer reads."""
    place = ".foretell/service" if read.whole else ".foretell/requirements"
    made = any(step.text for step in read.steps)
    copies = [f"COPY .foretell/{CONVERTED} {IMAGE_CONVERTED}"] if made else []
    if read.whole or not made or any(step.files for step in read.steps):
        copies.insert(0, f"COPY {place} {paths.IMAGE_SERVICE}")
    return "\n".join(copies)


def _install(service: Service, read: Ingredients) -> str:
    """Install as a run on this machine does: by uv; by pip where uv fails, for older packages' metadata."""
    place = paths.IMAGE_ENVIRONMENT
    if service.source.locked is not None:
        options = "--locked --no-dev --no-install-project --no-editable --compile-bytecode --python python3"
        options = " ".join((options, *map(shlex.quote, read.options)))
        project = shlex.quote(normpath(f"{paths.IMAGE_SERVICE}/{service.source.locked}"))
        return f"UV_PROJECT_ENVIRONMENT={place} uv sync {options} --project {project}"
    made = f"uv venv --quiet --no-project --python python3 {place}"
    if not read.steps:
        return made
    arguments = [_arguments(step, number) for number, step in enumerate(read.steps)]
    by_uv = [f"uv pip install --python {place}/bin/python --compile-bytecode {said}" for said in arguments]
    by_pip = [f"{place}/bin/python -m pip install --disable-pip-version-check {said}" for said in arguments]
    at_first = " \\\n && ".join((made, *by_uv))
    if not all(step.for_pip for step in read.steps):
        return at_first
    again = " \\\n && ".join((f"python3 -m venv --clear {place}", *by_pip))
    return f"{{ {at_first}; }} \\\n || {{ {again}; }}"


def _arguments(step: InstallStep, number: int) -> str:
    """Return the arguments of an installer for one step."""
    files = (f"{IMAGE_CONVERTED}/{number}.txt",) if step.text else step.files
    words = [word for name in files for word in ("-r", name)]
    return shlex.join([*words, *step.options, *(["--no-deps"] if step.complete else [])])


def _named(text: str) -> str:
    """Return the user's Dockerfile with a name for what it makes, so that the agent and the service come on top."""
    stages = list(FROM.finditer(text))
    if not stages:
        raise UsageError(
            "the Dockerfile of [image] dockerfile has no FROM",
            hint="see docs/images.md for what it must make",
        )
    last = stages[-1]
    if last[2]:
        return f"{text.rstrip()}\n\nFROM {last[2]} AS foretell-base\n\n"
    return f"{text[: last.end()].rstrip()} AS foretell-base{text[last.end() :].rstrip()}\n\n"


def _with_arguments(text: str) -> str:
    taken = "\n".join(f"ARG {name}" for name in ARGUMENTS)
    return re.sub(
        r"^(FROM .* AS foretell-(?:agent|uv|environment))$", rf"\1\n{taken}", text, flags=re.MULTILINE
    )


def _filled(part: str, values: Mapping[str, str]) -> str:
    return Template((TEMPLATES / f"{part}.dockerfile").read_text()).substitute(values)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode().replace("$", "\\$")


def image(registry: str | None, service: str, version: str, mark: str) -> str:
    """Name an image by what is in it; the same name never means anything else."""
    place = f"{registry.rstrip('/')}/" if registry else "foretell/"
    return f"{place}{service.strip('-')}:{version}-{mark}"
