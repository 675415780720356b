"""The commands that put right what Google refuses, each worded here and nowhere else."""

from __future__ import annotations

INSTALL = "pip install 'foretell[google]'"
LOGIN = "gcloud auth application-default login"
SOMEBODY = 'user:"$(gcloud config get account)"'


def member(email: str | None) -> str:
    """Return who asks, as an IAM policy names it; the address of a person is best known to gcloud."""
    if not email or "@" not in email:
        return SOMEBODY
    return f"{'serviceAccount' if email.endswith('gserviceaccount.com') else 'user'}:{email}"


# --- services and roles -----------------------------------------------------------------------------------------------


def enable(project: str, *services: str) -> str:
    return f"gcloud services enable {' '.join(services)} --project={project}"


def link_billing(project: str) -> str:
    return f"gcloud billing projects link {project} --billing-account=ACCOUNT"


def grant(project: str, who: str, role: str) -> str:
    return f"gcloud projects add-iam-policy-binding {project} --member={who} --role={role}"


def grant_bucket(bucket: str, who: str, role: str = "roles/storage.objectUser") -> str:
    return f"gcloud storage buckets add-iam-policy-binding gs://{bucket} --member={who} --role={role}"


def grant_secret(
    project: str, secret: str, who: str, role: str = "roles/secretmanager.secretAccessor"
) -> str:
    return f"gcloud secrets add-iam-policy-binding {secret} --project={project} --member={who} --role={role}"


def grant_repository(project: str, place: str, name: str, who: str) -> str:
    return (
        f"gcloud artifacts repositories add-iam-policy-binding {name} --location={place} "
        f"--project={project} --member={who} --role=roles/artifactregistry.writer"
    )


def let_act_as(project: str, account: str, who: str) -> str:
    return (
        f"gcloud iam service-accounts add-iam-policy-binding {account} "
        f"--project={project} --member={who} --role=roles/iam.serviceAccountUser"
    )


def see_policies(project: str) -> str:
    return f"see the organisation's rules: `gcloud org-policies list --project={project}`"


def make_account(project: str, email: str) -> str:
    return f"gcloud iam service-accounts create {email.partition('@')[0]} --project={project}"


# --- quotas -----------------------------------------------------------------------------------------------------------


def quotas_page(project: str) -> str:
    return f"https://console.cloud.google.com/iam-admin/quotas?project={project}"


def see_region(project: str, region: str) -> str:
    return f"gcloud compute regions describe {region} --project={project}"


def see_quota(project: str, region: str, metric: str) -> str:
    return (
        f"{see_region(project, region)} --flatten=quotas --filter=quotas.metric={metric} "
        "--format='table(quotas.metric, quotas.limit, quotas.usage)'"
    )


def raise_quota(project: str, region: str, metric: str, value: float) -> str:
    return (
        f"gcloud beta quotas preferences create --project={project} --service=compute.googleapis.com "
        f"--quota-id={metric.replace('_', '-')}-per-project-region --dimensions=region={region} "
        f"--preferred-value={value:.0f}"
    )


# --- machines and networks --------------------------------------------------------------------------------------------


def see_machine(name: str, zone: str) -> str:
    return f"see it: `gcloud compute instances describe {name} --zone={zone}`"


def list_machine_types(project: str, zone: str) -> str:
    return f"gcloud compute machine-types list --zones={zone} --project={project}"


def list_machine_images() -> str:
    return "gcloud compute images list --project=cos-cloud --no-standard-images"


def list_networks(project: str, kind: str = "networks") -> str:
    """Return the command that lists "networks" or "networks subnets"."""
    return f"gcloud compute {kind} list --project={project}"


def see_subnet(project: str, region: str, name: str) -> str:
    return f"gcloud compute networks subnets describe {name} --region={region} --project={project}"


def open_subnet(project: str, region: str, name: str) -> str:
    return (
        f"gcloud compute networks subnets update {name} --region={region} --project={project} "
        "--enable-private-ip-google-access"
    )


# --- buckets, datasets, repositories, secrets -------------------------------------------------------------------------


def make_bucket(name: str, location: str, project: str = "") -> str:
    where = f" --project={project}" if project else ""
    return (
        f"gcloud storage buckets create gs://{name} --location={location}{where} "
        "--uniform-bucket-level-access --soft-delete-duration=0"
    )


def stop_soft_delete(bucket: str) -> str:
    return f"gcloud storage buckets update gs://{bucket} --clear-soft-delete"


def list_datasets(project: str) -> str:
    return f"see what is there: `bq ls --project_id={project}`"


def see_job(project: str, name: str) -> str:
    return f"see `bq show --job --project_id={project} {name}`"


def make_repository(project: str, place: str, name: str) -> str:
    return (
        f"gcloud artifacts repositories create {name} --repository-format=docker "
        f"--location={place} --project={project}"
    )


def log_into_registry(host: str) -> str:
    return f"log in: `docker login {host}`; for Google's: `gcloud auth configure-docker {host}`"


def list_secret_versions(project: str, secret: str) -> str:
    return f"gcloud secrets versions list {secret} --project={project}"


def see_secret_version(project: str, secret: str, version: str) -> str:
    return f"gcloud secrets versions describe {version} --secret={secret} --project={project}"


def add_secret_version(project: str, secret: str) -> str:
    return f"gcloud secrets versions add {secret} --project={project} --data-file=FILE"


def enable_secret_version(project: str, secret: str, version: str) -> str:
    return f"gcloud secrets versions enable {version} --secret={secret} --project={project}"
