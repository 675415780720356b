"""Building and pushing: one image per fingerprint, and nothing where it is there already."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from subprocess import DEVNULL, PIPE, run
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from foretell.errors import ImageError, UsageError
from foretell.google import remedies
from foretell.images import context, index, lock, recipe, wheel
from foretell.images.lock import Locked
from foretell.protocol.records import FORMAT
from foretell.service.model import Service, Target
from foretell.sources import revision
from foretell.system.container_engine import Engine

Say = Callable[[str], None]
FAULT = re.compile(
    r"error|failed|denied|unauthorized|not found|no such|cannot|unable|^(?:cause|hint):", re.IGNORECASE
)
PROGRESS = re.compile(r"^#\d+ (?:\d+\.\d+ )?")
NO_BUILDER = re.compile(r"buildx component is missing|requires BuildKit|unknown flag: --(?:secret|progress)")
LOGIN = re.compile(r"unauthorized|denied|authentication required|no basic auth|401|403", re.IGNORECASE)
NOT_THERE = re.compile(
    r"no such manifest|manifest unknown|manifest .*not found|name unknown|does not exist|repository .*not found",
    re.IGNORECASE,
)
TELLING_LINES = 6
READS = "foretell.reads"
"""The label that says which format of requests the agent in an image reads."""
LOCAL_HOSTS = ("localhost", "127.", "[::1]")


class ImageBuild:
    """The image that a service would have on a target: what it is made of, and what it is called."""

    def __init__(self, service: Service, target: Target, *, environ: Mapping[str, str] = os.environ) -> None:
        if not target.platform.runs_images:
            raise UsageError(
                f'the target "{target.name}" runs no images',
                why="its runs are processes of this machine",
                hint=f"name one that does: `--on {_with_images(service)}`",
            )
        self.service = service
        self.target = target
        self.tree = context.scan(service)
        self._environ = environ

    @property
    def sources_are_here(self) -> bool:
        return context.is_here(self.service, self.tree)

    @cached_property
    def ingredients(self) -> recipe.Ingredients:
        return context.read(self.service, self.tree)

    @cached_property
    def fingerprint(self) -> str:
        return recipe.fingerprint(self.service, self.ingredients)

    @cached_property
    def agent(self) -> wheel.AgentWheel:
        return wheel.agent(google=self.target.needs_google, packages=self.service.image.agent_packages)

    @cached_property
    def tag(self) -> str:
        made = (self.dockerfile(labels={}), self.agent.digest, architecture(self.target) or "")
        mark = recipe.mark(self.fingerprint, *made)
        registry = self.service.image.registry
        return recipe.image(registry, self.service.name, self.service.version, mark)

    @cached_property
    def revision(self) -> str:
        return revision.revision(self.service.root, self.service.not_code)

    def dockerfile(self, *, labels: Mapping[str, str] | None = None, mounts: bool = True) -> str:
        """Return the Dockerfile, by default with the labels that say what is in the image."""
        said = self._labels() if labels is None else labels
        return recipe.dockerfile(
            self.service, self.ingredients, uv=wheel.version("uv"), labels=said, mounts=mounts
        )

    def write(self, into: Path, *, mounts: bool = True) -> None:
        """Write the context of a build into an empty directory."""
        context.write(into, self.tree, self.ingredients, self.agent, self.dockerfile(mounts=mounts))

    def locked(self, image: str) -> Locked:
        """Return what the lock says of an image made of this draft."""
        return Locked(
            image=lock.pinned(image),
            tag=self.tag,
            fingerprint=self.fingerprint,
            revision=self.revision,
            google=self.target.needs_google,
            packages=self.service.image.agent_packages,
            reads=FORMAT,
        )

    def _labels(self) -> dict[str, str]:
        told = {
            "org.opencontainers.image.title": self.service.name,
            "org.opencontainers.image.version": self.service.version,
            "org.opencontainers.image.revision": self.revision,
            "org.opencontainers.image.source": _origin(self.service.root),
            "foretell.fingerprint": self.fingerprint,
            READS: str(FORMAT),
        }
        return {name: value for name, value in told.items() if value}


class Built(Struct, frozen=True, kw_only=True):
    """An image on this machine. `id` is the digest of its configuration; `new` says whether this call made it."""

    tag: str
    id: str
    new: bool


def build(draft: ImageBuild, engine: Engine, say: Say = lambda _: None) -> Built:
    """Make the image unless it is there; `say` gets what the builder prints. ImageError where it cannot be made."""
    there = _id(engine, draft.tag)
    if there:
        return Built(tag=draft.tag, id=there, new=False)
    with tempfile.TemporaryDirectory(prefix="foretell-") as aside:
        place, secret = Path(aside, "context"), Path(aside, "secrets")
        place.mkdir()
        secret.mkdir(mode=0o700)
        draft.write(place)
        said = engine.follow(_command(draft, engine, place, secret), say)
    if not said.ok:
        raise _failed(draft, said.errors)
    made = _id(engine, draft.tag)
    if made is None:
        raise _failed(draft, "the builder ended well, and the image is not there")
    return Built(tag=draft.tag, id=made, new=True)


class Descriptor(Struct, frozen=True, kw_only=True):
    """What a registry calls a manifest."""

    digest: str


class ImageManifest(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A manifest as Docker tells it at length."""

    descriptor: Descriptor


class Pushed(Struct, frozen=True, kw_only=True):
    """An image in the registry, by digest; `new` says whether this call put it there."""

    image: str
    new: bool


def push(draft: ImageBuild, engine: Engine, say: Say = lambda _: None) -> Pushed:
    """
    Bring the image to the registry, where its tag is never overwritten: there already means nothing to push.

    ImageError where the registry refuses or does not answer.
    """
    if draft.service.image.registry is None:
        raise UsageError(
            "there is no registry to push to", hint='add registry = "HOST/PATH" to [image] in foretell.toml'
        )
    known = pushed(engine, draft.tag)
    if known:
        return Pushed(image=known, new=False)
    build(draft, engine, say)
    with tempfile.TemporaryDirectory(prefix="foretell-") as aside:
        told = Path(aside, "digest")
        options = [f"--digestfile={told}"] if engine.is_podman else []
        said = engine.follow(["push", *options, draft.tag], say)
        if not said.ok:
            raise registry_error(f'the image "{draft.tag}" cannot be pushed', draft.tag, said.errors)
        digest = told.read_text().strip() if engine.is_podman else _pushed_digest(engine, draft.tag)
    return Pushed(image=f"{_repository(draft.tag)}@{digest}", new=True)


def pushed(engine: Engine, tag: str) -> str | None:
    """Ask the registry for a tag; give the reference by digest, or None where there is none."""
    insecure = ["--insecure"] if tag.startswith(LOCAL_HOSTS) and not engine.is_podman else []
    verbose = [] if engine.is_podman else ["--verbose"]
    said = engine.call("manifest", "inspect", *verbose, *insecure, tag)
    if not said.ok and NOT_THERE.search(said.errors):
        return None
    if said.ok and (digest := _told_digest(said.output)):
        return f"{_repository(tag)}@{digest}"
    # What a manifest does not tell, and why it cannot be asked for, the engine itself tells.
    pulled = engine.call("pull", "--quiet", tag, patience=3600)
    if not pulled.ok and NOT_THERE.search(pulled.errors):
        return None
    if not pulled.ok:
        raise registry_error(f'the registry cannot be asked for "{tag}"', tag, pulled.errors)
    return f"{_repository(tag)}@{_pushed_digest(engine, tag)}"


def _told_digest(output: str) -> str:
    """Read the digest of a manifest that stands for one image; nothing of one that stands for several."""
    try:
        return msgspec.json.decode(output, type=ImageManifest).descriptor.digest
    except msgspec.DecodeError:
        return ""


def registry_error(what: str, image: str, errors: str) -> ImageError:
    """Say what a registry had against it."""
    host = image.partition("/")[0]
    hint = "see whether the registry is reachable from here, then repeat the command"
    if LOGIN.search(errors):
        hint = remedies.log_into_registry(host)
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    return ImageError(what, where=host, why=lines[-1] if lines else "", hint=hint)


def architecture(target: Target) -> str | None:
    """
    Return the platform to build for, which the target's machines decide; None where the engine that builds runs too.

    UsageError where its machine types are of several: a target has one image, for whichever machine there is.
    """
    kinds = {kind: each for settings in target.platforms for kind, each in settings.architectures.items()}
    found = sorted(set(kinds.values()))
    if found[1:]:
        amd, arm = (min(kind for kind, each in kinds.items() if each == which) for which in found[:2])
        raise UsageError(
            f'the machines of "{target.name}" are of two architectures',
            why=f'"{arm}" is {_short(kinds[arm])} and "{amd}" is {_short(kinds[amd])}, and a target has one image',
            hint="choose machine types of one, or make a target of each",
        )
    return found[0] if found else None


def _short(architecture: str) -> str:
    return architecture.rpartition("/")[2]


def _command(draft: ImageBuild, engine: Engine, place: Path, secret: Path) -> list[str]:
    options = ["--tag", draft.tag, *index.secrets(engine.environ, secret)]
    if not engine.is_podman:
        options += ["--progress", "plain"]
    if platform := architecture(draft.target):
        options += ["--platform", platform]
    if network := draft.service.image.network:
        options += ["--network", network]
    return ["build", *options, "--file", str(place / "Dockerfile"), str(place)]


def _id(engine: Engine, tag: str) -> str | None:
    said = engine.call("image", "inspect", "--format", "{{.Id}}", tag)
    if said.ok:
        found = said.output.strip()
        return found if found.startswith("sha256:") else f"sha256:{found}"
    if said.absent or "not known" in said.errors:
        return None
    raise ImageError(f'the image "{tag}" cannot be looked up', why=said.why, hint="see what the engine says")


def _pushed_digest(engine: Engine, tag: str) -> str:
    """Return the digest of an image in its registry, as the engine knows it since it was pushed or pulled."""
    said = engine.call("image", "inspect", "--format", "{{json .RepoDigests}}", tag)
    found: list[str] = msgspec.json.decode(said.output, type=list[str] | None) or [] if said.ok else []
    digests = [name.partition("@")[2] for name in found if name.partition("@")[0] == _repository(tag)]
    if engine.is_podman and len(digests) > 1:
        # Podman counts what it holds unpacked as well, which no registry knows.
        unpacked = engine.call("image", "inspect", "--format", "{{.Digest}}", tag).output.strip()
        digests = [digest for digest in digests if digest != unpacked]
    if not digests:
        raise ImageError(
            f'the digest of "{tag}" is not told', why="" if said.ok else said.why, hint="push it again"
        )
    return digests[0]


def _repository(tag: str) -> str:
    return tag.rpartition(":")[0]


def _failed(draft: ImageBuild, errors: str) -> ImageError:
    if NO_BUILDER.search(errors):
        return ImageError(
            "the images of this Foretell need BuildKit, which this Docker lacks",
            why=errors.strip().splitlines()[0],
            hint="install docker-buildx, or another Docker Engine or Podman and name its program in FORETELL_ENGINE",
        )
    if "exec format error" in errors:
        return ImageError(
            f'the image of "{draft.service.name}" is for {architecture(draft.target)}, which cannot be built here',
            why="exec format error: this engine runs no programs of that architecture",
            hint="install qemu-user-static (binfmt), or build on such a machine: `foretell build --context DIR`",
        )
    lines = [PROGRESS.sub("", line).strip() for line in errors.splitlines()]
    telling = [line for line in lines if FAULT.search(line) and "executor failed" not in line] or [
        line for line in lines if line
    ]
    return ImageError(
        f'the image of "{draft.service.name}" cannot be built',
        why="\n       ".join(dict.fromkeys(telling[-TELLING_LINES:])),
        hint="`foretell build --dry-run` prints the Dockerfile, `foretell build` all that the builder says",
    )


def _origin(root: Path) -> str:
    """Return the address of the repository, without whatever lets one in."""
    asked = ["git", "config", "--get", "remote.origin.url"]
    try:
        said = run(
            asked, cwd=root, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, text=True, check=False
        ).stdout.strip()
    except OSError:
        return ""
    parts = urlsplit(said)
    if not parts.scheme or not parts.hostname:
        return "" if "@" not in said else said.partition("@")[2]
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{parts.hostname}{port}").geturl()


def _with_images(service: Service) -> str:
    able = [name for name, target in service.targets.items() if target.platform.runs_images]
    return able[0] if able else "docker"
