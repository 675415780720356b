"""Why Compute Engine gives no machine → what to do about it. Pure: a table."""

from __future__ import annotations

import re
from enum import StrEnum

from msgspec import Struct

from foretell.google import remedies
from foretell.google.compute import Operation, region
from foretell.google.errors import Category, Failure
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


CODES = {
    **dict.fromkeys(
        (
            "ZONE_RESOURCE_POOL_EXHAUSTED",
            "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
            "STOCKOUT",
            "UNSUPPORTED_OPERATION",  # a Spot machine that was taken away while it was made
            "RESOURCE_NOT_READY",
            "RESOURCE_OPERATION_RATE_EXCEEDED",
            "INTERNAL_ERROR",
        ),
        Category.BUSY,
    ),
    **dict.fromkeys(
        ("QUOTA_EXCEEDED", "QUOTA_LIMIT_EXCEEDED", "LIMIT_EXCEEDED", "quotaExceeded", "limitExceeded"),
        Category.QUOTA,
    ),
    **dict.fromkeys(
        (
            "IAM_PERMISSION_DENIED",
            "PERMISSIONS_ERROR",
            "FORBIDDEN",
            "PERMISSION_DENIED",
            "HTTP_403",
            "HTTP_401",
        ),
        Category.DENIED,
    ),
    **dict.fromkeys(
        ("RESOURCE_ALREADY_EXISTS", "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", "HTTP_409"), Category.EXISTS
    ),
}
"""What the codes of operations mean; after BUSY another zone is tried."""
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
    match failure.category:
        case Category.BUSY | Category.AWAY:
            return Fault(verdict=Verdict.UNKNOWN, why=failure.why)
        case Category.EXISTS:
            return Fault(verdict=Verdict.LOOK, why=failure.why)
        case Category.QUOTA:
            return _of("QUOTA_EXCEEDED", failure.why, settings, zone)
        case Category.DENIED:
            return _denied(failure.why, settings, failure.reason)
        case Category.ABSENT | Category.INVALID:
            return _of(failure.reason, failure.why, settings, zone)


def _of(code: str, why: str, settings: ComputeEngineSettings, zone: str) -> Fault:
    project = settings.project
    category = CODES.get(code, Category.INVALID)
    if category is Category.EXISTS:
        return Fault(verdict=Verdict.LOOK, why=why)
    if category is Category.BUSY:
        return Fault(verdict=Verdict.ELSEWHERE, reason="capacity", why=why)
    if category is Category.QUOTA:
        metric = found[1] if (found := METRIC.search(why)) else "CPUS"
        see = remedies.see_quota(project, region(zone), metric)
        hint = f"see what is used: `{see}`, and ask for more: {remedies.quotas_page(project)}"
        return Fault(verdict=Verdict.STOP, reason="quota", why=why, hint=hint)
    if category is Category.DENIED or (ACCOUNT.search(why) and USES.search(why)):
        return _denied(why, settings, code)
    if code in POLICY:
        return Fault(verdict=Verdict.STOP, reason="permission", why=why, hint=remedies.see_policies(project))
    return Fault(verdict=Verdict.STOP, reason=_subject(why), why=why, hint=_look_up(why, settings, zone))


def _subject(why: str) -> Reason:
    return "image" if IMAGE.search(why) else "settings"


def _look_up(why: str, settings: ComputeEngineSettings, zone: str) -> str:
    """Return the command that shows what there is of what is missing."""
    project = settings.project
    if IMAGE.search(why):
        return f"see which images there are: `{remedies.list_machine_images()}`"
    if NETWORK.search(why):
        kind = "networks subnets" if "subnet" in why.lower() else "networks"
        return f"see which there are: `{remedies.list_networks(project, kind)}`"
    if TYPE.search(why):
        return f"see which there are: `{remedies.list_machine_types(project, zone)}`"
    return "see [targets.X.platform] in foretell.toml, and `foretell plan`"


def _denied(why: str, settings: ComputeEngineSettings, reason: str) -> Fault:
    project = settings.project
    account = ACCOUNT.search(why)
    if reason == "credentials":
        hint = f"log in: `{remedies.LOGIN}`"
    elif reason in ("SERVICE_DISABLED", "accessNotConfigured"):
        hint = f"enable it: `{remedies.enable(project, 'compute.googleapis.com')}`"
    elif account and USES.search(why):
        hint = f"let it be used: `{remedies.let_act_as(project, account[1], 'MEMBER')}`"
    else:
        hint = f"grant it: `{remedies.grant(project, 'MEMBER', 'roles/compute.instanceAdmin.v1')}`"
    return Fault(verdict=Verdict.STOP, reason="permission", why=why, hint=hint)
