"""What the suites of the extension points share."""

from __future__ import annotations

from tests.google.fixtures import cloud, hypervisor, shared_cloud, shared_hypervisor

__all__ = ["cloud", "hypervisor", "shared_cloud", "shared_hypervisor"]
