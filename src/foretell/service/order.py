"""What follows from what: the actions of a service, each after those it needs, and circles among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from foretell.service.model import Action, Service


def needs(action: Action) -> set[str]:
    """Return the actions that one takes the models of, or follows."""
    return {*action.after, *(item.action for item in action.inputs)}


def in_order(service: Service) -> list[Action]:
    """Return the actions, each after those it needs, and as soon after them as can be."""
    places = {name: place for place, name in enumerate(service.actions)}
    sorter = TopologicalSorter({name: needs(action) for name, action in service.actions.items()})
    sorter.prepare()
    ready: list[str] = []
    ordered = []
    while sorter.is_active():
        ready += sorted(sorter.get_ready(), key=places.__getitem__, reverse=True)
        name = ready.pop()
        ordered.append(service.actions[name])
        sorter.done(name)
    return ordered


def circles(needed: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Return circles among actions, none of which share one, each from its first action back to itself."""
    rest = dict(needed)
    while True:
        try:
            TopologicalSorter(rest).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1][:0:-1]
            start = min(map([*needed].index, circle))
            at = circle.index([*needed][start])
            yield [*circle[at:], *circle[: at + 1]]
            rest = {name: names for name, names in rest.items() if name not in circle}
        else:
            return
