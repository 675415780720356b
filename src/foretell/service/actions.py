"""The actions of a service, with their commands, schedules, inputs and deliveries resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePosixPath

from msgspec.structs import replace

from foretell.service import schedule
from foretell.service.airflow import scheduling
from foretell.service.commands import commands
from foretell.service.context import ResolveContext
from foretell.service.deliveries import delivery
from foretell.service.discovery import inside, mains, usual_command
from foretell.service.model import OUTPUT, Action, Input, Source
from foretell.service.order import circles
from foretell.service.positions import KeyPath
from foretell.service.problems import Faults, suggestion
from foretell.service.reader import Given

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET = re.compile(r"projects/[a-z0-9:.-]+/secrets/[A-Za-z0-9_-]{1,255}/versions/[1-9][0-9]*")
RESERVED = {"NAME", "VERSION", "ACTION"}
RESOLVED_APART = frozenset({"command", "commands", "inputs", "delivery", "airflow"})
"""Keys whose values are not yet those of an action."""


def actions(site: ResolveContext, source: Source) -> dict[str, Action]:
    """Resolve every action; what is wrong becomes faults."""
    tables = site.actions
    if not tables:
        site.faults.missing(("actions",), "there are no actions; add one, such as [actions.training]")
    _tell_bad_variables(site.service.env, ("env",), site.faults)
    for key in ("inputs", "after"):
        for cycle in circles({name: list(given.get(key, ())) for name, given in tables.items()}):
            site.faults.add(("actions", cycle[0], key), f'"{key}" is circular: {" -> ".join(cycle)}')
    usual = _Usual(site, source)
    return {name: _action(name, given, site, usual) for name, given in tables.items()}


def _tell_bad_variables(env: Mapping[str, str], path: KeyPath, faults: Faults) -> None:
    for name, value in env.items():
        if not VARIABLE.fullmatch(name):
            faults.add((*path, name), f'bad variable name "{name}"; use A-Z, a-z, 0-9 and _')
        elif name in RESERVED or name.startswith("FORETELL_"):
            faults.add((*path, name), f'the variable "{name}" is set by Foretell; choose another name')
        elif "\0" in value:
            faults.add(
                (*path, name),
                f'the variable "{name}" holds a NUL character, which no environment variable can',
            )


def _tell_bad_secrets(secrets: Mapping[str, str], path: KeyPath, faults: Faults) -> None:
    """Tell what is no reference to one version; what stands there may be a secret, so it is not repeated."""
    for name, reference in secrets.items():
        if SECRET.fullmatch(reference):
            continue
        why = "is not a reference to a secret version; write"
        if "/locations/" in reference:
            why = "is a regional secret, which is not supported; use a global one:"
        elif SECRET.fullmatch(
            f"{reference.removesuffix('latest').rstrip('/').removesuffix('/versions')}/versions/1"
        ):
            why = "does not pin a version number, so a repeated run could get another value; write"
        faults.add((*path, name), f'the secret "{name}" {why} "projects/PROJECT/secrets/SECRET/versions/3"')


def _action(name: str, given: Given, site: ResolveContext, usual: _Usual) -> Action:
    path: KeyPath = ("actions", name)
    faults = site.faults
    plain = {key: value for key, value in given.items() if key not in RESOLVED_APART}
    action = Action(name=name, **plain)
    if not NAME.fullmatch(name):
        faults.add(path, f'bad action name "{name}"; use a-z, then a-z, 0-9, _ and -, at most 63 characters')
    _tell_bad_variables(action.env, (*path, "env"), faults)
    _tell_bad_variables(action.secrets, (*path, "secrets"), faults)
    _tell_bad_secrets(action.secrets, (*path, "secrets"), faults)
    _tell_bad_schedule(action.schedule, (*path, "schedule"), faults)
    _tell_unknown(action.after, (*path, "after"), site)
    inputs = _inputs(given.get("inputs", ()), (*path, "inputs"), site)
    steps = commands(given, path, faults) or (usual.command((*path, "command")),)
    delivered = given.get("delivery")
    return replace(
        action,
        command=steps[0] if len(steps) == 1 else (),
        commands=steps if len(steps) > 1 else (),
        output=_output(action.output, (*path, "output"), faults),
        inputs=inputs,
        delivery=None
        if delivered is None
        else delivery(delivered, (*path, "delivery"), faults, has_inputs=bool(inputs)),
        airflow=scheduling(given.get("airflow", {}), (*path, "airflow"), site.service.timezone, faults),
    )


class _Usual:
    """The command that needs no writing, which is looked for once."""

    def __init__(self, site: ResolveContext, source: Source) -> None:
        self._site = site
        self._source = source

    @cached_property
    def _modules(self) -> list[str]:
        return mains(self._site.service.root, self._source)

    def command(self, key: KeyPath) -> tuple[str, ...]:
        """Return it for an action; a fault unless the source leaves no doubt which it is."""
        if len(self._modules) == 1:
            return usual_command(self._site.service.root, self._modules[0], str(key[1]))
        why = (
            f"several packages with a main: {', '.join(self._modules)}"
            if self._modules
            else "no package with a main.py"
        )
        self._site.faults.missing(key, f'missing key "command", and "{self._source.path}" holds {why}')
        return ()


def _output(output: str, key: KeyPath, faults: Faults) -> str:
    path = PurePosixPath(output)
    if inside(output, key, faults) and path.parts[:1] in {(), (".git",), (".foretell",)}:
        faults.add(key, f'"output" must be a separate directory, not "{output}": it is emptied before a run')
    return str(path)


def _tell_bad_schedule(line: str | None, key: KeyPath, faults: Faults) -> None:
    if line is None:
        return
    try:
        schedule.expression(line)
    except ValueError as error:
        faults.add(key, f'bad schedule "{line}": {error}; write "0 7 * * *" or "@daily"')


def _inputs(named: tuple[str, ...] | dict[str, str], key: KeyPath, site: ResolveContext) -> tuple[Input, ...]:
    _tell_unknown(named, key, site)
    if isinstance(named, dict):
        places = named
        for action, place in places.items():
            inside(place, (*key, action), site.faults)
    else:
        places = {action: site.actions.get(action, {}).get("output", OUTPUT) for action in named}
    return tuple(Input(action=action, path=str(PurePosixPath(place))) for action, place in places.items())


def _tell_unknown(names: tuple[str, ...] | dict[str, str], key: KeyPath, site: ResolveContext) -> None:
    """Tell which of the actions that are named do not exist, or are named twice."""
    for index, name in enumerate(names):
        place = (*key, name if isinstance(names, dict) else index)
        if name not in site.actions:
            likely = suggestion(name, site.actions)
            site.faults.add(place, f'"{key[-1]}" names the unknown action "{name}"{likely}')
        elif name in tuple(names)[:index]:
            site.faults.add(place, f'"{key[-1]}" names the action "{name}" twice')
