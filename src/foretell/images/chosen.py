"""Which image a run on a target executes."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from foretell.errors import PlatformError, UsageError
from foretell.images import build, lock
from foretell.images.build import ImageBuild
from foretell.protocol.records import FORMAT
from foretell.service.model import LOCK_FILE, Service, Target
from foretell.service.requirements.groups import same
from foretell.sources.left_out import LeftOut
from foretell.system import container_engine as engines


class Chosen(Struct, frozen=True, kw_only=True):
    """An image by digest, and what is in it, as far as that is known."""

    image: str
    fingerprint: str = ""
    revision: str | None = ""
    reads: int | None = FORMAT
    """Which format of requests its agent reads; None where that is not on record."""
    left_out: tuple[LeftOut, ...] = ()


def named(service: Service, target: Target, image: str) -> Chosen:
    """Return the image that was named for a run; what is in it is known where it is the locked one."""
    entry = lock.read(service.root).get(target.name)
    if entry and entry.image == image:
        return Chosen(image=image, fingerprint=entry.fingerprint, revision=entry.revision, reads=entry.reads)
    return Chosen(image=lock.pinned(image), reads=None)


def labelled(image: str) -> int:
    """Return which format the agent in an image reads, by its label; 1 where no engine of this machine has it."""
    label = f'{{{{index .Config.Labels "{build.READS}"}}}}'
    try:
        said = engines.find().call("image", "inspect", "--format", label, image)
    except PlatformError:
        return 1
    return int(said.output) if said.ok and said.output.strip().isdecimal() else 1


def choose(service: Service, target: Target, *, local: bool, say: Callable[[str], None]) -> Chosen:
    """Return the locked image; without a lock and with an engine here (`local`), the one that the sources make."""
    entry = lock.read(service.root).get(target.name)
    draft = ImageBuild(service, target)
    if entry:
        if draft.sources_are_here and draft.fingerprint != entry.fingerprint:
            raise UsageError(
                f'the sources are not those of the image that "{target.name}" runs',
                where=str(service.root / LOCK_FILE),
                why=f"it was built from revision {entry.revision[:12]}" if entry.revision else "",
                hint=f"run `foretell build --push --on {target.name}`, or name the image: --image {entry.image}",
            )
        if target.needs_google and not entry.google:
            raise UsageError(
                f'the image that "{target.name}" runs cannot talk to Google, where its store or warehouse is now',
                where=str(service.root / LOCK_FILE),
                hint=f"run `foretell build --push --on {target.name}`",
            )
        given = {same(name.partition("[")[0].strip()) for name in entry.packages}
        if lacking := [package for package in target.packages if same(package) not in given]:
            raise UsageError(
                f'the image that "{target.name}" runs was built without "{lacking[0]}", which brings one of its kinds',
                where=str(service.root / LOCK_FILE),
                hint=f"run `foretell build --push --on {target.name}`",
            )
        if local:
            engines.find().call("version")  # else nobody would say for as long as a machine may take to start
        return Chosen(
            image=entry.image,
            fingerprint=entry.fingerprint,
            revision=entry.revision,
            reads=entry.reads,
            left_out=draft.tree.left_out if draft.sources_are_here else (),
        )
    if not local or not draft.sources_are_here:
        raise UsageError(
            f'"{target.name}" has no image of "{service.name}" yet',
            why=f'there is no entry for it in "{LOCK_FILE}"',
            hint=f"run `foretell build --push --on {target.name}` where the sources are",
        )
    built = build.build(draft, engines.find(), say)
    return Chosen(image=built.id, fingerprint=draft.fingerprint, revision=None, left_out=draft.tree.left_out)
