"""A target in Google's cloud: services, permissions, accounts, each as ok or with the gcloud command that mends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from google.auth.exceptions import GoogleAuthError

from foretell.doctor import places
from foretell.doctor.check import Check, failed, missing, ok, warning
from foretell.errors import ForetellError
from foretell.google.errors import Failure, Kind
from foretell.google.rest import Rest
from foretell.images import lock
from foretell.service.model import BigQuerySettings, ComputeEngineSettings, Service, Target

LOGIN = "gcloud auth application-default login"
INSTANCES = (
    "compute.instances.create",
    "compute.instances.delete",
    "compute.instances.get",
    "compute.instances.list",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setServiceAccount",
    "compute.instances.setTags",
    "compute.disks.create",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
    "compute.zoneOperations.get",
    "compute.zoneOperations.list",
)
ROWS = (
    "bigquery.jobs.create",
    "bigquery.datasets.create",
    "bigquery.tables.create",
    "bigquery.tables.updateData",
)


class GoogleInspection:
    """One look around a project: who asks, and about what."""

    def __init__(self, service: Service, target: Target) -> None:
        self.service = service
        self.target = target
        settings = target.platform
        self.machines = settings if isinstance(settings, ComputeEngineSettings) else None
        self.rest = Rest(impersonate=self.machines.impersonate if self.machines else None, patience=10.0)

    @property
    def project(self) -> str:
        """The project of machines or rows."""
        warehouse = self.target.warehouse
        named = warehouse.project if isinstance(warehouse, BigQuerySettings) else None
        return self.machines.project if self.machines else named or self.rest.project

    @property
    def member(self) -> str:
        """Who asks, as an IAM policy names it."""
        return self.rest.member


def checks(service: Service, target: Target) -> Iterator[Check]:
    """Look at everything that a run on the target needs of Google; nothing is made, started or changed."""
    look = GoogleInspection(service, target)
    found = credentials(look)
    yield found
    if found.state == "missing":
        return
    if look.project:
        yield apis(look)
    if look.machines:
        yield permissions(look, "permissions", INSTANCES, "roles/compute.instanceAdmin.v1")
        yield account(look, look.machines)
    if isinstance(target.warehouse, BigQuerySettings):
        yield permissions(look, "rows", ROWS, "roles/bigquery.user", also="roles/bigquery.dataEditor")
    yield from places.checks(look, service, target)
    yield from secrets(look)
    if look.machines:
        yield image(service.root, target)


def credentials(look: GoogleInspection) -> Check:
    """Whether there are credentials at all, and whose."""
    try:
        who = look.member
    except GoogleAuthError as error:
        return missing("credentials", str(error).partition("\n")[0], LOGIN)
    acting = f", acting as {look.machines.impersonate}" if look.machines and look.machines.impersonate else ""
    return ok("credentials", f"of {who.partition(':')[2] if 'gcloud' not in who else 'a person'}{acting}")


def apis(look: GoogleInspection) -> Check:
    """Whether the services are enabled that the target uses."""
    wanted = list(_services(look.target, look.service))
    names = [f"projects/{look.project}/services/{name}" for name in wanted]
    answer = look.rest.get("serviceusage", f"v1/projects/{look.project}/services:batchGet", {"names": names})
    if isinstance(answer, Failure):
        return told("services", look, answer, role="roles/serviceusage.serviceUsageViewer")
    on = {one["config"]["name"] for one in answer.get("services", []) if one.get("state") == "ENABLED"}
    lacking = [name for name in wanted if name not in on]
    if lacking:
        fix = f"gcloud services enable {' '.join(lacking)} --project={look.project}"
        return missing("services", f"not enabled: {', '.join(lacking)}", fix)
    return ok("services", f"{len(wanted)} of project {look.project} are enabled")


def _services(target: Target, service: Service) -> Iterator[str]:
    yield "serviceusage.googleapis.com"
    if target.store.startswith("gs://"):
        yield "storage.googleapis.com"
    if isinstance(target.warehouse, BigQuerySettings):
        yield "bigquery.googleapis.com"
    if isinstance(target.platform, ComputeEngineSettings):
        yield from ("compute.googleapis.com", "logging.googleapis.com", "artifactregistry.googleapis.com")
        yield from ("iam.googleapis.com", "cloudresourcemanager.googleapis.com")
        if target.platform.impersonate:
            yield "iamcredentials.googleapis.com"
        if any(action.secrets for action in service.actions.values()):
            yield "secretmanager.googleapis.com"


def permissions(
    look: GoogleInspection, name: str, wanted: Sequence[str], role: str, *, also: str = ""
) -> Check:
    """Whether whoever asks may do what a launcher does, in the project as a whole."""
    wanted = [
        one
        for one in wanted
        if not one.endswith("useExternalIp") or (look.machines and look.machines.external_ip)
    ]
    path = f"v1/projects/{look.project}:testIamPermissions"
    answer = look.rest.call(
        "POST", "cloudresourcemanager", path, body={"permissions": list(wanted)}, again=True
    )
    if isinstance(answer, Failure):
        return told(name, look, answer, role=role)
    lacking = [one for one in wanted if one not in answer.get("permissions", [])]
    if not lacking:
        return ok(name, f"all {len(wanted)} in project {look.project}")
    fix = grant(look, role)
    if also:
        return warning(
            name, f"not in the whole project: {', '.join(lacking)}", f"{fix} && {grant(look, also)}"
        )
    return missing(name, f"lacks {', '.join(lacking)}", fix)


def account(look: GoogleInspection, settings: ComputeEngineSettings) -> Check:
    """Whether machines may be made that run as their service account."""
    name = "account"
    email = settings.service_account
    if email is None:
        fix = "set service_account in the target's platform; docs/google-cloud.md says what it needs"
        return warning(name, "the project's default one, which often may do everything in the project", fix)
    path = f"v1/projects/-/serviceAccounts/{email}:testIamPermissions"
    body = {"permissions": ["iam.serviceAccounts.actAs"]}
    answer = look.rest.call("POST", "iam", path, body=body, again=True)
    fix = (
        f"gcloud iam service-accounts add-iam-policy-binding {email} --member={look.member} "
        f"--role=roles/iam.serviceAccountUser --project={look.project}"
    )
    if isinstance(answer, Failure) and answer.kind is Kind.ABSENT:
        make = f"gcloud iam service-accounts create {email.partition('@')[0]} --project={look.project}"
        return missing(name, f"there is no {email}", make)
    if isinstance(answer, Failure):
        return told(name, look, answer, role="roles/iam.serviceAccountViewer")
    if not answer.get("permissions"):
        return missing(name, f"machines may not be made to run as {email}", fix)
    return ok(name, email)


def secrets(look: GoogleInspection) -> Iterator[Check]:
    """Whether the secrets that actions name are there; whether the machine may read them only it can tell."""
    if not look.machines:
        return
    named = {one for action in look.service.actions.values() for one in action.secrets.values()}
    for reference in sorted(named):
        answer = look.rest.get("secretmanager", f"v1/{reference}")
        _, project, _, secret, _, version = reference.split("/")
        place = f"--secret={secret} --project={project}"
        if isinstance(answer, Failure) and answer.kind is Kind.ABSENT:
            fix = f"gcloud secrets versions add {secret} --project={project} --data-file=FILE"
            yield missing("secret", f"there is no {reference}", fix)
        elif isinstance(answer, Failure):
            yield told("secret", look, answer, role="roles/secretmanager.viewer")
        elif answer.get("state") != "ENABLED":
            fix = f"gcloud secrets versions enable {version} {place}"
            yield missing("secret", f"{reference} is {str(answer.get('state')).lower()}", fix)
        else:
            yield ok("secret", reference)


def image(root: Path, target: Target) -> Check:
    """Whether the image is built and locked that a start would run."""
    try:
        locked = lock.read(root).get(target.name)
    except ForetellError as error:
        return failed("image", error)
    if locked:
        return ok("image", locked.image)
    fix = f"foretell build --push --on {target.name}"
    return missing("image", f"none is locked for target {target.name}", fix)


def grant(look: GoogleInspection, role: str) -> str:
    """Return the command that lets whoever asks do something in the project."""
    return f"gcloud projects add-iam-policy-binding {look.project} --member={look.member} --role={role}"


def told(name: str, look: GoogleInspection, failure: Failure, *, role: str) -> Check:
    """Say that it could not be looked at, and what would let us."""
    if failure.reason == "credentials":
        return missing(name, f"there are no credentials: {failure.why}", LOGIN)
    if failure.passes:
        return warning(name, f"cannot be told now: {failure.why}", "repeat the command")
    if failure.reason in ("SERVICE_DISABLED", "accessNotConfigured"):
        host = f"{failure.url.split('/')[2]}" if failure.url else "serviceusage.googleapis.com"
        return missing(name, failure.why, f"gcloud services enable {host} --project={look.project}")
    return warning(name, f"cannot be looked at: {failure.why}", grant(look, role))
