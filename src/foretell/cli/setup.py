"""init, schema."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from foretell import scaffold
from foretell.cli import opening, parsing
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb
from foretell.service import load
from foretell.service.load import FILE


def _add_init(made: ArgumentParser) -> None:
    made.add_argument(
        "dir",
        metavar="DIR",
        nargs="?",
        type=Path,
        help="create a service there (default: add a foretell.toml to this repository)",
    )
    made.add_argument("--model", metavar="PATH-or-URL", help="the model's repository, which becomes source/")


def init(args: Namespace, out: Terminal) -> int:
    """Make a service, or adapt the repository at hand."""
    here = opening.here()
    anew = args.dir or args.model
    made = scaffold.create(here / (args.dir or "."), args.model) if anew else scaffold.adopt(here)
    out.document({"directory": made.directory, "files": made.files, "notes": made.notes})
    for path in made.files:
        out.result(str(args.dir / path) if args.dir else path)
    for note in made.notes:
        out.tell((f"note: {note}", "warn"))
    enter = f"cd {args.dir} && " if args.dir else ""
    fill = "" if made.first else f"fill in the command of [actions.training] in {FILE}, then: "
    out.tell(("next: ", "faint"), f"{fill}{enter}foretell run {made.first or 'training'}")
    return 0


def schema(args: Namespace, out: Terminal) -> int:
    """Print the JSON Schema of foretell.toml."""
    del args
    out.data(load.schema())
    return 0


VERBS = {
    "init": Verb(
        _add_init,
        init,
        (
            "foretell init",
            "foretell init my-service",
            "foretell init my-service --model https://example.com/model.git",
        ),
        at=False,
    ),
    "schema": Verb(parsing.nothing, schema, ("foretell schema > foretell.schema.json",), at=False),
}
