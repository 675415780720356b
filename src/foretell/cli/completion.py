"""completion: what makes a shell complete verbs and options."""

from __future__ import annotations

import argparse
import importlib

import shtab

from foretell.cli import parsing
from foretell.cli.main import VERBS as TABLE
from foretell.cli.output import Terminal
from foretell.cli.parsing import Verb

SHELLS = ("bash", "zsh", "fish")
LINES = """\
to load it in every new shell:
  bash:  echo 'eval "$(foretell completion bash)"' >> ~/.bashrc
  zsh:   echo 'eval "$(foretell completion zsh)"' >> ~/.zshrc      (after compinit)
  fish:  foretell completion fish > ~/.config/fish/completions/foretell.fish"""


def _add_completion(made: argparse.ArgumentParser) -> None:
    made.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")
    made.epilog = f"{LINES}\n\n{made.epilog or ''}"


def completion(args: argparse.Namespace, out: Terminal) -> int:
    """Print the script that a shell loads."""
    script: str = shtab.complete(every_verb(), args.shell)
    if args.json:
        out.document({"shell": args.shell, "script": script})
    else:
        out.raw(script.encode())
    return 0


def every_verb() -> parsing.Parser:
    """Return the parser of all verbs together, which only completion and documentation need."""
    whole = parsing.Parser(prog="foretell", description="Makes a predictive model that works run by itself.")
    whole.add_argument("--version", action="store_true", help="print the version")
    verbs = whole.add_subparsers(dest="verb", metavar="VERB")
    for name, (module, text) in TABLE.items():
        verb: Verb = importlib.import_module(f"foretell.cli.{module}").VERBS[name]
        made = verbs.add_parser(name, help=text, allow_abbrev=False)
        parsing.add(made, verb)
        _complete_paths(made)
    return whole


def _complete_paths(made: argparse.ArgumentParser) -> None:
    """Have the shell offer files and directories where they are meant."""
    for action in made._actions:  # noqa: SLF001 - no other way
        if action.metavar == "FILE":
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]


VERBS = {
    "completion": Verb(
        _add_completion,
        completion,
        ('eval "$(foretell completion bash)"', "foretell completion zsh"),
        at=False,
    )
}
