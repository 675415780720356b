"""What a graph says of itself in Airflow: its service in a picture, and how it is run, from the service file."""

from __future__ import annotations

from collections.abc import Iterator

from foretell.service.delivery import Delivery
from foretell.service.model import Action, Service
from foretell.service.order import in_order, needs

THIN, THICK = tuple("┌─┐│└┘┴┬"), tuple("┏━┓┃┗┛┷┯")
"""What boxes are drawn with; the graph's own action has the thick one."""


def describe(service: Service, action: Action) -> str:
    """Return the line that lists of graphs show."""
    told = f"{action.name} of {service.name}"
    return f"{told}, delivered to {action.delivery.table}" if action.delivery else told


def documentation(service: Service, action: Action) -> str:
    """Return the page of a graph, in Markdown."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in _facts(service, action))
    return f"""\
```text
{picture(service, action.name)}
```

| | |
| --- | --- |
{rows}

`start` asks for the machine, `wait` holds no worker until it has ended, `check` gives the verdict, `stop` leaves
nothing running. Clear `wait` to go on with the run, `start` to stop it and begin another of the same date; what is
marked as failed is stopped. By hand: `foretell runs {action.name}`, `foretell show RUN`.
"""


def picture(service: Service, marked: str) -> str:
    """Draw what runs by itself and what that needs, each below what it needs, with when, from what and to where."""
    actions = [action for action in in_order(service) if _is_drawn(service, action)]
    width = max(len(action.name) for action in actions) + 2
    lines: list[str] = []
    for place, action in enumerate(actions):
        above = place > 0 and actions[place - 1].name in needs(action)
        below = place + 1 < len(actions) and action.name in needs(actions[place + 1])
        lines += _box(action, width, above=above, below=below, thick=action.name == marked)
    return "\n".join(line.rstrip() for line in lines)


def _box(action: Action, width: int, *, above: bool, below: bool, thick: bool) -> list[str]:
    left, flat, right, side, low, end, up, down = THICK if thick else THIN
    half, rest = flat * (width // 2), flat * (width - width // 2 - 1)
    target = f"  → {_where(action.delivery)}" if action.delivery else ""
    return [
        f"{left}{half}{up if above else flat}{rest}{right}",
        f"{side} {action.name:{width - 2}} {side}  {' · '.join(_notes(action))}",
        f"{low}{half}{down if below else flat}{rest}{end}{target}",
        *([f"{' ' * (width // 2 + 1)}│"] if below else []),
    ]


def _notes(action: Action) -> Iterator[str]:
    if action.schedule:
        yield action.schedule
    if action.after:
        yield f"after {', '.join(action.after)}"
    if others := [item.action for item in action.inputs if item.action not in action.after]:
        yield f"with {', '.join(others)}"


def _where(delivery: Delivery) -> str:
    """Say where rows go, and what they replace there."""
    ways = {
        "replace": "the whole table",
        "append": "appended",
        "partition": f"one partition a {delivery.granularity}",
    }
    return f"{delivery.table} ({ways[delivery.mode]})"


def _facts(service: Service, action: Action) -> Iterator[tuple[str, str]]:
    when = [f"`{action.schedule}` in {service.timezone}"] if action.schedule else []
    yield "runs", " and ".join([*when, *(f"after `{name}`" for name in action.after)])
    if action.inputs:
        yield "takes", ", ".join(f"the newest model of `{item.action}`" for item in action.inputs)
    yield "command", ", then ".join(f"`{' '.join(argv)}`" for argv in action.steps).replace("|", "\\|")
    if action.delivery:
        columns = ", ".join(f"{column.name} {column.type}" for column in action.delivery.columns)
        yield "delivers", f"`{action.delivery.file}` to `{_where(action.delivery)}`: {columns}"
    yield (
        "limits",
        f"{action.timeout / 3600:g} h; {action.retries} retries; {action.losses} lost machines replaced",
    )
    yield "version", f"{service.version} of {service.name}"


def _is_drawn(service: Service, action: Action) -> bool:
    needed = any(action.name in needs(other) for other in service.actions.values())
    return bool(action.schedule or action.after or needed)
