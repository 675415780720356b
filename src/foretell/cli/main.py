"""
The door: finds the verb, loads its module, and turns whatever goes wrong into a message and an exit code.

Only what this file needs is loaded before the verb is known, so that `foretell --help` costs next to nothing.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from contextlib import suppress

from foretell.cli import streams
from foretell.errors import ForetellError, StreamError, UsageError

GROUPS = {
    "getting started": {
        "init": ("setup", "create an example service, or add a foretell.toml to this repository"),
        "doctor": ("upkeep", "check this machine and the target, and say how to fix what is missing"),
    },
    "running": {
        "run": ("execution", "start a run, show its log, wait for its end, exit with its result"),
        "start": ("execution", "start a run and print its name, without waiting for its end"),
        "wait": ("execution", "wait until a run has ended, in whatever way"),
        "check": ("execution", "exit with the result of a run"),
        "stop": ("execution", "cancel a run"),
    },
    "inspecting": {
        "runs": ("inspection", "list the most recent runs"),
        "show": ("inspection", "show everything on record of a run"),
        "logs": ("inspection", "print the output of a run's command"),
        "get": ("inspection", "download the files of a run"),
        "columns": ("columns", "print the `columns` line for foretell.toml that fits the output of a run"),
        "models": ("models", "show which models are current, and why"),
        "predictions": ("models", "show the delivered rows"),
    },
    "correcting": {
        "withdraw": ("withdrawal", "withdraw a run, so that its model and rows are not used again"),
        "claim": ("models", "make this service the owner of a table"),
    },
    "running by itself": {
        "tick": ("ticking", "start what is due, clean up, report how runs ended; to be called by cron"),
        "tidy": ("upkeep", "complete interrupted runs, stop stray machines, clean up"),
        "airflow": ("airflow", "start a local Airflow for this service"),
    },
    "advanced": {
        "build": ("images", "build the image of the service, and push it"),
        "plan": ("planning", "print what would be started, without starting it"),
        "schema": ("setup", "print the JSON Schema of foretell.toml, for editors"),
        "completion": ("completion", "print a completion script for the shell"),
    },
}
VERBS = {verb: found for group in GROUPS.values() for verb, found in group.items()}

USAGE = "usage: foretell VERB [ARGUMENTS] [--on TARGET] [--file FILE] [--json] [--quiet]"
EXAMPLES = """\
examples:
  foretell init my-service && cd my-service
  foretell run training
  foretell run application
  foretell predictions

RUN is what `start` prints: ACTION/RUN-ID, or a bare run id. `foretell VERB --help` explains a verb.
exit codes: 0 succeeded, 1 failed, 2 wrong usage or service file, 3 infrastructure, or still open, 4 timeout,
5 delivery rejected, 6 cancelled or withdrawn, 70 a bug in Foretell, 130 interrupted
"""
LAUNCHING = ("run", "start")
"""Verbs that need an agent: one is made ready while they load."""
VALUED = ("--on", "--file")
"""Options that may stand before the verb too, and take a value."""

INTERRUPTED = 130
BROKEN_PIPE = 141
BUG = 70


def main(argv: list[str] | None = None) -> int:
    """Carry out a command line; give the exit code."""
    streams.occupy()
    try:
        code = _answer(sys.argv[1:] if argv is None else argv)
        streams.flush()
    except streams.ReaderGoneError:
        streams.silence(sys.stdout, sys.stderr)
        return BROKEN_PIPE
    except StreamError as error:
        _complain(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if argv is not None:
            gc.unfreeze()  # the caller's process does not end with us
    return code


def overview() -> str:
    """Return the help of all verbs together."""
    lines = [
        "Foretell makes a predictive model run by itself.",
        "",
        USAGE,
    ]
    for group, verbs in GROUPS.items():
        lines += ["", f"{group}:", *(f"  {verb:12} {text}" for verb, (_, text) in verbs.items())]
    return "\n".join([*lines, "", EXAMPLES])


def _answer(argv: list[str]) -> int:
    """Answer what needs no verb; else let the verb answer."""
    argv = _verb_first(argv)
    if not argv or argv[0] in ("-h", "--help") or argv == ["help"]:
        streams.write(overview())
        return 0 if argv else UsageError.exit_code
    if argv[0] == "--version":
        from importlib.metadata import version

        streams.write(f"foretell {version('foretell')}\n")
        return 0
    if argv[0] == "help":
        argv = [argv[1], "--help"]
    return _guarded(argv[0], argv[1:])


def _verb_first(argv: list[str]) -> list[str]:
    """Move options that stand before the verb behind it."""
    place = 0
    while (
        place < len(argv) and argv[place].startswith("-") and argv[place] not in ("-h", "--help", "--version")
    ):
        place += 2 if argv[place] in VALUED else 1
    return [*argv[place : place + 1], *argv[:place], *argv[place + 1 :]]


def _guarded(name: str, rest: list[str]) -> int:
    """Carry out a verb; what it raises becomes a message."""
    try:
        return _carry_out(name, rest)
    except ForetellError as error:
        from foretell.cli.output import Terminal

        out = Terminal.of(rest)
        out.error(error)
        return out.end(error.exit_code)
    except (streams.ReaderGoneError, KeyboardInterrupt):
        raise
    except Exception:  # noqa: BLE001 - whatever is not an error of ours is a bug, and is shown as one
        import traceback

        _complain(
            f"{traceback.format_exc()}\nthis is a bug in Foretell; please report it with the lines above\n"
        )
        return BUG


def _carry_out(name: str, rest: list[str]) -> int:
    if name not in VERBS:
        raise _unknown_verb(name)
    from foretell.system import standby

    if name in LAUNCHING and _on_this_machine(rest):
        standby.begin()
    gc.disable()  # modules are no garbage; to look for it among them, also at the exit, takes 15 ms
    standby.load_msgspec()
    module, text = VERBS[name]
    loaded = importlib.import_module(f"foretell.cli.{module}")
    from foretell.cli import parsing
    from foretell.cli.output import Terminal

    verb: parsing.Verb = loaded.VERBS[name]
    gc.freeze()
    gc.enable()
    args = parsing.parse(parsing.parser(name, text, verb), rest)
    out = Terminal.of(rest)
    return out.end(verb.act(args, out))


def _on_this_machine(rest: list[str]) -> bool:
    """Guess from the raw arguments that the agent will be a process here; a wrong guess costs time only."""
    if "-h" in rest or "--help" in rest:
        return False
    named = [rest[place + 1] for place, word in enumerate(rest[:-1]) if word == "--on"]
    return (named or [os.environ.get("FORETELL_TARGET") or "local"])[-1] == "local"


def _unknown_verb(name: str) -> UsageError:
    from foretell.system.text import likeliest

    near = likeliest(name, VERBS)
    guess = f"did you mean `foretell {near}`? " if near else ""
    return UsageError(f'unknown verb "{name}"', hint=f"{guess}`foretell --help` lists the verbs")


def _complain(text: str) -> None:
    with suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()
