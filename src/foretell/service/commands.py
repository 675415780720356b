"""Commands: text that is split as by a shell, and refused where a shell would do more than split it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

from foretell.service.positions import KeyPath
from foretell.service.problems import Faults
from foretell.service.reader import Given

Told: TypeAlias = str | tuple[str, ...]
"""A command as the file has it: text, or the program and its arguments."""

PLAIN = re.compile(r"[A-Za-z0-9 _.,:/=+@%{}-]*")
"""Text that is parted at its spaces, and nothing else; most commands are, and the reader of the rest takes long."""
PIECE = re.compile(
    r"""
    (?P<space>(?:[ \t\r\n]|\\\r?\n)+)
    | '(?P<single>[^']*)'
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | \\(?P<escaped>.)
    | (?P<shell>&& | \|\| | [;|&<>`] | \$\( | \$\{[^}]*\}? | \$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*\#?$!-]))
    | (?P<plain>[^ \t\r\n\\'"&|;<>`$]+ | .)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
FILLED = re.compile(r"\$\{[^}]*\}?|\$[A-Za-z_][A-Za-z0-9_]*|\$\([^)]*\)", re.ASCII)
"""What a shell fills in within double quotes. Backticks are left out: there they are SQL's, for names."""
KEPT = re.compile(r'\\(["\\])')
SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=", re.ASCII)
HOME = "~/"
BREAK = "a line break"
BETWEEN = ("&&", ";", BREAK)
"""What stands between commands of which one follows the other."""
BUILT_IN = re.compile(
    r"\.|alias|cd|eval|exec|exit|export|set|source|trap|ulimit|umask|unset|wait"
    r"|if|then|else|elif|fi|for|while|until|do|done|case|esac"
)
"""What a shell does to itself: as a program it is not there, or does nothing, as /usr/bin/cd on some systems."""
QUOTABLE = re.compile(r"[&|;<>`$~]")
"""The beginning of what means itself in single quotes."""
WIDEST = 72
"""Characters of a mend that repeats the command."""
ANY_SHELL = '["sh", "-c", "…"]'
ANY_STEPS = '["python a.py", "python b.py"]'


class ShellOnlyError(ValueError):
    """Text holds what a shell alone understands; `found` is that, `at` where it begins."""

    def __init__(self, found: str, at: int) -> None:
        super().__init__(found)
        self.found = found
        self.at = at


def split(text: str) -> tuple[str, ...]:
    """
    Return the words of a command.

    Quotes and backslashes are read as by a shell, a backslash before the end of a line is white space, and `* ? [`,
    braces and `#` mean themselves. Raises ShellOnlyError for what a shell would carry out, fill in or set, ValueError
    for a quote that is not closed or a backslash with nothing after it.
    """
    if PLAIN.fullmatch(text) and not SETTING.match(text.lstrip()):
        return tuple(text.split())
    words: list[str] = []
    word: str | None = None
    broken: int | None = None
    for piece in PIECE.finditer(text):
        if piece["space"] is not None:
            words += [] if word is None else [word]
            word = None
            if words and broken is None and "\n" in re.sub(r"\\\r?\n", "", piece["space"]):
                broken = piece.start()
            continue
        if word is None:
            _insist_on_a_plain_beginning(text, piece.start(), broken, first=not words)
        word = (word or "") + _meant(piece)
    return (*words, word) if word is not None else tuple(words)


def _insist_on_a_plain_beginning(text: str, at: int, broken: int | None, *, first: bool) -> None:
    """Raise where the word that begins here makes a shell's line of the text."""
    if broken is not None:
        raise ShellOnlyError(BREAK, broken)
    if text.startswith(HOME, at):
        raise ShellOnlyError(HOME, at)
    if first and (setting := SETTING.match(text, at)):
        raise ShellOnlyError(setting[0], at)


def _meant(piece: re.Match[str]) -> str:
    """Return what a piece of a word stands for."""
    if piece["shell"] is not None:
        raise ShellOnlyError(piece["shell"], piece.start())
    if piece["double"] is not None:
        if filled := FILLED.search(piece["double"]):
            raise ShellOnlyError(filled[0], piece.start() + 1 + filled.start())
        return KEPT.sub(r"\1", piece["double"])
    if piece["plain"] in {"'", '"'}:
        raise ValueError("no closing quotation")
    if piece["plain"] == "\\":
        raise ValueError("no escaped character")
    return next(text for text in (piece["single"], piece["escaped"], piece["plain"]) if text is not None)


def command(told: Told, path: KeyPath, faults: Faults) -> tuple[str, ...]:
    """Return program and arguments of one command; what is wrong with it becomes a fault at `path`."""
    name = f'"{path[-1]}"' if isinstance(path[-1], str) else f'step {path[-1] + 1} of "{path[-2]}"'
    try:
        words = _program(told) if isinstance(told, str) else told
    except ShellOnlyError as error:
        faults.add(path, f"{name} {_told(str(told), error)}")
        return ()
    except ValueError as error:
        faults.add(path, f"{name} cannot be split into arguments: {error}")
        return ()
    if not words or not words[0].strip():
        faults.add(path, f"{name} is empty; write the program and its arguments")
    elif any("\0" in word for word in words):
        faults.add(path, f"{name} holds a NUL character, which no argument may")
    return words


def _program(text: str) -> tuple[str, ...]:
    """Split a text whose first word is a program; ShellOnlyError also where it is what a shell does to itself."""
    words = split(text)
    if words and BUILT_IN.fullmatch(words[0]):
        raise ShellOnlyError(words[0], text.find(words[0]))
    return words


def commands(given: Given, path: KeyPath, faults: Faults) -> tuple[tuple[str, ...], ...]:
    """Return the commands that the file gives an action, in turn; none where it leaves them to be found."""
    if "commands" not in given:
        if "command" in given:
            return (command(given["command"], (*path, "command"), faults),)
        return ((),) if faults.within((*path, "commands")) else ()
    if "command" in given:
        faults.add((*path, "commands"), '"command" and "commands" exclude each other; keep one of them')
    if not given["commands"]:
        faults.add((*path, "commands"), f'"commands" is empty; write {ANY_STEPS}')
        return ((),)
    return tuple(
        command(told, (*path, "commands", place), faults) for place, told in enumerate(given["commands"])
    )


def _told(text: str, error: ShellOnlyError) -> str:
    """Return what is wrong with a text command, and how else it is written."""
    match error.found:
        case "~/":
            why = 'has "~/", which only a shell expands'
        case found if found.endswith("="):
            why = f'begins with "{found}", which only a shell understands (set variables in "env")'
        case found if BUILT_IN.fullmatch(found):
            why = f'begins with "{found}", which is a shell builtin, not a program'
        case found if found == BREAK:
            why = (
                "has a line break between two words, which only a shell takes as the start of another command"
            )
        case found if found.startswith("$") or found == "`":
            why = f'has "{found}", which only a shell expands'
        case found:
            why = f'has "{found}" outside of quotes, which only a shell understands'
    literally = "; in single quotes it is taken literally" if QUOTABLE.match(error.found) else ""
    for_a_shell = f'["sh", "-c", {_quoted(text)}]'
    return (
        f"{why}, and commands run without one: write {for_a_shell if len(for_a_shell) <= WIDEST else ANY_SHELL}, "
        f"or steps, commands = {_steps(text)}{literally}"
    )


def _steps(text: str) -> str:
    """Return the text as steps where it is no more than some commands in turn, else any."""
    steps = list(_parted(text.strip()))
    try:
        plain = len(steps) > 1 and all(map(_program, steps))
    except ValueError:
        plain = False
    shown = f"[{', '.join(map(_quoted, steps))}]"
    return shown if plain and len(shown) <= WIDEST else ANY_STEPS


def _parted(text: str) -> Iterator[str]:
    """Part a text at what stands between its commands."""
    while True:
        try:
            split(text)
        except ShellOnlyError as error:
            if error.found not in BETWEEN:
                yield text
                return
            yield text[: error.at].strip()
            text = text[error.at :].removeprefix(error.found).strip()
        except ValueError:
            yield text
            return
        else:
            yield text
            return


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
