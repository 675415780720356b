"""
The promises of a platform and of a warehouse as suites of tests, for whoever brings a kind of either.

It needs pytest; docs/kinds.md shows how a kind passes them.
"""

from __future__ import annotations

import pytest

# before they are imported, so that an assertion that fails shows what was compared
pytest.register_assert_rewrite("foretell.testing.warehouses")
