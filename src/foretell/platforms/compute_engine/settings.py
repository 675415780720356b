"""A virtual machine of Compute Engine: the keys of its settings, and what they mean for others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta, Struct, field

from foretell.service.kinds import CloudLog, PlatformSettings

ARM = ("a4x-", "c4a-", "n4a-", "t2a-")
"""Machine types of Compute Engine whose processors (Ampere, Axion, Grace) are of ARM's architecture."""


class ComputeEngineSettings(
    PlatformSettings, Struct, frozen=True, kw_only=True, tag="compute-engine", tag_field="kind"
):
    """One virtual machine per attempt; keys as gcloud names them. `disk_size` in GB."""

    is_remote: ClassVar[bool] = True
    google_identity: ClassVar[bool] = True
    usual_warehouse: ClassVar[str] = "bigquery"
    project: Annotated[str, Meta(description="Cloud project of the machines. Default: none, it is required.")]
    zones: Annotated[
        tuple[str, ...], Meta(description="Zones to try. Default: none, it is required.", min_length=1)
    ]
    machine_type: Annotated[
        str | Annotated[tuple[str, ...], Meta(min_length=1)],
        Meta(description="Machine type; of a list, the next is taken after out of memory."),
    ] = "n1-standard-1"
    network: Annotated[str | None, Meta(description="Network of the machine.")] = None
    subnet: Annotated[str | None, Meta(description="Subnet of the machine.")] = None
    external_ip: Annotated[bool, Meta(description="Whether it has an address on the internet.")] = True
    service_account: Annotated[str | None, Meta(description="Service account the machine runs as.")] = None
    impersonate: Annotated[str | None, Meta(description="Service account that makes the machine.")] = None
    labels: Annotated[dict[str, str], Meta(description="Its labels.")] = field(default_factory=dict)
    tags: Annotated[tuple[str, ...], Meta(description="Its network tags.")] = ()
    disk_size: Annotated[int, Meta(description="Size of the boot disk in GB.", ge=10, le=65536)] = 20
    accelerators: Annotated[dict[str, int], Meta(description="Their number by type.")] = field(
        default_factory=dict
    )
    spot: Annotated[bool, Meta(description="Whether it is cheaper and preemptible.")] = False
    preemptions: Annotated[
        int, Meta(description="How many Spot machines are taken away before a standard one.", ge=1, le=100)
    ] = 2
    body: Annotated[
        dict[str, object], Meta(description="Merged into the insert request, but for the leak guards.")
    ] = field(default_factory=dict)

    @property
    def machine_types(self) -> tuple[str, ...]:
        """The types to take, the next after out of memory."""
        return (self.machine_type,) if isinstance(self.machine_type, str) else self.machine_type

    @property
    def architectures(self) -> Mapping[str, str]:
        return {one: "linux/arm64" if one.startswith(ARM) else "linux/amd64" for one in self.machine_types}

    @property
    def growths(self) -> int:
        return len(self.machine_types) - 1

    @property
    def spots(self) -> int:
        return self.preemptions if self.spot else 0

    @property
    def google_project(self) -> str:
        return self.project

    @property
    def acts_as(self) -> str | None:
        return self.impersonate

    @property
    def cloud_log(self) -> CloudLog:
        return CloudLog(project=self.project, location=self.zones[0].rpartition("-")[0])
