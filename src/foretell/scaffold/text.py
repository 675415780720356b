"""What `init` writes into foretell.toml, and what it says about it."""

from __future__ import annotations

import json
import re

from foretell.scaffold.commands import Found

FILE = "foretell.toml"
SCHEDULES = {
    "training": ("0 4 1 * *", "on the first of every month"),
    "application": ("0 6 * * *", "every morning"),
}
DOES = {"training": "trains the model", "application": "applies it"}
COMMENTS = 38
"""Column at which comments begin."""
INPUTS = 'inputs = ["training"]'
DELIVERY = """
# [actions.application.delivery]       # which file of output/ becomes rows of which table
# file = "predictions.csv"
# columns = "customer_id:STRING,label:BOOL"    # `foretell columns RUN` prints this line for what a run wrote
"""


def describe(name: str, found: Found) -> str:
    """Return the text of a foretell.toml with the commands that were found; what was not is a comment to fill in."""
    lines = [
        f'name = "{slug(name)}"',
        "# Every key, with its default: `foretell schema`, or docs/service-file.md of Foretell.",
    ]
    for action in dict.fromkeys(
        [*([] if found.commands else ["training"]), *found.commands, *found.candidates]
    ):
        table = _action(action, found)
        # a table alone would stand for the usual command, where there is a main that it could be
        open_ended = action not in found.commands and (action != "training" or found.commands or found.usual)
        lines += ["", *(f"# {line}" if open_ended and line[0] != "#" else line for line in table)]
    return "\n".join(lines) + "\n" + (DELIVERY if "application" in found.commands else "")


def _action(action: str, found: Found) -> list[str]:
    lines = [f"[actions.{action}]"]
    if action in SCHEDULES:
        schedule, words = SCHEDULES[action]
        lines.append(_commented(f"schedule = {json.dumps(schedule)}", words))
    if action in found.commands:
        lines.append(_command(found.commands[action]))
    else:
        candidates = found.candidates.get(action, ())
        lines += [f"# {_commented(_command(each), 'found here: is it this?')}" for each in candidates]
        if not candidates:
            lines.append(f"# {_commented(_command('…'), f'what {DOES[action]}, as you type it in a shell')}")
    if action != "training" and ("training" in found.commands or not found.commands):
        lines.append(
            _commented(INPUTS, "its current model is put where it was written, before the command starts")
        )
    return lines


def _command(command: str) -> str:
    return f"command = {json.dumps(command, ensure_ascii=False)}"


def _commented(line: str, comment: str) -> str:
    return f"{line:{COMMENTS}} # {comment}"


def notes(found: Found) -> list[str]:
    """Say what was not found, and what is to be seen to, a sentence each."""
    told = []
    for action in ("training", "application"):
        if candidates := found.candidates.get(action):
            told.append(
                f"no command was found that {DOES[action]}; it could be one of: {', '.join(candidates)}"
            )
        elif action == "training" and not found.commands:
            told.append(
                f"no command was found that {DOES[action]}: write yours into {FILE}, in [actions.{action}]"
            )
    told += [f"{name} holds commands too, which are not read; copy them into {FILE}" for name in found.others]
    told += [
        f"the command of [actions.{action}] asks for {', '.join(names)}: add them in {FILE}"
        for action, names in found.lacking.items()
    ]
    if found.commands:
        told.append(
            "what a command writes to output/ is kept; if yours writes elsewhere, name that directory by `output`"
        )
    if "application" in found.commands:
        told.append(f"to deliver predictions to a table, fill in [actions.application.delivery] in {FILE}")
    return told


def slug(name: str) -> str:
    """Make a service's name of a directory's."""
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (words if words[:1].isalpha() else f"service-{words}".rstrip("-"))[:63]
