"""Installing what a model needs: by uv, and by pip where pip can do what uv cannot."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from foretell.agent import advice
from foretell.agent.interpreter import InterpreterReport, find, own
from foretell.agent.tools import Tools
from foretell.service.requirements import groups
from foretell.service.requirements.lines import lines
from foretell.service.requirements.needs import Needs
from foretell.service.requirements.steps import InstallStep, steps

PIP = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
OF_THE_INTERPRETER = """
import ensurepip, glob, os
print(*sorted(glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), "_bundled", "pip-*.whl")))[-1:])
"""
"""Prints where the interpreter keeps the pip that it gives to new environments."""


def fill(needs: Needs, place: Path, tools: Tools) -> None:
    """Make an environment of what is needed at a place that is not there; EnvironmentFailedError where it cannot be."""
    python = find(needs.python, tools.ask, tools.fetch, tools.environ) if needs.python else own()
    if needs.project:
        _sync(needs.project, needs, python, place, tools)
        return
    said = tools.uv("venv", "--no-project", "--python", str(python), str(place))
    if not said.ok:
        raise advice.failed("the virtual environment cannot be created", said.errors)
    install(needs, python, place, tools)


def _sync(project: Path, needs: Needs, python: Path, place: Path, tools: Tools) -> None:
    """Install what uv.lock holds, less the project itself: its code is on PYTHONPATH, as edited."""
    options = ["--locked", "--no-dev", "--no-install-project", "--no-editable", "--compile-bytecode"]
    options += groups.options(project / "pyproject.toml", needs.groups)
    said = tools.sync(*options, "--python", str(python), "--project", str(project), environment=place)
    if not said.ok:
        raise advice.failed("the locked requirements cannot be installed", said.errors)


def install(needs: Needs, python: Path, place: Path, tools: Tools) -> None:
    """
    Install into an environment that is there and empty; EnvironmentFailedError where that cannot be.

    Older packages have metadata, and builds, that only pip accepts. Whether that is so is found by trying: uv narrows
    down which requirement it fails for, and pip is asked for that one alone. Only if pip can have it, pip does it all.
    """
    wanted = steps(needs.requirements, tools.cwd, needs.groups)
    with tempfile.TemporaryDirectory(prefix="foretell-") as aside:
        inside = _Inside(place, Path(aside), tools)
        failing = next(((step, said) for step in wanted if not (said := inside.by_uv(step)).ok), None)
        if failing is None:
            return
        step, said = failing
        culprit = inside.culprit(step) if step.for_pip else None
        if culprit is None or not all(one.for_pip for one in wanted) or not inside.pip_has(step, culprit):
            every = inside.lines(step)
            hint = advice.older_python(inside.has_wheels, culprit, every, tools, python) if culprit else ""
            raise advice.failed("the requirements cannot be installed", said.errors, hint=hint)
        tools.log(b"uv cannot install these requirements, so the interpreter's own pip is tried\n")
        made = tools.call([str(python), "-m", "venv", "--clear", str(place)])
        for one in wanted:
            made = inside.by_pip(one) if made.ok else made
    if not made.ok:
        raise advice.failed("the requirements cannot be installed", said.errors, also=made.errors)


class _Inside:
    """An environment that is being filled."""

    def __init__(self, place: Path, aside: Path, tools: Tools) -> None:
        self._python = str(place / "bin" / "python")
        self._aside = aside
        self._tools = tools

    def by_uv(self, step: InstallStep) -> InterpreterReport:
        return self._uv(self._arguments(step))

    def by_pip(self, step: InstallStep) -> InterpreterReport:
        return self._tools.call([self._python, "-m", "pip", "install", *PIP, *self._arguments(step)])

    def culprit(self, step: InstallStep) -> list[str] | None:
        """
        Return the lines of a requirements file that uv fails for and that are few: one requirement, with all options.

        None where each is fine by itself: then they contradict each other, for pip as well.
        """
        options, wanted = _parted(step, self._tools.cwd, self._tools.environ)
        dry = not self._tries(step, dry=True)([*options, *wanted])
        works = self._tries(step, dry=dry)
        if not works(options):
            return options
        while len(wanted) > 1:
            halves = wanted[: len(wanted) // 2], wanted[len(wanted) // 2 :]
            failing = next((half for half in halves if not works([*options, *half])), None)
            if failing is None:
                return None
            wanted = failing
        return [*options, *wanted]

    def pip_has(self, step: InstallStep, culprit: Sequence[str]) -> bool:
        """Tell whether pip finds, and takes, what uv does not."""
        found = self._tools.call([self._python, "-c", OF_THE_INTERPRETER], quiet=True)
        wheel = found.output.strip()
        if not wheel:
            return False
        options = (*PIP, "--retries", "1", "--dest", str(self._aside / "downloads"))
        asked = [self._python, f"{wheel}/pip", "download", *options, *self._of_text(culprit, step)]
        return self._tools.call(asked, quiet=True).ok

    def lines(self, step: InstallStep) -> list[str]:
        """Return the lines of all files of a step."""
        options, wanted = _parted(step, self._tools.cwd, self._tools.environ)
        return [*options, *wanted]

    def has_wheels(self, text: Sequence[str], version: str) -> bool:
        """Tell whether there are wheels for a version of Python, of all that is named."""
        options = (
            "--python",
            self._python,
            "--python-version",
            version,
            "--only-binary",
            ":all:",
            "--no-deps",
        )
        nowhere = ("--quiet", "--output-file", str(self._aside / "resolved.txt"))
        return self._tools.pip("compile", *options, *nowhere, *self._of_text(text)[1:], quiet=True).ok

    def _tries(self, step: InstallStep, *, dry: bool) -> Callable[[Sequence[str]], bool]:
        def works(text: Sequence[str]) -> bool:
            return self._uv([*self._of_text(text, step), *(["--dry-run"] if dry else [])], quiet=True).ok

        return works

    def _uv(self, arguments: Sequence[str], *, quiet: bool = False) -> InterpreterReport:
        return self._tools.pip(
            "install", "--python", self._python, "--compile-bytecode", *arguments, quiet=quiet
        )

    def _arguments(self, step: InstallStep) -> list[str]:
        if step.text:
            return self._of_text(step.text.splitlines(), step)
        # as in the file of a person, whose relative paths are those of the sources
        files = [str(self._tools.cwd / name) for name in step.files]
        return [*(word for name in files for word in ("-r", name)), *step.options]

    def _of_text(self, text: Sequence[str], step: InstallStep | None = None) -> list[str]:
        """Write a requirements file; return the arguments to install from it."""
        file = self._aside / "requirements.txt"
        file.write_text("".join(f"{line}\n" for line in text))
        return ["-r", str(file), *(["--no-deps"] if step and step.complete else [])]


def _parted(step: InstallStep, root: Path, environ: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the lines of all files of a step: options, and requirements."""
    found: list[str] = []
    if step.text:
        found = [line.text for line in lines(step.text.encode(), environ)]
    for name in step.files:
        found += _flat(root / name, environ, set())
    is_option = {line: line.startswith("-") and not line.startswith(("-e", "--editable")) for line in found}
    return [line for line in found if is_option[line]], [line for line in found if not is_option[line]]


def _flat(path: Path, environ: Mapping[str, str], seen: set[Path]) -> Iterator[str]:
    """Return the lines of a file, with those of the files that it includes in their place."""
    if path in seen:
        return
    seen.add(path)
    for line in lines(path.read_bytes(), environ):
        if line.links and (path.parent / line.links).exists():
            # relative to the file that says it, which is not the one it gets into
            yield line.text.replace(line.links, str(path.parent / line.links))
        elif not line.file:
            yield line.text
        elif line.constraint:
            yield f"-c {line.file if '://' in line.file else path.parent / line.file}"
        elif "://" in line.file:
            yield line.text
        else:
            yield from _flat(path.parent / line.file, environ, seen)
