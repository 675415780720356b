"""The lines of a requirements file, read as pip reads them."""

from __future__ import annotations

import codecs
import optparse
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import NoReturn

from msgspec import Struct

COMMENT = re.compile(r"(?:^|\s+)#.*$")
WHOLE_COMMENT = re.compile(r"^\s*#")
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
ONE = ("--index-url", "--progress-bar", "--log", "--timeout", "--proxy", "--retries", "--cert")
MANY = (
    "--extra-index-url", "--trusted-host", "--no-binary", "--only-binary", "--use-feature", "--hash",
    "--global-option", "--config-settings", "--build-constraint", "--prerelease",
)  # fmt: skip
FLAGS = ("--no-index", "--prefer-binary", "--require-hashes", "--pre", "--process-dependency-links")


class Line(Struct, frozen=True, kw_only=True):
    """
    One line, with what was continued on the next ones, without its comment.

    `requirement` is empty in a line of options; `file` is what such a line includes, `constraint` whether only to
    narrow versions.
    """

    text: str
    requirement: str = ""
    editable: bool = False
    file: str = ""
    constraint: bool = False


def lines(data: bytes, environ: Mapping[str, str]) -> Iterator[Line]:
    """Return the lines of a file; a line that is none for pip either stands there as a requirement."""
    for text in _logical(_decoded(data)):
        expanded = VARIABLE.sub(lambda found: environ.get(found[1]) or found[0], text)
        if not expanded.startswith("-"):
            yield Line(text=expanded, requirement=_before_options(expanded))
            continue
        try:
            options, _ = _parser().parse_args(shlex.split(expanded))
        except ValueError:
            yield Line(text=expanded, requirement=expanded)
            continue
        if options.editable:
            yield Line(text=expanded, requirement=options.editable[0], editable=True)
        elif included := (options.requirement or options.constraint):
            yield Line(text=expanded, file=included[0], constraint=not options.requirement)
        else:
            yield Line(text=expanded)


def _decoded(data: bytes) -> str:
    for mark, name in MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, errors="replace")
    for line in data.split(b"\n")[:2]:
        if found := CODING.match(line):
            try:
                return data.decode(found[1].decode(), errors="replace")
            except LookupError:
                break
    return data.decode(errors="replace")


def _logical(text: str) -> Iterator[str]:
    """Join what is continued, and leave out comments and what is empty."""
    waiting: list[str] = []
    for line in [*text.splitlines(), None]:
        if line is not None and line.endswith("\\") and not WHOLE_COMMENT.match(line):
            waiting.append(line.strip("\\"))
            continue
        # a comment ends what was continued, and is apart from it
        waiting.append(f" {line}" if line is not None and WHOLE_COMMENT.match(line) else line or "")
        if found := COMMENT.sub("", "".join(waiting)).strip():
            yield found
        waiting = []


def _before_options(text: str) -> str:
    words = text.split(" ")
    end = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(words[:end]).strip()


class _Parser(optparse.OptionParser):
    def error(self, msg: str) -> NoReturn:
        raise ValueError(msg)


def _parser() -> optparse.OptionParser:
    parser = _Parser(add_help_option=False)
    parser.add_option("-i", "--pypi-url", dest="index_url")
    parser.add_option("-e", "--editable", action="append")
    parser.add_option("-r", "--requirement", action="append")
    parser.add_option("-c", "--constraint", action="append")
    parser.add_option("-f", "--find-links", action="append")
    for name in ONE:
        parser.add_option(name)
    for name in MANY:
        parser.add_option(name, action="append")
    for name in FLAGS:
        parser.add_option(name, action="store_true")
    return parser
