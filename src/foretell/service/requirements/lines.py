"""The lines of a requirements file, read as pip reads them."""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Iterator, Mapping

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
SHORT = {
    "-r": "--requirement", "-c": "--constraint", "-e": "--editable", "-f": "--find-links", "-i": "--index-url",
}  # fmt: skip
VALUED = frozenset(
    {
        *SHORT.values(), "--pypi-url", "--extra-index-url", "--trusted-host", "--no-binary", "--only-binary",
        "--use-feature", "--hash", "--global-option", "--config-settings", "--config-setting",
    }
)  # fmt: skip
"""Options of a requirements file that have a value."""
FLAGS = frozenset(
    {"--no-index", "--prefer-binary", "--require-hashes", "--pre", "--process-dependency-links"}
)


class RequirementLine(Struct, frozen=True, kw_only=True):
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
    links: str = ""
    """Where a line of options says that packages lie: a directory, a page."""


def lines(data: bytes, environ: Mapping[str, str]) -> Iterator[RequirementLine]:
    """Return the lines of a file; a line that is none for pip either stands there as a requirement."""
    for text in _logical(_decoded(data)):
        expanded = VARIABLE.sub(lambda found: environ.get(found[1]) or found[0], text)
        if not expanded.startswith("-"):
            yield RequirementLine(text=expanded, requirement=_before_options(expanded))
            continue
        options = _options(expanded)
        if options is None:
            yield RequirementLine(text=expanded, requirement=expanded)
        elif "--editable" in options:
            yield RequirementLine(text=expanded, requirement=options["--editable"], editable=True)
        elif included := (options.get("--requirement") or options.get("--constraint")):
            yield RequirementLine(text=expanded, file=included, constraint="--requirement" not in options)
        else:
            yield RequirementLine(text=expanded, links=options.get("--find-links", ""))


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


def _options(text: str) -> dict[str, str] | None:
    """Return the options of a line, the first value of each; None for what is no line of options."""
    found: dict[str, str] = {}
    try:
        words = iter(shlex.split(text))
    except ValueError:
        return None
    for word in words:
        if word.startswith("--"):
            written, equals, value = word.partition("=")
            name = _long(written)
        elif word.startswith("-"):
            name, value = SHORT.get(word[:2]), word[2:]
            equals = value
        else:
            continue
        if name in VALUED:
            read = value if equals else next(words, None)
            if read is None:
                return None
            found.setdefault(name, read)
        elif name not in FLAGS or equals:
            return None
    return found


def _long(written: str) -> str | None:
    """Return the option that is meant, which need not be written to its end."""
    known = VALUED | FLAGS
    if written in known:
        return written
    likely = [name for name in known if name.startswith(written)]
    return likely[0] if len(likely) == 1 else None
