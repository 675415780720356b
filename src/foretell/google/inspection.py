"""What a project of Google's has, as checks: each ok, or with the gcloud command that mends it. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from urllib.parse import quote, urlsplit

from foretell.google import remedies
from foretell.google.endpoints import Answer
from foretell.google.errors import Category, Failure
from foretell.google.rest import Rest
from foretell.system.check import Check, missing, ok, warning

OBJECTS = (
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
)


class Inspection:
    """
    One look around a project, by whoever's credentials there are, or by the service account that they act as.

    `project` is that of machines or rows; that of the credentials where neither is named.
    """

    def __init__(self, *, project: str | None, impersonate: str | None, store: str) -> None:
        self.acting = impersonate
        self.store = store
        self.rest = Rest(impersonate=impersonate, patience=10.0)
        self._project = project

    @property
    def project(self) -> str:
        return self._project or self.rest.project

    @property
    def member(self) -> str:
        """Who asks, as an IAM policy names it."""
        return self.rest.member

    def grant(self, role: str) -> str:
        """Return the command that lets whoever asks do something in the project."""
        return remedies.grant(self.project, self.member, role)

    def told(self, name: str, failure: Failure, *, role: str) -> Check:
        """Say that it could not be looked at, and what would let us."""
        if failure.reason == "credentials":
            return missing(name, f"there are no credentials: {failure.why}", remedies.LOGIN)
        if failure.passes:
            return warning(name, f"cannot be told now: {failure.why}", "repeat the command")
        if failure.reason in ("SERVICE_DISABLED", "accessNotConfigured"):
            host = f"{failure.url.split('/')[2]}" if failure.url else "serviceusage.googleapis.com"
            return missing(name, failure.why, remedies.enable(self.project, host))
        return warning(name, f"cannot be looked at: {failure.why}", self.grant(role))

    # --- checks -----------------------------------------------------------------------------------------------

    def credentials(self) -> Check:
        """Whose credentials there are; raises what Google's libraries raise where there are none."""
        who = self.member
        acting = f", acting as {self.acting}" if self.acting else ""
        return ok("credentials", f"of {who.partition(':')[2] if 'gcloud' not in who else 'a person'}{acting}")

    def services(self, wanted: Sequence[str]) -> Check:
        """Whether these services are enabled."""
        names = [f"projects/{self.project}/services/{name}" for name in wanted]
        path = f"v1/projects/{self.project}/services:batchGet"
        answer = self.rest.get("serviceusage", path, {"names": names})
        if isinstance(answer, Failure):
            return self.told("services", answer, role="roles/serviceusage.serviceUsageViewer")
        on = {one["config"]["name"] for one in answer.get("services", []) if one.get("state") == "ENABLED"}
        lacking = [name for name in wanted if name not in on]
        if lacking:
            fix = remedies.enable(self.project, *lacking)
            return missing("services", f"not enabled: {', '.join(lacking)}", fix)
        return ok("services", f"{len(wanted)} of project {self.project} are enabled")

    def permissions(self, name: str, wanted: Sequence[str], role: str, *, also: str = "") -> Check:
        """
        Whether whoever asks may do these things in the project as a whole.

        `also` is the role that is needed besides where they may be granted on a part of it: then it is a warning.
        """
        path = f"v1/projects/{self.project}:testIamPermissions"
        body = {"permissions": list(wanted)}
        answer = self.rest.call("POST", "cloudresourcemanager", path, body=body, again=True)
        if isinstance(answer, Failure):
            return self.told(name, answer, role=role)
        lacking = [one for one in wanted if one not in answer.get("permissions", [])]
        if not lacking:
            return ok(name, f"all {len(wanted)} in project {self.project}")
        if also:
            fix = f"{self.grant(role)} && {self.grant(also)}"
            return warning(name, f"not in the whole project: {', '.join(lacking)}", fix)
        return missing(name, f"lacks {', '.join(lacking)}", self.grant(role))

    @cached_property
    def _bucket(self) -> Answer:
        return self.rest.get("storage", f"b/{quote(urlsplit(self.store).netloc, safe='')}")

    @property
    def bucket_location(self) -> str:
        """Where the store's bucket is; "" where that cannot be told, or it is no bucket of Google's."""
        if not self.store.startswith("gs://") or isinstance(self._bucket, Failure):
            return ""
        return str(self._bucket.get("location", ""))

    def bucket(self, location: str) -> list[Check]:
        """Whether the store's bucket may be read and written; one that is not there is to be made in `location`."""
        name, about = urlsplit(self.store).netloc, self._bucket
        if isinstance(about, Failure) and about.category is Category.ABSENT:
            fix = remedies.make_bucket(name, location, self.project)
            return [missing("bucket", f"there is no gs://{name}", fix)]
        found = [self._objects(name)]
        if isinstance(about, Failure):
            return found  # who may use it need not know where it is
        kept = about.get("softDeletePolicy", {}).get("retentionDurationSeconds", "0")
        if int(kept):
            days = int(kept) / 86400
            detail = f"gs://{name} keeps and bills what is overwritten for {days:.0f} days: every beat of every run"
            found.append(warning("soft delete", detail, remedies.stop_soft_delete(name)))
        return found

    def _objects(self, name: str) -> Check:
        path = f"b/{quote(name, safe='')}/iam/testPermissions"
        held = self.rest.get("storage", path, {"permissions": list(OBJECTS)})
        fix = remedies.grant_bucket(name, self.member)
        if isinstance(held, Failure):
            return warning("bucket", f"gs://{name} cannot be looked at: {held.why}", fix)
        lacking = [one for one in OBJECTS if one not in held.get("permissions", [])]
        if lacking:
            return missing("bucket", f"gs://{name}: lacks {', '.join(lacking)}", fix)
        return ok("bucket", f"gs://{name}, and its objects may be read and written")
