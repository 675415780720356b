"""What the doctor asks of a target that delivers to BigQuery."""

from __future__ import annotations

from foretell.google import remedies
from foretell.google.errors import Category, Failure
from foretell.google.inspection import Inspection
from foretell.system.check import Check, missing, ok, warning
from foretell.warehouses.bigquery.location import readable
from foretell.warehouses.bigquery.settings import BigQuerySettings

ROWS = (
    "bigquery.jobs.create",
    "bigquery.datasets.create",
    "bigquery.tables.create",
    "bigquery.tables.updateData",
)


def access(look: Inspection) -> Check:
    """Whether whoever asks may make tables and put rows into them."""
    return look.permissions("rows", ROWS, "roles/bigquery.user", also="roles/bigquery.dataEditor")


def dataset(settings: BigQuerySettings, look: Inspection) -> Check:
    """Whether rows can be loaded from the bucket into the dataset: by where each of them is."""
    project = settings.project or look.project
    bucket_is_in = look.bucket_location
    whole = f"{project}.{settings.dataset}"
    about = look.rest.get("bigquery", f"projects/{project}/datasets/{settings.dataset}")
    if isinstance(about, Failure) and about.category is not Category.ABSENT:
        fix = remedies.grant(project, look.member, "roles/bigquery.user")
        return warning("dataset", f"{whole} cannot be looked at: {about.why}", fix)
    there = settings.location if isinstance(about, Failure) else str(about.get("location", ""))
    if there.upper() != settings.location.upper():
        fix = f'set location = "{there}" in the target\'s warehouse'
        return missing("dataset", f"{whole} is in {there}, not in {settings.location}", fix)
    if bucket_is_in and not readable(bucket_is_in, there):
        detail = f"in {there}, it is not loaded from a bucket in {bucket_is_in}: make one there, and name it as store"
        fix = remedies.make_bucket("NAME", there, project)
        return missing("dataset", detail, fix)
    made = "is made at the first delivery" if isinstance(about, Failure) else "is there"
    return ok("dataset", f"{whole} in {there} {made}")
