"""The code of a run as it was when the run was asked for: a snapshot on this machine, or an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from foretell.errors import UsageError
from foretell.protocol.records import FORMAT, Request, asked_since_2
from foretell.service.model import SERVICE_FILE, Service, Target
from foretell.service.requirements.groups import same
from foretell.sources import snapshot, tree
from foretell.sources.fingerprint import fingerprint as of_sources
from foretell.sources.left_out import LeftOut


class Frozen(Struct, frozen=True, kw_only=True):
    """
    What a run executes: the directory `snapshot`, or `image` by its digest.

    `revision` is None where it is the one of the work tree, as it is now.
    """

    fingerprint: str
    snapshot: Path | None = None
    image: str | None = None
    revision: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    """What is not in it though it is in the directory, as far as that is known."""
    reads: int | None = FORMAT
    """Which format of requests the agent reads that is with the code; None where that is not on record."""

    def must_heed(self, request: Request) -> None:
        """Refuse a request of which this agent would ignore a part."""
        newer = asked_since_2(request)
        if newer and self._format() < FORMAT:
            raise UsageError(
                f"the image of this run would ignore {', '.join(newer)} of foretell.toml",
                where=self.image or "",
                why="its agent is of an older Foretell, or nobody here knows of which",
                hint=f"run `foretell build --push --on {request.target.name}`",
            )

    def _format(self) -> int:
        if self.reads is not None or self.image is None:
            return self.reads or FORMAT
        # Loaded late: runs on this machine, which are many and short, have no use for it.
        from foretell.images import chosen

        return chosen.labelled(self.image)


def freeze(
    service: Service,
    target: Target,
    action: str,
    *,
    image: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Frozen:
    """
    Freeze the code for an action on a target; `image` is one that was named for this run.

    On a target that runs images that is what `foretell.lock` says. Without a lock, an engine of this machine builds
    what it lacks, and `say` gets what the builder prints. `tell` gets what a person should know. UsageError where the
    sources are not what is locked.
    """
    settings = target.platform_of(action)
    if settings.directory:
        if image:
            raise UsageError(
                f'the target "{target.name}" runs no images', hint="leave --image out, or name another target"
            )
        return _snapshot(service, settings.directory / "snapshots", tell)
    must_suit_images(service, target)
    from foretell.images import chosen as images

    chosen = (
        images.named(service, target, image)
        if image
        else images.choose(service, target, local=not settings.is_remote, say=say)
    )
    return Frozen(
        fingerprint=chosen.fingerprint,
        image=chosen.image,
        revision=chosen.revision,
        left_out=chosen.left_out,
        reads=chosen.reads,
    )


def fingerprint(service: Service, snapshots: Path) -> str:
    """Return the fingerprint that a snapshot of the code would have now, without making one."""
    return of_sources(tree.of(service), snapshot.remembered(snapshots))


def must_suit_images(service: Service, target: Target) -> None:
    """Raise UsageError where the images of a target would lack what it needs: what is linked, who brings its kinds."""
    given = {same(name.partition("[")[0].strip()) for name in service.image.agent_packages}
    for package in target.packages:
        if same(package) not in given:
            raise UsageError(
                f'the agent in the images of target "{target.name}" would lack "{package}"',
                where=str(service.root / SERVICE_FILE),
                why=f'it brings the kind of the target\'s platform ("{target.platform.kind}") or warehouse '
                f'("{target.warehouse.kind}")',
                hint=f'write agent_packages = ["{package}"] into [image], then build the image again',
            )
    if service.source.link:
        raise UsageError(
            f'the target "{target.name}" runs images, which have nothing of what [source] links from this machine',
            where=str(service.root / SERVICE_FILE),
            why=f'"{service.source.link[0]}" is too large to copy, as `link` says',
            hint="mount it by `volumes` or read it from a bucket, and leave it out of `link`; "
            "or run on a target of processes",
        )


def _snapshot(service: Service, place: Path, tell: Callable[[str], None]) -> Frozen:
    found = tree.of(service)
    mark, frozen = snapshot.freeze(found, place, say=tell)
    return Frozen(fingerprint=mark, snapshot=frozen, left_out=found.left_out)
