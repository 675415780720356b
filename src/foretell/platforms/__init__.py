"""Where attempts are executed: one package a kind, and the table of those that Foretell brings."""

from __future__ import annotations

from typing import cast

from foretell.platforms.base import Platform
from foretell.platforms.compute_engine.settings import ComputeEngineSettings
from foretell.platforms.docker.settings import DockerSettings
from foretell.platforms.process.settings import ProcessSettings
from foretell.service.kinds import PLATFORMS, PlatformSettings

PLATFORMS.add(ProcessSettings, DockerSettings, ComputeEngineSettings)


def connect(settings: PlatformSettings) -> Platform:
    """Return the platform that the settings name, importing only that one."""
    match settings:
        case ProcessSettings():
            from foretell.platforms.process.platform import ProcessPlatform

            return ProcessPlatform(settings)
        case DockerSettings():
            from foretell.platforms.docker.platform import DockerPlatform

            return DockerPlatform(settings)
        case ComputeEngineSettings():
            from foretell.platforms.compute_engine.platform import ComputeEnginePlatform

            return ComputeEnginePlatform(settings)
        case _:
            return cast("Platform", settings.connect())
