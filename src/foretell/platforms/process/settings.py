"""A child process of this machine: the keys of its settings, and what they mean for others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from foretell.service.kinds import WORK, Defaults, PlatformSettings


class ProcessSettings(PlatformSettings, Struct, frozen=True, kw_only=True, tag="process", tag_field="kind"):
    """A child process on this machine. `home` is where its machines work: absolute once loaded."""

    runs_images: ClassVar[bool] = False
    home: Annotated[str, Meta(description="Where its machines work. Default: .foretell.")] = ""

    @classmethod
    def completed(cls, values: Mapping[str, object], defaults: Defaults) -> dict[str, object]:
        return {**values, "home": defaults.path(str(values.get("home") or WORK))}

    @property
    def directory(self) -> Path:
        return Path(self.home)
