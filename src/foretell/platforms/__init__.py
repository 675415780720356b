"""Where attempts are executed: one package a kind, which is imported when it is asked for."""

from __future__ import annotations

from foretell.platforms.base import Platform
from foretell.service.model import ComputeEngineSettings, DockerSettings, PlatformSettings, ProcessSettings


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
