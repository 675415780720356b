"""What the doctor asks of a target whose attempts are machines of Compute Engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from foretell.google import remedies
from foretell.google.compute import region as region_of
from foretell.google.errors import Category, Failure
from foretell.google.inspection import Inspection
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.service.model import Service, Target
from foretell.system.check import Check, missing, ok, warning

PLAIN_FAMILIES = ("n1", "e2", "f1", "g1", "custom")
"""Machine types whose processors count as CPUS; others have a quota of their own."""
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


def services(settings: ComputeEngineSettings, service: Service) -> Iterator[str]:
    """Return the services of Google's cloud that must be enabled."""
    yield from ("compute.googleapis.com", "logging.googleapis.com", "artifactregistry.googleapis.com")
    yield from ("iam.googleapis.com", "cloudresourcemanager.googleapis.com")
    if settings.impersonate:
        yield "iamcredentials.googleapis.com"
    if any(action.secrets for action in service.actions.values()):
        yield "secretmanager.googleapis.com"


def access(settings: ComputeEngineSettings, look: Inspection) -> Iterator[Check]:
    """Whether whoever asks may make machines, and have them run as their service account."""
    wanted = [one for one in INSTANCES if settings.external_ip or not one.endswith("useExternalIp")]
    yield look.permissions("permissions", wanted, "roles/compute.instanceAdmin.v1")
    yield account(look, settings)


def checks(look: Inspection, service: Service, target: Target) -> Iterator[Check]:
    """Whether there is what machines are made of: images, types, room, a network, secrets."""
    yield registry(look, service)
    for settings in _platforms(target):
        yield from machines(look, settings)
        yield from network(look, settings)
    yield from secrets(look, service)


def account(look: Inspection, settings: ComputeEngineSettings) -> Check:
    """Whether machines may be made that run as their service account."""
    name = "account"
    email = settings.service_account
    if email is None:
        fix = "set service_account in the target's platform; docs/google-cloud.md says what it needs"
        return warning(name, "the project's default one, which often may do everything in the project", fix)
    path = f"v1/projects/-/serviceAccounts/{email}:testIamPermissions"
    body = {"permissions": ["iam.serviceAccounts.actAs"]}
    answer = look.rest.call("POST", "iam", path, body=body, again=True)
    fix = remedies.let_act_as(look.project, email, look.member)
    if isinstance(answer, Failure) and answer.category is Category.ABSENT:
        return missing(name, f"there is no {email}", remedies.make_account(look.project, email))
    if isinstance(answer, Failure):
        return look.told(name, answer, role="roles/iam.serviceAccountViewer")
    if not answer.get("permissions"):
        return missing(name, f"machines may not be made to run as {email}", fix)
    return ok(name, email)


def registry(look: Inspection, service: Service) -> Check:
    """Whether there is a repository for images, where it is one of Google's."""
    told = service.image.registry or ""
    host, _, path = told.partition("/")
    project, _, repository = path.partition("/")
    if not host.endswith("-docker.pkg.dev"):
        return ok("registry", told or "none: images stay on this machine") if told else _no_registry(look)
    place, name = host.removesuffix("-docker.pkg.dev"), repository.partition("/")[0]
    about = look.rest.get("artifactregistry", f"v1/projects/{project}/locations/{place}/repositories/{name}")
    if isinstance(about, Failure) and about.category is Category.ABSENT:
        return missing("registry", f"there is no {told}", remedies.make_repository(project, place, name))
    if isinstance(about, Failure):
        fix = remedies.grant_repository(project, place, name, look.member)
        return warning("registry", f"cannot be looked at: {about.why}", fix)
    return ok("registry", told)


def _no_registry(look: Inspection) -> Check:
    fix = f'set [image] registry = "europe-docker.pkg.dev/{look.project}/services"'
    return missing("registry", "none, and machines elsewhere pull from one", fix)


def machines(look: Inspection, settings: ComputeEngineSettings) -> Iterator[Check]:
    """Whether the machine types are to be had in the zones, and the regions' quotas have room for one."""
    regions: dict[str, Mapping[str, float] | None] = {}
    for zone in settings.zones:
        region = region_of(zone)
        if region not in regions:
            regions[region] = _free(look, region)
        free = regions[region]
        for kind in settings.machine_types:
            about = look.rest.get(
                "compute", f"projects/{look.project}/zones/{zone}/machineTypes/{quote(kind)}"
            )
            if isinstance(about, Failure):
                fix = remedies.list_machine_types(look.project, zone)
                yield missing("machine", f"no {kind} in {zone}: {about.why}", fix)
            elif free is None:
                fix = remedies.see_region(look.project, region)
                yield warning("machine", f"{kind} in {zone}; the quota cannot be looked at", fix)
            else:
                wanted = needs(settings, kind, int(about.get("guestCpus", 0)), free)
                yield _room(look, f"{kind} in {zone}", region, wanted, free)


def _free(look: Inspection, region: str) -> Mapping[str, float] | None:
    """Return what is left of every quota of a region."""
    about = look.rest.get("compute", f"projects/{look.project}/regions/{region}")
    if isinstance(about, Failure):
        return None
    return {one["metric"]: one.get("limit", 0) - one.get("usage", 0) for one in about.get("quotas", [])}


def needs(
    settings: ComputeEngineSettings, kind: str, cpus: int, known: Mapping[str, float]
) -> dict[str, float]:
    """Return what a machine takes of which quotas, of those that the region has."""
    family = kind.partition("-")[0]
    own = f"{family.upper()}_CPUS"
    processors = "CPUS" if family in PLAIN_FAMILIES or own not in known else own
    if settings.spot and known.get("PREEMPTIBLE_CPUS"):
        processors = "PREEMPTIBLE_CPUS"
    wanted: dict[str, float] = {processors: cpus, "INSTANCES": 1}
    if settings.external_ip:
        wanted["IN_USE_ADDRESSES"] = 1
    for card, number in settings.accelerators.items():
        name = card.upper().replace("NVIDIA-TESLA-", "NVIDIA_").replace("-", "_")
        wanted[f"{'PREEMPTIBLE_' if settings.spot else ''}{name}_GPUS"] = number
    return {metric: number for metric, number in wanted.items() if metric in known}


def _room(
    look: Inspection, what: str, region: str, wanted: Mapping[str, float], free: Mapping[str, float]
) -> Check:
    short = [metric for metric, number in wanted.items() if free[metric] < number]
    if not short:
        left = ", ".join(f"{free[metric]:.0f} {metric}" for metric in wanted)
        return ok("machine", f"{what}; free in {region}: {left}" if left else what)
    metric = short[0]
    fix = remedies.raise_quota(look.project, region, metric, wanted[metric])
    detail = f"{what} takes {wanted[metric]:.0f} of quota {metric}, of which {free[metric]:.0f} are free in {region}"
    return missing("machine", detail, fix)


def network(look: Inspection, settings: ComputeEngineSettings) -> Iterator[Check]:
    """Whether a machine without an address on the internet reaches Google's services."""
    if settings.external_ip or not settings.subnet:
        return
    name = settings.subnet.rpartition("/")[2]
    for region in dict.fromkeys(map(region_of, settings.zones)):
        about = look.rest.get("compute", f"projects/{look.project}/regions/{region}/subnetworks/{name}")
        if isinstance(about, Failure):
            fix = remedies.see_subnet(look.project, region, name)
            yield missing("subnet", f"{name} in {region}: {about.why}", fix)
        elif not about.get("privateIpGoogleAccess"):
            fix = remedies.open_subnet(look.project, region, name)
            yield missing("subnet", f"{name} in {region} does not reach Google's services", fix)
        else:
            yield ok("subnet", f"{name} in {region}")


def secrets(look: Inspection, service: Service) -> Iterator[Check]:
    """Whether the secrets that actions name are there; whether the machine may read them only it can tell."""
    named = {one for action in service.actions.values() for one in action.secrets.values()}
    for reference in sorted(named):
        answer = look.rest.get("secretmanager", f"v1/{reference}")
        _, project, _, secret, _, version = reference.split("/")
        if isinstance(answer, Failure) and answer.category is Category.ABSENT:
            fix = remedies.add_secret_version(project, secret)
            yield missing("secret", f"there is no {reference}", fix)
        elif isinstance(answer, Failure):
            yield look.told("secret", answer, role="roles/secretmanager.viewer")
        elif answer.get("state") != "ENABLED":
            fix = remedies.enable_secret_version(project, secret, version)
            yield missing("secret", f"{reference} is {str(answer.get('state')).lower()}", fix)
        else:
            yield ok("secret", reference)


def _platforms(target: Target) -> list[ComputeEngineSettings]:
    return [settings for settings in target.platforms if isinstance(settings, ComputeEngineSettings)]
