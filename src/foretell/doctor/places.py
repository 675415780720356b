"""Where a target in Google's cloud keeps and runs things: bucket, dataset, registry, network, and room for machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from foretell.doctor.check import Check, missing, ok, warning
from foretell.google.errors import Failure, Kind
from foretell.google.rest import Rest
from foretell.service.model import BigQuerySettings, ComputeEngineSettings, Service, Target
from foretell.warehouses.bigquery.location import readable

OBJECTS = (
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
)
PLAIN_FAMILIES = ("n1", "e2", "f1", "g1", "custom")
"""Machine types whose processors count as CPUS; others have a quota of their own."""


class Inspection(Protocol):
    """Who asks, and about what."""

    rest: Rest
    machines: ComputeEngineSettings | None

    @property
    def project(self) -> str: ...

    @property
    def member(self) -> str: ...


def checks(look: Inspection, service: Service, target: Target) -> Iterator[Check]:
    """Look at every place that the target names."""
    where = ""
    if target.store.startswith("gs://"):
        name = urlsplit(target.store).netloc
        where, found = bucket(look, name, _location(target))
        yield from found
    if isinstance(target.warehouse, BigQuerySettings):
        yield dataset(look, target.warehouse, where)
    if look.machines:
        yield registry(look, service)
        for settings in _platforms(target):
            yield from machines(look, settings)
            yield from network(look, settings)


def bucket(look: Inspection, name: str, location: str) -> tuple[str, list[Check]]:
    """Return where the bucket is, "" where that cannot be told, and what there is to say about it."""
    address = f"b/{quote(name, safe='')}"
    about = look.rest.get("storage", address)
    if isinstance(about, Failure) and about.kind is Kind.ABSENT:
        make = f"gcloud storage buckets create gs://{name} --location={location} --project={look.project}"
        fix = f"{make} --uniform-bucket-level-access --soft-delete-duration=0"
        return "", [missing("bucket", f"there is no gs://{name}", fix)]
    held = look.rest.get("storage", f"{address}/iam/testPermissions", {"permissions": list(OBJECTS)})
    found = [_objects(look, name, held)]
    if isinstance(about, Failure):
        return "", found  # who may use it need not know where it is
    kept = about.get("softDeletePolicy", {}).get("retentionDurationSeconds", "0")
    if int(kept):
        days = int(kept) / 86400
        detail = (
            f"gs://{name} keeps and bills what is overwritten for {days:.0f} days: every beat of every run"
        )
        found.append(
            warning("soft delete", detail, f"gcloud storage buckets update gs://{name} --clear-soft-delete")
        )
    return str(about.get("location", "")), found


def _objects(look: Inspection, name: str, held: dict[str, Any] | Failure) -> Check:
    fix = (
        f"gcloud storage buckets add-iam-policy-binding gs://{name} "
        f"--member={look.member} --role=roles/storage.objectUser"
    )
    if isinstance(held, Failure):
        return warning("bucket", f"gs://{name} cannot be looked at: {held.why}", fix)
    lacking = [one for one in OBJECTS if one not in held.get("permissions", [])]
    if lacking:
        return missing("bucket", f"gs://{name}: lacks {', '.join(lacking)}", fix)
    return ok("bucket", f"gs://{name}, and its objects may be read and written")


def dataset(look: Inspection, settings: BigQuerySettings, bucket_is_in: str) -> Check:
    """Whether rows can be loaded from the bucket into the dataset: by where each of them is."""
    project = settings.project or look.project
    whole = f"{project}.{settings.dataset}"
    about = look.rest.get("bigquery", f"projects/{project}/datasets/{settings.dataset}")
    if isinstance(about, Failure) and about.kind is not Kind.ABSENT:
        fix = f"gcloud projects add-iam-policy-binding {project} --member={look.member} --role=roles/bigquery.user"
        return warning("dataset", f"{whole} cannot be looked at: {about.why}", fix)
    there = settings.location if isinstance(about, Failure) else str(about.get("location", ""))
    if there.upper() != settings.location.upper():
        fix = f'set location = "{there}" in the target\'s warehouse'
        return missing("dataset", f"{whole} is in {there}, not in {settings.location}", fix)
    if bucket_is_in and not readable(bucket_is_in, there):
        detail = f"in {there}, it is not loaded from a bucket in {bucket_is_in}: make one there, and name it as store"
        fix = f"gcloud storage buckets create gs://NAME --location={there} --project={project}"
        return missing("dataset", detail, fix)
    made = "is made at the first delivery" if isinstance(about, Failure) else "is there"
    return ok("dataset", f"{whole} in {there} {made}")


def registry(look: Inspection, service: Service) -> Check:
    """Whether there is a repository for images, where it is one of Google's."""
    told = service.image.registry or ""
    host, _, path = told.partition("/")
    project, _, repository = path.partition("/")
    if not host.endswith("-docker.pkg.dev"):
        return ok("registry", told or "none: images stay on this machine") if told else _no_registry(look)
    place, name = host.removesuffix("-docker.pkg.dev"), repository.partition("/")[0]
    about = look.rest.get("artifactregistry", f"v1/projects/{project}/locations/{place}/repositories/{name}")
    where = f"--repository-format=docker --location={place} --project={project}"
    if isinstance(about, Failure) and about.kind is Kind.ABSENT:
        return missing(
            "registry", f"there is no {told}", f"gcloud artifacts repositories create {name} {where}"
        )
    if isinstance(about, Failure):
        fix = (
            f"gcloud artifacts repositories add-iam-policy-binding {name} --location={place} "
            f"--project={project} --member={look.member} --role=roles/artifactregistry.writer"
        )
        return warning("registry", f"cannot be looked at: {about.why}", fix)
    return ok("registry", told)


def _no_registry(look: Inspection) -> Check:
    fix = f'set [image] registry = "europe-docker.pkg.dev/{look.project}/services"'
    return missing("registry", "none, and machines elsewhere pull from one", fix)


# --- machines ---------------------------------------------------------------------------------------------------------


def machines(look: Inspection, settings: ComputeEngineSettings) -> Iterator[Check]:
    """Whether the machine types are to be had in the zones, and the regions' quotas have room for one."""
    kinds = (settings.machine_type,) if isinstance(settings.machine_type, str) else settings.machine_type
    regions: dict[str, Mapping[str, float] | None] = {}
    for zone in settings.zones:
        region = zone.rpartition("-")[0]
        if region not in regions:
            regions[region] = _free(look, region)
        free = regions[region]
        for kind in kinds:
            about = look.rest.get(
                "compute", f"projects/{look.project}/zones/{zone}/machineTypes/{quote(kind)}"
            )
            if isinstance(about, Failure):
                fix = f"gcloud compute machine-types list --zones={zone} --project={look.project}"
                yield missing("machine", f"no {kind} in {zone}: {about.why}", fix)
            elif free is None:
                fix = f"gcloud compute regions describe {region} --project={look.project}"
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
    fix = (
        f"gcloud beta quotas preferences create --project={look.project} --service=compute.googleapis.com "
        f"--quota-id={metric.replace('_', '-')}-per-project-region --dimensions=region={region} "
        f"--preferred-value={wanted[metric]:.0f}"
    )
    detail = f"{what} takes {wanted[metric]:.0f} of quota {metric}, of which {free[metric]:.0f} are free in {region}"
    return missing("machine", detail, fix)


def network(look: Inspection, settings: ComputeEngineSettings) -> Iterator[Check]:
    """Whether a machine without an address on the internet reaches Google's services."""
    if settings.external_ip or not settings.subnet:
        return
    name = settings.subnet.rpartition("/")[2]
    for region in dict.fromkeys(zone.rpartition("-")[0] for zone in settings.zones):
        about = look.rest.get("compute", f"projects/{look.project}/regions/{region}/subnetworks/{name}")
        place = f"{name} --region={region} --project={look.project}"
        if isinstance(about, Failure):
            fix = f"gcloud compute networks subnets describe {place}"
            yield missing("subnet", f"{name} in {region}: {about.why}", fix)
        elif not about.get("privateIpGoogleAccess"):
            fix = f"gcloud compute networks subnets update {place} --enable-private-ip-google-access"
            yield missing("subnet", f"{name} in {region} does not reach Google's services", fix)
        else:
            yield ok("subnet", f"{name} in {region}")


def _platforms(target: Target) -> list[ComputeEngineSettings]:
    """List every platform that the target's actions use, each once."""
    found: list[ComputeEngineSettings] = []
    for settings in (target.platform, *target.actions.values()):
        if isinstance(settings, ComputeEngineSettings) and settings not in found:
            found.append(settings)
    return found


def _location(target: Target) -> str:
    """Return where a bucket belongs that is still to be made."""
    if isinstance(target.warehouse, BigQuerySettings):
        return target.warehouse.location
    return "EU"
