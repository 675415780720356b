"""A container on this machine: the keys of its settings."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from foretell.service.kinds import PlatformSettings


class DockerSettings(PlatformSettings, Struct, frozen=True, kw_only=True, tag="docker", tag_field="kind"):
    """A container on this machine. `memory` and `cpus` as `docker run` takes them."""

    memory: Annotated[str | None, Meta(description='Limit of memory, as `docker run` takes it: "4g".')] = None
    cpus: Annotated[Annotated[float, Meta(gt=0)] | None, Meta(description="Limit of processors.")] = None
    gpus: Annotated[str | None, Meta(description='Graphics cards, as `docker run` takes them: "all".')] = None
    network: Annotated[str | None, Meta(description="Docker network of the container.")] = None
    volumes: Annotated[tuple[str, ...], Meta(description='Mounts: "/on/host:/in/container:ro".')] = ()
    env: Annotated[dict[str, str], Meta(description="Environment variables of the container.")] = field(
        default_factory=dict
    )
    google_credentials: Annotated[
        bool, Meta(description="Whether this user's application default credentials are mounted.")
    ] = False
