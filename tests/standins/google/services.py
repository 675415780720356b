"""What the stand-in's smaller services do: logs, secrets, and all that a look around a project asks for."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch

import google_crc32c

from tests.standins.google.discovery import Json
from tests.standins.google.standin import Asked, Play, Refusal, StandIn

SEVERITIES = (
    "DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY",
)  # fmt: skip
LOG_NAME = re.compile(r"(projects|organizations|folders|billingAccounts)/[^/]+/logs/[A-Za-z0-9._%-]{1,511}")


class Services:
    """Their state, which a test sets and looks at."""

    def __init__(self) -> None:
        self.entries: list[Json] = []
        """Log entries, each as a reader would get it."""
        self.secrets: dict[str, bytes] = {}
        """By "projects/P/secrets/S/versions/N"."""
        self.enabled: set[str] | None = None
        """Names of enabled services, "compute.googleapis.com"; None for all."""
        self.denied: set[str] = set()
        """Patterns of permissions that nobody has, for testIamPermissions."""
        self.repositories: set[str] = set()
        """By "projects/P/locations/L/repositories/R"."""
        self.buckets: dict[str, Json] = {}
        """What is said about each, by its name: location, softDeletePolicy."""
        self.datasets: dict[str, str] = {}
        """The location of each, by its name."""

    def plays(self, stand_in: StandIn) -> Mapping[str, Play]:
        return {
            "logging.entries.write": self.write,
            "logging.entries.list": self.list_entries,
            "secretmanager.projects.secrets.versions.access": self.access,
            "secretmanager.projects.locations.secrets.versions.access": self.access,
            "secretmanager.projects.secrets.versions.get": self.version,
            "secretmanager.projects.secrets.testIamPermissions": self.permissions,
            "serviceusage.services.get": self.service,
            "serviceusage.services.batchGet": self.services,
            "cloudresourcemanager.projects.testIamPermissions": self.permissions,
            "cloudresourcemanager.projects.get": self.project,
            "iam.projects.serviceAccounts.testIamPermissions": self.permissions,
            "iam.projects.serviceAccounts.get": self.account,
            "iamcredentials.projects.serviceAccounts.generateAccessToken": _TokensOf(stand_in),
            "artifactregistry.projects.locations.repositories.get": self.repository,
            "artifactregistry.projects.locations.repositories.testIamPermissions": self.permissions,
            "bigquery.datasets.get": self.dataset,
            "storage.buckets.get": self.bucket,
            "storage.buckets.testIamPermissions": self.permissions_on_bucket,
        }

    # --- logging --------------------------------------------------------------------------------------------------

    def write(self, asked: Asked) -> Json:
        """
        Take entries as Cloud Logging does: resource and name from the entry, else from the request.

        With `partialSuccess` the good ones are taken and a bad one makes the answer an error all the same.
        """
        body = asked.body
        entries = [{**_defaults(body), **entry} for entry in body.get("entries", [])]
        for entry in entries:
            entry["labels"] = {**body.get("labels", {}), **entry.get("labels", {})}
        bad = [fault for entry in entries for fault in _faults_of_entry(entry)]
        if bad and not body.get("partialSuccess"):
            raise Refusal(400, "; ".join(bad))
        if not body.get("dryRun"):
            now = datetime.now(UTC).isoformat()
            self.entries += [
                {"timestamp": now, "receiveTimestamp": now, **entry}
                for entry in entries
                if not list(_faults_of_entry(entry))
            ]
        if bad:
            raise Refusal(400, "; ".join(bad))
        return {}

    def list_entries(self, asked: Asked) -> Json:
        names = asked.body.get("resourceNames")
        if not names:
            raise Refusal(400, "resource_names is required")
        return {"entries": [entry for entry in self.entries if entry["logName"].startswith(tuple(names))]}

    # --- secrets --------------------------------------------------------------------------------------------------

    def access(self, asked: Asked) -> Json:
        name = _name(asked)
        payload = self.secrets.get(name)
        if payload is None:
            raise Refusal(404, f"Secret Version [{name}] not found.")
        checksum = google_crc32c.value(payload)
        return {
            "name": name,
            "payload": {"data": base64.b64encode(payload).decode(), "dataCrc32c": str(checksum)},
        }

    def version(self, asked: Asked) -> Json:
        name = _name(asked)
        if name not in self.secrets:
            raise Refusal(404, f"Secret Version [{name}] not found.")
        return {"name": name, "state": "ENABLED"}

    # --- a look around --------------------------------------------------------------------------------------------

    def permissions(self, asked: Asked) -> Json:
        wanted = asked.body.get("permissions")
        if not wanted or any("*" in permission for permission in wanted):
            raise Refusal(400, "permissions must be named, without wildcards")
        held = [name for name in wanted if not any(fnmatch(name, pattern) for pattern in self.denied)]
        return {"permissions": held} if held else {}

    def service(self, asked: Asked) -> Json:
        return self._service(asked.arguments, asked.arguments["servicesId"])

    def services(self, asked: Asked) -> Json:
        names = [name.rpartition("/")[2] for name in asked.lists.get("names", [])]
        return {"services": [self._service(asked.arguments, name) for name in names]}

    def _service(self, arguments: Mapping[str, str], name: str) -> Json:
        on = self.enabled is None or name in self.enabled
        whole = f"projects/{arguments.get('v1Id1', '')}/services/{name}"
        return {"name": whole, "state": "ENABLED" if on else "DISABLED", "config": {"name": name}}

    def project(self, asked: Asked) -> Json:
        return {
            "projectId": asked.arguments["projectId"],
            "projectNumber": "42",
            "lifecycleState": "ACTIVE",
        }

    def account(self, asked: Asked) -> Json:
        email = asked.arguments["serviceAccountsId"]
        return {
            "name": f"projects/{asked.arguments['projectsId']}/serviceAccounts/{email}",
            "email": email,
        }

    def repository(self, asked: Asked) -> Json:
        name = _name(asked)
        if name not in self.repositories:
            raise Refusal(404, f"Requested entity was not found: {name}")
        return {"name": name, "format": "DOCKER", "mode": "STANDARD_REPOSITORY"}

    def dataset(self, asked: Asked) -> Json:
        project, name = asked.arguments["projectsId"], asked.arguments["datasetsId"]
        if name not in self.datasets:
            raise Refusal(404, f"Not found: Dataset {project}:{name}")
        place = {"projectId": project, "datasetId": name}
        return {"kind": "bigquery#dataset", "datasetReference": place, "location": self.datasets[name]}

    def bucket(self, asked: Asked) -> Json:
        name = asked.arguments["bucket"]
        if name not in self.buckets:
            raise Refusal(404, "The specified bucket does not exist.")
        return {"kind": "storage#bucket", "name": name, **self.buckets[name]}

    def permissions_on_bucket(self, asked: Asked) -> Json:
        self.bucket(asked)
        wanted = asked.lists["permissions"]
        held = [name for name in wanted if not any(fnmatch(name, pattern) for pattern in self.denied)]
        return {"kind": "storage#testIamPermissionsResponse", "permissions": held}


class _TokensOf:
    """Tokens for service accounts, to whoever asks."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._numbers = itertools.count(1)

    def __call__(self, asked: Asked) -> Json:
        if not asked.body.get("scope"):
            raise Refusal(400, "scope is required")
        account = asked.arguments["serviceAccountsId"]
        end = datetime.now(UTC) + timedelta(hours=1)
        return {
            "accessToken": self._stand_in.token(account),
            "expireTime": end.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }


def _name(asked: Asked) -> str:
    """Put a resource's name together from a path: projects/P/secrets/S/versions/V."""
    return "/".join(f"{kind.removesuffix('Id')}/{value}" for kind, value in asked.arguments.items())


def _defaults(body: Json) -> Json:
    return {key: body[key] for key in ("logName", "resource") if key in body}


def _faults_of_entry(entry: Json) -> list[str]:
    faults = []
    if not LOG_NAME.fullmatch(entry.get("logName", "")):
        faults.append(f"bad or no log_name: {entry.get('logName')!r}")
    if not entry.get("resource", {}).get("type"):
        faults.append("no resource.type")
    if sum(key in entry for key in ("textPayload", "jsonPayload", "protoPayload")) != 1:
        faults.append("not exactly one payload")
    if entry.get("severity", "DEFAULT") not in SEVERITIES:
        faults.append(f"bad severity: {entry.get('severity')!r}")
    if len(entry.get("labels", {})) > 64:
        faults.append("more than 64 labels")
    if len(str(entry)) > 256 * 1024:
        faults.append("larger than 256 KiB")
    return faults
