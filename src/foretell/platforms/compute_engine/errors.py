"""Why Compute Engine gives no machine → what to do about it. Pure: a table."""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

from foretell.google.compute import Operation
from foretell.google.errors import Failure, Kind
from foretell.platforms.compute_engine.instance import region
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.protocol.records import Reason


class Verdict(StrEnum):
    """What a fault asks for."""

    ELSEWHERE = "elsewhere"
    """Another zone may have one."""
    STOP = "stop"
    """No machine, here or elsewhere, now or later, until a person mends it."""
    LOOK = "look"
    """Somebody made it already, perhaps ourselves."""
    UNKNOWN = "unknown"
    """Nobody can tell whether it was made."""


class Fault(Struct, frozen=True, kw_only=True):
    """What is wrong, in one word and in a sentence, and the command that mends it."""

    verdict: Verdict
    reason: Reason = ""
    why: str = ""
    hint: str = ""


CAPACITY = frozenset(
    {
        "ZONE_RESOURCE_POOL_EXHAUSTED",
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
        "STOCKOUT",
        "UNSUPPORTED_OPERATION",  # a Spot machine that was taken away while it was made
        "RESOURCE_NOT_READY",
        "RESOURCE_OPERATION_RATE_EXCEEDED",
        "INTERNAL_ERROR",
    }
)
"""Codes of operations after which another zone is tried."""
QUOTA = frozenset(
    {"QUOTA_EXCEEDED", "QUOTA_LIMIT_EXCEEDED", "LIMIT_EXCEEDED", "quotaExceeded", "limitExceeded"}
)
PERMISSION = frozenset(
    {"IAM_PERMISSION_DENIED", "PERMISSIONS_ERROR", "FORBIDDEN", "PERMISSION_DENIED", "HTTP_403", "HTTP_401"}
)
EXISTS = frozenset({"RESOURCE_ALREADY_EXISTS", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", "HTTP_409"})
POLICY = frozenset({"CONDITION_NOT_MET", "conditionNotMet", "HTTP_412"})
NETWORK = re.compile(r"networks?/|subnetworks?/|VPC_NOT_FOUND|network interface", re.IGNORECASE)
IMAGE = re.compile(r"/images?/", re.IGNORECASE)
TYPE = re.compile(r"machine ?types?", re.IGNORECASE)
ACCOUNT = re.compile(r"service account '?([^\s'\"]+@[^\s'\"]+)'?", re.IGNORECASE)
USES = re.compile("actas|serviceaccountuser", re.IGNORECASE)
METRIC = re.compile(r"Quota '?([A-Z0-9_]+)'? exceeded", re.IGNORECASE)


def of_operation(operation: Operation, settings: ComputeEngineSettings) -> Fault:
    """Judge an operation that ended with an error, by its code: HTTP's status of a stock-out says "try again"."""
    why = f"{operation.code}: {operation.message}" if operation.message else operation.code
    return _of(operation.code, why, settings, operation.zone)


def of_failure(failure: Failure, settings: ComputeEngineSettings, zone: str) -> Fault:
    """Judge an answer that is no success, by its reason rather than its status."""
    match failure.kind:
        case Kind.BUSY | Kind.AWAY:
            return Fault(verdict=Verdict.UNKNOWN, why=failure.why)
        case Kind.EXISTS:
            return Fault(verdict=Verdict.LOOK, why=failure.why)
        case Kind.QUOTA:
            return _of("QUOTA_EXCEEDED", failure.why, settings, zone)
        case Kind.DENIED:
            return _denied(failure.why, settings, failure.reason)
        case Kind.ABSENT | Kind.WRONG:
            code = failure.reason if failure.reason in CAPACITY | QUOTA | POLICY else "INVALID"
            return _of(code, failure.why, settings, zone)


def _of(code: str, why: str, settings: ComputeEngineSettings, zone: str) -> Fault:
    project = settings.project
    if code in EXISTS:
        return Fault(verdict=Verdict.LOOK, why=why)
    if code in CAPACITY:
        return Fault(verdict=Verdict.ELSEWHERE, reason="capacity", why=why)
    if code in QUOTA:
        metric = found[1] if (found := METRIC.search(why)) else "CPUS"
        hint = (
            f"see what is used: `gcloud compute regions describe {region(zone)} --project={project} "
            f"--flatten=quotas --filter=quotas.metric={metric} --format='table(quotas.metric, quotas.limit, "
            "quotas.usage)'`, and ask for more: "
            f"https://console.cloud.google.com/iam-admin/quotas?project={project}"
        )
        return Fault(verdict=Verdict.STOP, reason="quota", why=why, hint=hint)
    if code in PERMISSION or (ACCOUNT.search(why) and USES.search(why)):
        return _denied(why, settings, code)
    if code in POLICY:
        hint = f"see the organisation's rules: `gcloud org-policies list --project={project}`"
        return Fault(verdict=Verdict.STOP, reason="permission", why=why, hint=hint)
    return Fault(verdict=Verdict.STOP, reason=_subject(why), why=why, hint=_look_up(why, settings, zone))


def _subject(why: str) -> Reason:
    return "image" if IMAGE.search(why) else "settings"


def _look_up(why: str, settings: ComputeEngineSettings, zone: str) -> str:
    """Return the command that shows what there is of what is missing."""
    project = settings.project
    if IMAGE.search(why):
        return "see which images there are: `gcloud compute images list --project=cos-cloud --no-standard-images`"
    if NETWORK.search(why):
        kind = "networks subnets" if "subnet" in why.lower() else "networks"
        return f"see which there are: `gcloud compute {kind} list --project={project}`"
    if TYPE.search(why):
        return f"see which there are: `gcloud compute machine-types list --zones={zone} --project={project}`"
    return "see [targets.X.platform] in foretell.toml, and `foretell plan`"


def _denied(why: str, settings: ComputeEngineSettings, reason: str) -> Fault:
    project = settings.project
    account = ACCOUNT.search(why)
    if reason == "credentials":
        hint = "log in: `gcloud auth application-default login`"
    elif reason in ("SERVICE_DISABLED", "accessNotConfigured"):
        hint = f"enable it: `gcloud services enable compute.googleapis.com --project={project}`"
    elif account and USES.search(why):
        hint = (
            f"let it be used: `gcloud iam service-accounts add-iam-policy-binding {account[1]} "
            f"--project={project} --member=MEMBER --role=roles/iam.serviceAccountUser`"
        )
    else:
        hint = (
            f"grant it: `gcloud projects add-iam-policy-binding {project} --member=MEMBER "
            "--role=roles/compute.instanceAdmin.v1`"
        )
    return Fault(verdict=Verdict.STOP, reason="permission", why=why, hint=hint)
