"""What the stand-in's Compute Engine does: machines, operations, and the ways in which both go wrong."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatch
from typing import Any, Protocol

from msgspec import Struct, field

from tests.standins.google import compute_rules as rules
from tests.standins.google.compute_filter import fits
from tests.standins.google.discovery import Json
from tests.standins.google.standin import Asked, Play, Refusal, StandIn

SITE = "https://www.googleapis.com/compute/v1"
LIVE = ("PROVISIONING", "STAGING", "RUNNING", "REPAIRING")
ZONES = ("europe-west1-b", "europe-west1-c", "europe-west1-d")
HTTP = {
    "QUOTA_EXCEEDED": 403,
    "ZONE_RESOURCE_POOL_EXHAUSTED": 503,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": 503,
    "RESOURCE_NOT_FOUND": 404,
    "RESOURCE_ALREADY_EXISTS": 409,
}


class Fails(Struct, kw_only=True):
    """Operations of `kind` that end with an error: `count` of them (None: all), in zones and of types like these."""

    code: str
    kind: str = "insert"
    zone: str = "*"
    type: str = "*"
    count: int | None = None
    message: str = "as the test wants it"


class Machine(Struct, kw_only=True):
    """An instance, with what is not in its resource."""

    project: str
    zone: str
    body: Json
    id: str
    status: str = "PROVISIONING"
    preempted: bool = False
    born: float = field(default_factory=time.time)
    running_since: float | None = None
    serial: str = ""
    deaf: bool = False
    """Whether stopping and deleting it says "done" and does nothing."""

    @property
    def name(self) -> str:
        return str(self.body["name"])

    @property
    def attributes(self) -> dict[str, str]:
        return {item["key"]: item["value"] for item in self.body.get("metadata", {}).get("items", [])}

    @property
    def account(self) -> str:
        accounts = self.body.get("serviceAccounts", [])
        return str(accounts[0]["email"]) if accounts else ""

    @property
    def type(self) -> str:
        return str(self.body["machineType"]).rpartition("/")[2]

    @property
    def spot(self) -> bool:
        return self.body.get("scheduling", {}).get("provisioningModel") == "SPOT"

    @property
    def link(self) -> str:
        return f"{SITE}/projects/{self.project}/zones/{self.zone}/instances/{self.name}"

    @property
    def seconds(self) -> float | None:
        """Of its `maxRunDuration`."""
        told = self.body.get("scheduling", {}).get("maxRunDuration", {}).get("seconds")
        return None if told is None else float(told)


class Hypervisor(Protocol):
    """What boots machines."""

    def boot(self, machine: Machine) -> None:
        """Start it and return; it lives until `end`."""
        ...

    def end(self, machine: Machine, *, seconds: float) -> None:
        """Have it shut down, and cut its power after so many seconds; give back when it is off."""
        ...


class NoHypervisor:
    """Machines that never boot."""

    def boot(self, machine: Machine) -> None:
        pass

    def end(self, machine: Machine, *, seconds: float) -> None:
        pass


class Compute:
    """
    One project's machines.

    `scale` is what a second of Google's lasts here: of `maxRunDuration`, of the notice of a preemption. `pace` is how long
    operations take, in seconds of ours.
    """

    def __init__(self, hypervisor: Hypervisor | None = None) -> None:
        self.hypervisor: Hypervisor = hypervisor or NoHypervisor()
        self.scale = 1.0
        self.pace = 0.05
        self.fails: list[Fails] = []
        self.deaf = False
        """Whether machines that are made from now on ignore being stopped."""
        self.unguarded = False
        """Whether `maxRunDuration` is dropped, as by an organisation's policy or an older API."""
        self.stays_off = False
        """Whether a machine's time, when it is over, stops it only, as where DELETE was not asked for."""
        self.machines: dict[tuple[str, str], Machine] = {}
        """By zone and name."""
        self.disks: dict[tuple[str, str], str] = {}
        """Those that are left of machines as well, by zone and name: their machine's name."""
        self.past: list[Machine] = []
        """Every machine that ever was."""
        self.quotas = {"CPUS": (24.0, 0.0), "N2_CPUS": (24.0, 0.0), "DISKS_TOTAL_GB": (2048.0, 0.0)}
        """Limit and usage by metric, of the region."""
        self.denied_names: set[str] = set()
        self._operations: dict[str, Json] = {}
        self._requests: dict[str, str] = {}
        self._ends: dict[str, float] = {}
        self._numbers = itertools.count(7_000_000_000_000_000_001)
        self._lock = threading.RLock()

    def plays(self, _: StandIn) -> Mapping[str, Play]:
        return {
            "compute.instances.insert": self.insert,
            "compute.instances.get": self.get,
            "compute.instances.delete": self.delete,
            "compute.instances.stop": self.stop,
            "compute.instances.list": self.list,
            "compute.instances.aggregatedList": self.list_all,
            "compute.instances.getSerialPortOutput": self.serial,
            "compute.zoneOperations.get": self.operation,
            "compute.zoneOperations.wait": self.wait,
            "compute.zoneOperations.list": self.operations,
            "compute.regions.get": self.region,
            "compute.zones.get": lambda asked: {"name": rules.zone(asked), "status": "UP"},
            "compute.machineTypes.get": rules.machine_type,
            "compute.networks.get": lambda asked: {"name": asked.arguments["network"]},
            "compute.subnetworks.get": lambda asked: {
                "name": asked.arguments["subnetwork"],
                "privateIpGoogleAccess": True,
            },
            "compute.images.getFromFamily": lambda asked: {
                "name": f"{asked.arguments['family']}-1",
                "family": asked.arguments["family"],
                "diskSizeGb": "10",
            },
            "compute.projects.get": lambda asked: {"name": asked.arguments["project"], "quotas": []},
        }

    # --- for tests ------------------------------------------------------------------------------------------------

    def clear(self) -> None:
        """End every machine and forget everything, misbehaviours too."""
        for machine in list(self.machines.values()):
            self.hypervisor.end(machine, seconds=0)
        hypervisor = self.hypervisor
        with self._lock:
            self._ends.clear()
            self.__init__(hypervisor)  # type: ignore[misc]

    @property
    def alive(self) -> list[Machine]:
        with self._lock:
            return [machine for machine in self.machines.values() if machine.status in LIVE]

    def preempt(self, machine: Machine) -> None:
        """Take a machine away, with the notice that Spot machines get."""
        with self._lock:
            machine.preempted = True
        self._take_away(machine, "compute.instances.preempted", seconds=30 * self.scale)

    def vanish(self, machine: Machine) -> None:
        """Lose a machine at once, as when its host breaks; its record stays, stopped."""
        self._take_away(machine, "compute.instances.hostError", seconds=0, stops=True)

    # --- instances ------------------------------------------------------------------------------------------------

    def insert(self, asked: Asked) -> Json:
        zone = rules.zone(asked)
        request = rules.request_id(asked)
        with self._lock:
            if request in self._requests:
                return self._view(self._requests[request])
            rules.check_insert(asked)
            name = asked.body["name"]
            if (zone, name) in self.machines:
                raise Refusal(
                    409, f"The resource 'projects/…/instances/{name}' already exists", "alreadyExists"
                )
            machine = Machine(
                project=asked.arguments["project"], zone=zone, body=asked.body, id=str(next(self._numbers)),
                deaf=self.deaf,
            )  # fmt: skip
            if self.unguarded:
                machine.body.get("scheduling", {}).pop("maxRunDuration", None)
            failing = self._failing("insert", machine)
            if not failing:
                self.machines[zone, name] = machine
                self.past.append(machine)
                self._attach(machine)
            operation = self._begin(asked.who, "insert", machine, request, failing)
        if not failing:
            self._later(self.pace, lambda: self._run(machine))
        return operation

    def get(self, asked: Asked) -> Json:
        return self._resource(self._find(asked))

    def delete(self, asked: Asked) -> Json:
        request = rules.request_id(asked)
        with self._lock:
            if request in self._requests:
                return self._view(self._requests[request])
            machine = self._find(asked)
            failing = self._failing("delete", machine)
            operation = self._begin(asked.who, "delete", machine, request, failing)
            if failing or machine.deaf:
                return operation
            machine.status = "STOPPING"
        self._later(0, lambda: self._remove(machine, seconds=90 * self.scale))
        return operation

    def stop(self, asked: Asked) -> Json:
        machine = self._find(asked)
        operation = self._begin(asked.who, "stop", machine, rules.request_id(asked), None)
        if not machine.deaf:
            machine.status = "STOPPING"
            self._later(0, lambda: self._turn_off(machine, seconds=90 * self.scale))
        return operation

    def list(self, asked: Asked) -> Json:
        zone = rules.zone(asked)
        found = [machine for machine in self._fitting(asked) if machine.zone == zone]
        return rules.page(asked, [self._resource(machine) for machine in found])

    def list_all(self, asked: Asked) -> Json:
        items: dict[str, Any] = {}
        for zone in ZONES:
            found = [self._resource(machine) for machine in self._fitting(asked) if machine.zone == zone]
            items[f"zones/{zone}"] = (
                {"instances": found}
                if found
                else {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": f"no results on {zone}"}}
            )
        return {"kind": "compute#instanceAggregatedList", "items": items}

    def serial(self, asked: Asked) -> Json:
        machine = self._find(asked)
        start = int(asked.query.get("start", "0"))
        text = machine.serial[start:]
        return {"contents": text, "start": str(start), "next": str(start + len(text))}

    def region(self, asked: Asked) -> Json:
        told = [
            {"metric": metric, "limit": limit, "usage": usage}
            for metric, (limit, usage) in self.quotas.items()
        ]
        return {"name": asked.arguments["region"], "status": "UP", "quotas": told}

    def _fitting(self, asked: Asked) -> list[Machine]:
        with self._lock:
            machines = sorted(self.machines.values(), key=lambda machine: machine.born)
        return [found for found in machines if fits(asked.query.get("filter", ""), self._resource(found))]

    def _find(self, asked: Asked) -> Machine:
        zone, name = rules.zone(asked), asked.arguments["instance"]
        with self._lock:
            found = self.machines.get((zone, name))
        if found is None:
            where = f"projects/{asked.arguments['project']}/zones/{zone}/instances/{name}"
            raise Refusal(404, f"The resource '{where}' was not found", "notFound")
        return found

    def _resource(self, machine: Machine) -> Json:
        scheduling: Json = {}
        if machine.running_since and machine.seconds:
            end = datetime.fromtimestamp(machine.running_since + machine.seconds, UTC)
            scheduling = {"terminationTimestamp": end.isoformat()}
        return {
            **machine.body,
            "kind": "compute#instance",
            "id": machine.id,
            "status": machine.status,
            "zone": f"{SITE}/projects/{machine.project}/zones/{machine.zone}",
            "selfLink": machine.link,
            "creationTimestamp": datetime.fromtimestamp(machine.born, UTC).isoformat(),
            "resourceStatus": {"scheduling": scheduling},
        }

    # --- what becomes of a machine --------------------------------------------------------------------------------

    def _run(self, machine: Machine) -> None:
        with self._lock:
            if machine.status not in LIVE:
                return
            machine.status, machine.running_since = "RUNNING", time.time()
        self.hypervisor.boot(machine)
        if machine.seconds is not None:
            self._later(machine.seconds * self.scale, lambda: self._time_is_over(machine))

    def _time_is_over(self, machine: Machine) -> None:
        """Do as a limit of its time says; Google calls the operation "deferred"."""
        deletes = (
            machine.body["scheduling"].get("instanceTerminationAction") == "DELETE" and not self.stays_off
        )
        machine.deaf = False
        kind = f"compute.instances.deferred{'Delete' if deletes else 'Stop'}"
        self._take_away(machine, kind, seconds=90 * self.scale, stops=not deletes)

    def _take_away(self, machine: Machine, kind: str, *, seconds: float, stops: bool = False) -> None:
        with self._lock:
            if machine.status not in LIVE:
                return
            machine.status = "STOPPING"
            self._begin("system@google.com", kind, machine, None, None)
        end = self._turn_off if stops else self._remove
        self._later(0, lambda: end(machine, seconds=seconds))

    def _turn_off(self, machine: Machine, *, seconds: float) -> None:
        self.hypervisor.end(machine, seconds=seconds)
        machine.status = "TERMINATED"

    def _remove(self, machine: Machine, *, seconds: float) -> None:
        self.hypervisor.end(machine, seconds=seconds)
        with self._lock:
            self.machines.pop((machine.zone, machine.name), None)
            machine.status = "TERMINATED"
            for disk in machine.body.get("disks", []):
                if disk.get("autoDelete"):
                    self.disks.pop((machine.zone, machine.name), None)

    def _attach(self, machine: Machine) -> None:
        if (machine.zone, machine.name) in self.disks:
            raise Refusal(409, f"The disk resource '{machine.name}' is left of an earlier machine", "inUse")
        self.disks[machine.zone, machine.name] = machine.name

    # --- operations -----------------------------------------------------------------------------------------------

    def operation(self, asked: Asked) -> Json:
        if asked.arguments["operation"] not in self._operations:
            raise Refusal(404, f"The resource '{asked.arguments['operation']}' was not found", "notFound")
        return self._view(asked.arguments["operation"])

    def wait(self, asked: Asked) -> Json:
        """Wait as `zoneOperations.wait` does: until it is done, or for two minutes of Google's."""
        end = time.monotonic() + min(2.0, 120 * self.scale)
        while (found := self.operation(asked))["status"] != "DONE" and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def operations(self, asked: Asked) -> Json:
        zone = rules.zone(asked)
        with self._lock:
            views = [self._view(name) for name in self._operations]
        here = [view for view in views if view["zone"].endswith(f"/{zone}")]
        return rules.page(asked, [view for view in here if fits(asked.query.get("filter", ""), view)])

    def _begin(
        self, who: str, kind: str, machine: Machine, request: str | None, failing: Fails | None
    ) -> Json:
        name = f"operation-{uuid.uuid4()}"
        operation: Json = {
            "kind": "compute#operation",
            "id": str(next(self._numbers)),
            "name": name,
            "operationType": kind,
            "status": "RUNNING",
            "progress": 0,
            "user": who,
            "zone": f"{SITE}/projects/{machine.project}/zones/{machine.zone}",
            "targetLink": machine.link,
            "targetId": machine.id,
            "insertTime": datetime.now(UTC).isoformat(),
        }
        if failing:
            operation["error"] = {"errors": [{"code": failing.code, "message": failing.message}]}
        with self._lock:
            if request:
                operation["clientOperationId"] = request
                self._requests[request] = name
            self._operations[name] = operation
            self._ends[name] = time.monotonic() + self.pace
        return self._view(name)

    def _view(self, name: str) -> Json:
        told = dict(self._operations[name])
        if time.monotonic() < self._ends[name]:
            told.pop("error", None)
            return told
        told |= {"status": "DONE", "progress": 100, "endTime": datetime.now(UTC).isoformat()}
        if "error" in told:
            told["httpErrorStatusCode"] = HTTP.get(told["error"]["errors"][0]["code"], 400)
        return told

    def _failing(self, kind: str, machine: Machine) -> Fails | None:
        for rule in self.fails:
            if (
                rule.kind == kind
                and rule.count != 0
                and fnmatch(machine.zone, rule.zone)
                and fnmatch(machine.type, rule.type)
            ):
                if rule.count is not None:
                    rule.count -= 1
                return rule
        return None

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, what)
        timer.daemon = True
        timer.start()
