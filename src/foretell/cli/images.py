"""build: the image of the service, and foretell.lock."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from foretell.cli import opening
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb
from foretell.errors import UsageError
from foretell.images import build as building
from foretell.images import lock
from foretell.images.build import ImageBuild
from foretell.service.model import LOCK_FILE, Service
from foretell.sources.left_out import lines
from foretell.system import container_engine as engines

USUAL = "docker"


def _add(made: ArgumentParser) -> None:
    made.add_argument("--push", action="store_true", help="push it and write its digest into foretell.lock")
    other = made.add_mutually_exclusive_group()
    other.add_argument("--dry-run", action="store_true", help="print the Dockerfile without building")
    other.add_argument(
        "--context",
        metavar="DIR",
        help="write everything that another build tool needs into this directory, without building",
    )
    other.add_argument(
        "--record",
        metavar="REF@sha256:…",
        help="write an image that another tool has pushed into foretell.lock",
    )


def build(args: Namespace, out: Terminal) -> int:
    """Make the image, or what makes it."""
    service = opening.service(args)
    draft = ImageBuild(service, service.target_named(opening.target_name(args, _usual(service))))
    if not draft.sources_are_here:
        raise UsageError(
            f'the sources of "{service.name}" are not here',
            where=str(service.root / service.source.path),
            hint='build where they are, or fetch the submodule with "git submodule update --init"',
        )
    for line in lines(draft.tree.left_out):
        out.tell((f"left out: {line}", "faint"))
    if args.dry_run:
        text = draft.dockerfile()
        out.result(text.rstrip())
        out.document(
            {"tag": draft.tag, "fingerprint": draft.fingerprint, "dockerfile": text, **_left_out(draft)}
        )
    elif args.context:
        _write_context(draft, Path(args.context), out)
    elif args.record:
        _record(draft, args.record, out, new=True)
    elif args.push:
        _push(draft, out)
    else:
        _build(draft, out)
    return 0


def _usual(service: Service) -> str:
    """Return the target that schedules use, where that one runs images."""
    target = service.targets.get(service.target or "")
    return USUAL if target is None or not target.platform.runs_images else target.name


def _build(draft: ImageBuild, out: Terminal) -> None:
    built = building.build(draft, engines.find(os.environ), lambda line: out.log(f"{line}\n".encode()))
    out.clear()
    out.tell(
        ("built" if built.new else "already built, nothing has changed", "good" if built.new else "faint")
    )
    out.result(built.tag)
    out.document(
        {
            "tag": built.tag,
            "id": built.id,
            "fingerprint": draft.fingerprint,
            "new": built.new,
            **_left_out(draft),
        }
    )


def _push(draft: ImageBuild, out: Terminal) -> None:
    pushed = building.push(draft, engines.find(os.environ), lambda line: out.log(f"{line}\n".encode()))
    out.clear()
    out.tell(
        ("pushed" if pushed.new else "already in the registry", "good" if pushed.new else "faint"),
        f": {draft.tag}",
    )
    _record(draft, pushed.image, out, new=pushed.new)


def _record(draft: ImageBuild, image: str, out: Terminal, *, new: bool) -> None:
    changed = lock.write(draft.service.root, draft.target.name, draft.locked(image))
    if changed:
        out.tell(f'"{LOCK_FILE}" has the new image of "{draft.target.name}"; commit it')
    out.result(image)
    out.document(
        {
            "image": image,
            "tag": draft.tag,
            "fingerprint": draft.fingerprint,
            "new": new,
            "locked": draft.target.name,
            **_left_out(draft),
        }
    )


def _write_context(draft: ImageBuild, into: Path, out: Terminal) -> None:
    try:
        into.mkdir(parents=True, exist_ok=True)
        if any(into.iterdir()):
            raise UsageError(f'the directory "{into}" is not empty', hint="name a new directory")
        draft.write(into, mounts=False)
        into.with_name(f"{into.name}.tag").write_text(f"{draft.tag}\n")
    except OSError as error:
        raise UsageError(f'cannot write to "{into}"', why=error.strerror or str(error)) from error
    out.tell(
        f"build it as {draft.tag}, push it, then `foretell build --record REF@sha256:… --on {draft.target.name}`"
    )
    out.result(str(into))
    out.document({"context": into, "tag": draft.tag, "fingerprint": draft.fingerprint, **_left_out(draft)})


def _left_out(draft: ImageBuild) -> dict[str, object]:
    return {"left_out": draft.tree.left_out}


VERBS = {
    "build": Verb(
        _add,
        build,
        (
            "foretell build --on docker",
            "foretell build --push --on production",
            "foretell build --dry-run",
            "foretell build --context /tmp/context",
        ),
    )
}
