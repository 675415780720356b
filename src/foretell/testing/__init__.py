"""
The promises of a warehouse as a suite of tests, for whoever brings a kind; it needs pytest.

In a test file of the kind's own, for a warehouse whose settings are `Mine`:

    class TestMine(WarehouseSuite):
        @pytest.fixture
        def candidate(self, tmp_path):
            return Candidate(settings=Mine(path=str(tmp_path / "w")))

where WarehouseSuite is of `foretell.testing.warehouses`, and Candidate of its module `candidate`.
"""

from __future__ import annotations

import pytest

# before they are imported, so that an assertion that fails shows what was compared
pytest.register_assert_rewrite("foretell.testing.warehouses")
