"""Compute Engine, as much of it as throw-away machines need; every answer is a value."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from foretell.google.endpoints import Json
from foretell.google.errors import Failure
from foretell.google.rest import Rest
from foretell.system.backoff import Backoff

LIVE = frozenset({"PROVISIONING", "STAGING", "RUNNING", "REPAIRING", "PENDING"})
ENDING = frozenset({"STOPPING", "PENDING_STOP", "DEPROVISIONING", "SUSPENDING", "SUSPENDED"})
ENDED = frozenset({"TERMINATED", "STOPPED"})
"""The states of an instance. One that is not known here is taken for alive."""
BACKOFF = Backoff(first=0.05, longest=3)
"""Between two looks at an operation."""


def region(zone: str) -> str:
    """Return the region of a zone."""
    return zone.rpartition("-")[0]


class Operation(Struct, frozen=True, kw_only=True):
    """
    What was asked of an instance, and what became of it.

    `kind` is "insert", "delete" or, of Google's own, "compute.instances.preempted" and the like.
    """

    name: str
    kind: str
    zone: str
    done: bool
    target: str
    """The instance's numeric id."""
    user: str = ""
    code: str = ""
    """The first error's, "" where there is none."""
    message: str = ""
    begun: str = ""


class Instance(Struct, frozen=True, kw_only=True):
    """A machine as it is now. `guard` are the seconds after which it is deleted, None where nothing will do that."""

    name: str
    id: str
    zone: str
    status: str
    labels: dict[str, str]
    attributes: dict[str, str]
    born: float
    guard: float | None = None

    @property
    def live(self) -> bool:
        return self.status not in ENDING | ENDED


class Compute:
    """The instances of one project."""

    def __init__(
        self,
        rest: Rest,
        project: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rest = rest
        self.project = project
        self._clock = clock
        self._sleep = sleep

    def insert(self, zone: str, body: Json, request: str) -> Operation | Failure:
        """Ask for an instance; `request` is an UUID by which the same wish is known again, so it is repeated safely."""
        said = self._rest.call(
            "POST", "compute", self._instances(zone), body=body, query={"requestId": request}, again=True
        )
        return said if isinstance(said, Failure) else _operation(said)

    def get(self, zone: str, name: str) -> Instance | Failure:
        said = self._rest.get("compute", f"{self._instances(zone)}/{name}")
        return said if isinstance(said, Failure) else _instance(said)

    def delete(self, zone: str, name: str) -> Operation | Failure:
        """Ask for its deletion. What is gone is told as absent, and nothing else happens by asking twice."""
        said = self._rest.call("DELETE", "compute", f"{self._instances(zone)}/{name}", again=True)
        return said if isinstance(said, Failure) else _operation(said)

    def find(self, labels: Mapping[str, str]) -> list[Instance] | Failure:
        """List the instances of every zone that carry these labels."""
        told = " AND ".join(f'(labels.{name} = "{value}")' for name, value in labels.items())
        found: list[Instance] = []
        path = f"projects/{self.project}/aggregated/instances"
        for page in self._rest.pages("compute", path, {"filter": told}):
            if isinstance(page, Failure):
                return page
            for zone in page.get("items", {}).values():
                found += [_instance(item) for item in zone.get("instances", [])]
        return found

    def past(self, zone: str, name: str) -> list[Operation] | Failure:
        """List what was asked of an instance of this name, the oldest first."""
        found: list[Operation] = []
        query = {"filter": f'targetLink eq ".*/zones/{zone}/instances/{name}"'}
        for page in self._rest.pages("compute", f"projects/{self.project}/zones/{zone}/operations", query):
            if isinstance(page, Failure):
                return page
            found += [_operation(item) for item in page.get("items", [])]
        return sorted(found, key=lambda operation: operation.begun)

    def follow(self, operation: Operation, patience: float) -> Operation | Failure:
        """Wait until an operation is done, for so many seconds at most; give it as it is then."""
        end = self._clock() + patience
        found, pauses = operation, BACKOFF.pauses()
        while not found.done and (left := end - self._clock()) > 0:
            # `wait` would answer within two minutes, which may be longer than our patience
            self._sleep(min(next(pauses), left))
            said = self._rest.get(
                "compute", f"projects/{self.project}/zones/{operation.zone}/operations/{operation.name}"
            )
            if isinstance(said, Failure):
                return said
            found = _operation(said)
        return found

    def _instances(self, zone: str) -> str:
        return f"projects/{self.project}/zones/{zone}/instances"


def _operation(told: Json) -> Operation:
    error = next(_errors(told), {})
    return Operation(
        name=told["name"],
        kind=told.get("operationType", ""),
        zone=_last(told.get("zone", "")),
        done=told.get("status") == "DONE",
        target=str(told.get("targetId", "")),
        user=told.get("user", ""),
        code=error.get("code", ""),
        message=error.get("message", ""),
        begun=told.get("insertTime", ""),
    )


def _errors(told: Json) -> Iterator[Json]:
    yield from told.get("error", {}).get("errors", [])
    if told.get("status") == "DONE" and (status := told.get("httpErrorStatusCode")):
        yield {"code": f"HTTP_{status}", "message": told.get("httpErrorMessage", "")}


def _instance(told: Json) -> Instance:
    return Instance(
        name=told["name"],
        id=str(told.get("id", "")),
        zone=_last(told.get("zone", "")),
        status=told.get("status", ""),
        labels=told.get("labels", {}),
        attributes={item["key"]: item.get("value", "") for item in told.get("metadata", {}).get("items", [])},
        born=datetime.fromisoformat(told["creationTimestamp"]).timestamp()
        if "creationTimestamp" in told
        else 0.0,
        guard=_guard(told.get("scheduling", {})),
    )


def _guard(scheduling: Json) -> float | None:
    seconds = scheduling.get("maxRunDuration", {}).get("seconds")
    deletes = scheduling.get("instanceTerminationAction") == "DELETE"
    return float(seconds) if seconds is not None and deletes else None


def _last(link: str) -> str:
    """Return the last part of a resource's address: its name."""
    return link.rpartition("/")[2]
