"""What a verb is, and how its arguments are read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, NoReturn

from foretell.cli import streams
from foretell.cli.output import Terminal
from foretell.errors import UsageError
from foretell.system.text import likeliest

DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)
UNITS = (86400, 3600, 60, 1)
FIRST_YEAR, LAST_YEAR = 1900, 9998

Act = Callable[[argparse.Namespace, Terminal], int]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors of ours. `example` is a command line that it would take."""

    example: str = ""

    def print_help(self, file: object = None) -> None:  # noqa: ARG002 - it goes where every result goes
        """Print the help; argparse itself passes over that it finds no room or no reader."""
        streams.write(self.format_help())

    def error(self, message: str) -> NoReturn:
        lacking = message.removeprefix("the following arguments are required: ")
        if lacking == message:
            raise UsageError(message, hint=f"see `{self.prog} --help`")
        raise UsageError(
            f"`{self.prog}` needs {lacking}",
            hint=f"for example {self.example}; see `{self.prog} --help`",
        )


class Verb(NamedTuple):
    """One verb: what it takes and does, and examples. `at` says whether it is about a service and a target."""

    options: Callable[[argparse.ArgumentParser], None]
    act: Act
    examples: tuple[str, ...]
    at: bool = True


def parser(name: str, text: str, verb: Verb) -> Parser:
    """Return the parser of one verb."""
    made = Parser(
        prog=f"foretell {name}",
        description=f"{text[0].upper()}{text[1:]}.",
        epilog="\n".join(["examples:", *(f"  {example}" for example in verb.examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.example = f"`{verb.examples[0]}`"
    add(made, verb)
    return made


def add(made: argparse.ArgumentParser, verb: Verb) -> None:
    """Add a verb's own arguments, and those that every verb has."""
    verb.options(made)
    if verb.at:
        made.add_argument("--on", metavar="TARGET", help="the target (default: $FORETELL_TARGET, then local)")
        made.add_argument(
            "--file",
            metavar="FILE",
            help="the service file (default: foretell.toml here or in a parent directory)",
        )
    made.add_argument("--json", action="store_true", help="print one JSON document")
    made.add_argument("-q", "--quiet", action="store_true", help="print only the result and errors")


def parse(made: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """Read the arguments; UsageError for what is not understood, with the nearest that would be."""
    args, unknown = made.parse_known_args(argv)
    if not unknown:
        return args
    first = unknown[0]
    known = [option for action in made._actions for option in action.option_strings]  # noqa: SLF001 - no other way
    near = likeliest(first.partition("=")[0], known) if first.startswith("-") else None
    what = f'unknown option "{first}"' if first.startswith("-") else f'unexpected argument "{first}"'
    guess = f'did you mean "{near}"? ' if near else ""
    raise UsageError(what, hint=f"{guess}see `{made.prog} --help`")


# --- arguments that several verbs take --------------------------------------------------------------------------------


def nothing(_: argparse.ArgumentParser) -> None:
    """Take no argument of its own."""


def add_run(made: argparse.ArgumentParser) -> None:
    """Take the run that a verb is about."""
    made.add_argument(
        "run", metavar="RUN", help="ACTION/RUN-ID, or the run id alone if only one action has it"
    )


def add_limit(made: argparse.ArgumentParser, usual: int, what: str) -> None:
    """Take how much of a list is shown."""
    made.add_argument(
        "--limit", type=limit, default=usual, metavar="N", help=f"{what} (default: {usual}; 0: all)"
    )


# --- values -----------------------------------------------------------------------------------------------------------


def limit(text: str) -> int:
    """Read a number of things, 0 or more."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of 0 or more')
    return int(text)


def number(text: str) -> int:
    """Read an ordinal number, 1 or more."""
    if not limit(text):
        raise argparse.ArgumentTypeError("it must be at least 1")
    return int(text)


def date(text: str) -> datetime:
    """Read a date or a time; naive where no offset is told."""
    try:
        found = datetime.fromisoformat(text) if DATE.fullmatch(text) else None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'"{text}" is not a date: {error}') from None
    if found is None:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a date; write 2026-11-21, 2026-11-21T07:00 or 2026-11-21T06:00:00Z'
        )
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise argparse.ArgumentTypeError(
            f'"{text}" is out of range: years from {FIRST_YEAR} to {LAST_YEAR} are allowed'
        )
    return found


def duration(text: str) -> float:
    """Read a duration, "30m" say, as seconds."""
    found = DURATION.fullmatch(text)
    if not found or not text:
        raise argparse.ArgumentTypeError(f'"{text}" is not a duration; write 90s, 30m, 2h or 1h30m')
    return sum(float(part) * unit for part, unit in zip(found.groups(), UNITS, strict=True) if part)


def chosen_input(text: str) -> tuple[str, str]:
    """Read ACTION=RUN."""
    action, equals, run = text.partition("=")
    if not (action and equals and run):
        raise argparse.ArgumentTypeError(f'"{text}" is not ACTION=RUN, such as training=20261121T060000Z-1')
    return action, run
