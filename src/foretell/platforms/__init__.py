"""Where attempts are executed."""

from __future__ import annotations

from foretell.errors import UsageError
from foretell.platforms.base import Platform
from foretell.service import ComputeEngineSettings, DockerSettings, PlatformSettings, ProcessSettings


def connect(settings: PlatformSettings) -> Platform:
    """Give the platform that the settings name, importing only that one."""
    match settings:
        case ProcessSettings():
            from foretell.platforms.process import ProcessPlatform

            return ProcessPlatform(settings)
        case DockerSettings():
            from foretell.platforms.docker import DockerPlatform

            return DockerPlatform(settings)
        case ComputeEngineSettings():
            raise UsageError(
                'the platform "compute-engine" is not part of this version of Foretell',
                hint="run on this machine: `--on local` or `--on docker`",
            )
