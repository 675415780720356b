"""
Google's own descriptions of its services, from google-api-python-client, and what they refuse.

They name every path, parameter and field, and mark almost none as required: what must be there is written by hand, where
a service is played.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]
SPEC = importlib.util.find_spec("googleapiclient")
assert SPEC
assert SPEC.submodule_search_locations
DOCUMENTS = Path(SPEC.submodule_search_locations[0], "discovery_cache", "documents")
SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
WHOLE = re.compile(r"-?\d+")


class Call(NamedTuple):
    """A request that was recognised: the method's id, and what stands in its path."""

    api: Api
    method: Json
    arguments: dict[str, str]

    @property
    def id(self) -> str:
        return str(self.method["id"])


class Api:
    """One service, "compute.v1", as described."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.document: Json = json.loads((DOCUMENTS / f"{name}.json").read_text())
        self.service = name.partition(".")[0]

    @functools.cached_property
    def routes(self) -> list[tuple[str, re.Pattern[str], Json]]:
        return [
            (method["httpMethod"], _pattern(method.get("flatPath") or method["path"]), method)
            for method in _methods(self.document)
        ]

    def recognise(self, verb: str, path: str) -> Call | None:
        """Find the method of a path, which is given without the service's own, decoded."""
        below = path.removeprefix(self.document["servicePath"])
        for method, pattern, described in self.routes:
            if method == verb and (found := pattern.fullmatch(below)):
                return Call(self, described, found.groupdict())
        return None

    def faults_of_request(
        self, call: Call, query: Mapping[str, str], body: object, *, sent: bool
    ) -> list[str]:
        """Give everything that is wrong with a request, by the description."""
        faults: list[str] = []
        known = {**self.document.get("parameters", {}), **call.method.get("parameters", {})}
        for name, value in query.items():
            described = known.get(name) or known.get(name.lstrip("$"))
            if described is None or described.get("location") == "path":
                faults.append(f"query: unknown parameter {name!r}")
            else:
                faults += _of_parameter(name, value, described)
        for name, described in known.items():
            if described.get("required") and described["location"] == "query" and name not in query:
                faults.append(f"query: missing {name!r}")
        if "request" in call.method:
            self.check(call.method["request"], body, "body", faults)
        elif sent:
            faults.append("a body where none belongs")
        return faults

    def faults_of_answer(self, call: Call, body: object) -> list[str]:
        faults: list[str] = []
        if "response" in call.method:
            self.check(call.method["response"], body, "answer", faults)
        return faults

    def check(self, shape: Json, value: Any, at: str, faults: list[str]) -> None:
        """Hold a value against its description, at any depth."""
        if "$ref" in shape:
            shape = self.document["schemas"][shape["$ref"]]
        match shape.get("type"):
            case "object":
                self._check_object(shape, value, at, faults)
            case "array" if isinstance(value, list):
                for number, item in enumerate(value):
                    self.check(shape["items"], item, f"{at}[{number}]", faults)
            case "array":
                faults.append(f"{at}: expected array")
            case str(kind) if kind in SCALARS:
                faults += _of_scalar(shape, kind, value, at)

    def _check_object(self, shape: Json, value: Any, at: str, faults: list[str]) -> None:
        if not isinstance(value, dict):
            faults.append(f"{at}: expected object")
            return
        known, extra = shape.get("properties", {}), shape.get("additionalProperties")
        for name, item in value.items():
            if item is None:  # the same as absent, in this form of JSON
                continue
            # Google's servers take snake_case too, and a client of theirs sends it
            camel = name if name in known else re.sub(r"_(\w)", lambda found: found[1].upper(), name)
            if camel in known:
                self.check(known[camel], item, f"{at}.{name}", faults)
            elif extra:
                self.check(extra, item, f"{at}.{name}", faults)
            else:
                faults.append(f"{at}: unknown field {name!r}")


@functools.cache
def api(name: str) -> Api:
    return Api(name)


def _methods(node: Json) -> Iterator[Json]:
    yield from node.get("methods", {}).values()
    for below in node.get("resources", {}).values():
        yield from _methods(below)


def _pattern(path: str) -> re.Pattern[str]:
    # {+name} stands for a path of several parts; flatPath has it taken apart
    parts = re.split(r"(\{\+?\w+\})", path)
    told = [
        f"(?P<{part.strip('{}+')}>{'.+' if part[1] == '+' else '[^/:]+'})"
        if part.startswith("{")
        else re.escape(part)
        for part in parts
        if part
    ]
    return re.compile("".join(told))


def _of_parameter(name: str, value: str, described: Json) -> Iterator[str]:
    if described.get("type") == "integer" and not WHOLE.fullmatch(value):
        yield f"query.{name}: not an integer"
    if described.get("type") == "boolean" and value not in ("true", "false"):
        yield f"query.{name}: not true or false"
    if "enum" in described and value not in described["enum"]:
        yield f"query.{name}: {value!r} is none of {described['enum']}"


def _of_scalar(shape: Json, kind: str, value: Any, at: str) -> Iterator[str]:
    right = isinstance(value, SCALARS[kind]) and not (kind != "boolean" and isinstance(value, bool))
    if kind in ("integer", "number") and isinstance(value, str) and WHOLE.fullmatch(value):
        right = True
    if kind == "string" and shape.get("format") in ("int64", "uint64"):
        whole = isinstance(value, int) and not isinstance(value, bool)
        right = whole or (isinstance(value, str) and bool(WHOLE.fullmatch(value)))
    if not right:
        yield f"{at}: expected {kind} {shape.get('format', '')}, got {value!r}"
    elif "enum" in shape and value not in shape["enum"]:
        yield f"{at}: {value!r} is none of the enum"
    elif "pattern" in shape and isinstance(value, str) and not re.fullmatch(shape["pattern"], value):
        yield f"{at}: {value!r} does not match {shape['pattern']}"
