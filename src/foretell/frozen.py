"""The code of a run as it was when the run was asked for: a snapshot on this machine, or an image."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from foretell import sources
from foretell.errors import UsageError
from foretell.records import FORMAT, Request, asked_since_2
from foretell.service import DockerSettings, ProcessSettings, Service, Target


class Frozen(Struct, frozen=True, kw_only=True):
    """
    What a run executes: the directory `snapshot`, or `image` by its digest.

    `revision` is None where it is the one of the work tree, as it is now.
    """

    fingerprint: str
    snapshot: Path | None = None
    image: str | None = None
    revision: str | None = None
    reads: int = FORMAT
    """Which format of requests the agent reads that is with the code."""

    def must_heed(self, request: Request) -> None:
        """Refuse a request of which this agent would ignore a part."""
        newer = asked_since_2(request)
        if newer and self.reads < FORMAT:
            raise UsageError(
                f"the image of this run would ignore {', '.join(newer)} of foretell.toml",
                where=self.image or "",
                why="its agent is of an older Foretell, or nobody here knows of which",
                hint=f"run `foretell build --push --on {request.target.name}`",
            )


def freeze(
    service: Service,
    target: Target,
    action: str,
    *,
    image: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Frozen:
    """
    Freeze the code for an action on a target; `image` is one that was named for this run.

    On a target that runs images that is what `foretell.lock` says. Without a lock, an engine of this machine builds
    what it lacks, and `say` gets what the builder prints. UsageError where the sources are not what is locked.
    """
    settings = target.platform_of(action)
    if isinstance(settings, ProcessSettings):
        if image:
            raise UsageError(
                f'the target "{target.name}" runs no images', hint="leave --image out, or name another target"
            )
        return _snapshot(service, Path(settings.home) / "snapshots")
    # Loaded late: runs on this machine, which are many and short, have no use for it.
    images = importlib.import_module("foretell.images.chosen")
    local = isinstance(settings, DockerSettings)
    chosen = (
        images.named(service, target, image)
        if image
        else images.choose(service, target, local=local, say=say)
    )
    return Frozen(
        fingerprint=chosen.fingerprint, image=chosen.image, revision=chosen.revision, reads=chosen.reads
    )


def fingerprint(service: Service) -> str:
    """Give the fingerprint that a snapshot of the code would have now, without making one."""
    return sources.fingerprint(_tree(service))


def _snapshot(service: Service, place: Path) -> Frozen:
    fingerprint, snapshot = sources.freeze(_tree(service), place)
    return Frozen(fingerprint=fingerprint, snapshot=snapshot)


def _tree(service: Service) -> sources.Tree:
    actions = service.actions.values()
    inputs = {item.path for action in actions for item in action.inputs}
    return sources.scan(service.root, service.not_code, inputs=inputs)
