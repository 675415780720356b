"""What each of Compute Engine's refusals means, code by code, and the command that mends it."""

from __future__ import annotations

import pytest

from foretell.google.compute import Operation
from foretell.google.errors import Failure
from foretell.platforms.compute_engine import errors
from foretell.platforms.compute_engine.errors import Verdict
from foretell.platforms.compute_engine.settings import ComputeEngineSettings

SETTINGS = ComputeEngineSettings(project="example", zones=("europe-west1-b",))
CODES = {
    "ZONE_RESOURCE_POOL_EXHAUSTED": (Verdict.ELSEWHERE, "capacity", ""),
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": (Verdict.ELSEWHERE, "capacity", ""),
    "STOCKOUT": (Verdict.ELSEWHERE, "capacity", ""),
    "UNSUPPORTED_OPERATION": (Verdict.ELSEWHERE, "capacity", ""),
    "RESOURCE_NOT_READY": (Verdict.ELSEWHERE, "capacity", ""),
    "RESOURCE_OPERATION_RATE_EXCEEDED": (Verdict.ELSEWHERE, "capacity", ""),
    "INTERNAL_ERROR": (Verdict.ELSEWHERE, "capacity", ""),
    "QUOTA_EXCEEDED": (Verdict.STOP, "quota", "gcloud compute regions describe europe-west1"),
    "QUOTA_LIMIT_EXCEEDED": (Verdict.STOP, "quota", "gcloud compute regions describe"),
    "LIMIT_EXCEEDED": (Verdict.STOP, "quota", "gcloud compute regions describe"),
    "IAM_PERMISSION_DENIED": (Verdict.STOP, "permission", "gcloud projects add-iam-policy-binding example"),
    "PERMISSIONS_ERROR": (Verdict.STOP, "permission", "gcloud projects add-iam-policy-binding"),
    "FORBIDDEN": (Verdict.STOP, "permission", "gcloud projects add-iam-policy-binding"),
    "PERMISSION_DENIED": (Verdict.STOP, "permission", "gcloud projects add-iam-policy-binding"),
    "HTTP_403": (Verdict.STOP, "permission", "gcloud projects add-iam-policy-binding"),
    "HTTP_401": (Verdict.STOP, "permission", "gcloud projects add-iam-policy-binding"),
    "CONDITION_NOT_MET": (Verdict.STOP, "permission", "gcloud org-policies list"),
    "HTTP_412": (Verdict.STOP, "permission", "gcloud org-policies list"),
    "RESOURCE_ALREADY_EXISTS": (Verdict.LOOK, "", ""),
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": (Verdict.LOOK, "", ""),
    "HTTP_409": (Verdict.LOOK, "", ""),
    "INVALID_USAGE": (Verdict.STOP, "settings", "foretell plan"),
    "A_CODE_OF_NEXT_YEAR": (Verdict.STOP, "settings", "foretell plan"),
}


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_one_meaning(code: str) -> None:
    verdict, reason, hint = CODES[code]
    ended = Operation(
        name="o", kind="insert", zone="europe-west1-b", done=True, target="1", code=code, message="so it is"
    )
    found = errors.of_operation(ended, SETTINGS)
    assert (found.verdict, found.reason) == (verdict, reason)
    assert hint in found.hint
    assert "so it is" in found.why


def test_every_code_of_the_table_is_tested() -> None:
    listed = errors.CODES.keys() | errors.POLICY
    assert {code for code in listed if code.isupper()} <= set(CODES)


@pytest.mark.parametrize(
    ("message", "reason", "hint"),
    [
        ("The resource 'projects/p/global/networks/x' was not found", "settings", "gcloud compute networks list"),
        ("The resource 'projects/p/regions/r/subnetworks/x' was not found", "settings", "gcloud compute networks subnets list"),
        ("The resource 'projects/cos-cloud/global/images/family/x' was not found", "image", "gcloud compute images list"),
        ("Machine type with name 'x' does not exist in zone 'z'.", "settings", "gcloud compute machine-types list --zones=europe-west1-b"),
    ],
)  # fmt: skip
def test_what_is_missing_is_looked_up_by_a_command(message: str, reason: str, hint: str) -> None:
    failure = Failure(status=404, reason="notFound", message=message)
    found = errors.of_failure(failure, SETTINGS, "europe-west1-b")
    assert (found.verdict, found.reason) == (Verdict.STOP, reason)
    assert hint in found.hint


@pytest.mark.parametrize(
    ("status", "reason", "message", "verdict", "word", "hint"),
    [
        (403, "rateLimitExceeded", "Rate Limit Exceeded", Verdict.UNKNOWN, "", ""),
        (503, "backendError", "Backend Error", Verdict.UNKNOWN, "", ""),
        (0, "unreachable", "Connection refused", Verdict.UNKNOWN, "", ""),
        (409, "alreadyExists", "already exists", Verdict.LOOK, "", ""),
        (403, "quotaExceeded", "Quota 'N2_CPUS' exceeded.  Limit: 24.0", Verdict.STOP, "quota", "quotas.metric=N2_CPUS"),
        (403, "forbidden", "Required 'compute.instances.create' permission", Verdict.STOP, "permission", "roles/compute.instanceAdmin.v1"),
        (403, "accessNotConfigured", "has not been used", Verdict.STOP, "permission", "gcloud services enable compute.googleapis.com --project=example"),
        (401, "credentials", "no credentials", Verdict.STOP, "permission", "gcloud auth application-default login"),
        (
            400, "SERVICE_ACCOUNT_ACCESS_DENIED",
            "The user does not have access to service account 'm@p.iam'. Ask for the iam.serviceAccountUser role",
            Verdict.STOP, "permission", "gcloud iam service-accounts add-iam-policy-binding m@p.iam ",
        ),
        (
            403, "forbidden", "Permission iam.serviceAccounts.actAs denied on service account m@p.iam.gserviceaccount.com",
            Verdict.STOP, "permission", "gcloud iam service-accounts add-iam-policy-binding m@p.iam.gserviceaccount.com",
        ),
    ],
)  # fmt: skip
def test_an_answer_is_judged_by_its_reason(
    status: int, reason: str, message: str, verdict: Verdict, word: str, hint: str
) -> None:
    failure = Failure(status=status, reason=reason, message=message)
    found = errors.of_failure(failure, SETTINGS, "europe-west1-b")
    assert (found.verdict, found.reason) == (verdict, word)
    assert hint in found.hint
