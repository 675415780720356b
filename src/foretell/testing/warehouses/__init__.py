"""What every warehouse must do."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell import warehouses
from foretell.testing.warehouses.candidate import Candidate
from foretell.testing.warehouses.deliveries import Deliveries
from foretell.testing.warehouses.refusals import Refusals
from foretell.testing.warehouses.shipping import Shipper
from foretell.testing.warehouses.withdrawals import Withdrawals
from foretell.warehouses.base import Warehouse


class WarehouseSuite(Deliveries, Withdrawals, Refusals):
    """The promises of a warehouse, each a test; a kind inherits from it and says what `candidate` is."""

    @pytest.fixture
    def candidate(self) -> Candidate:
        """Return the warehouse to try, another one for each test."""
        raise NotImplementedError

    @pytest.fixture
    def ship(self, tmp_path: Path, candidate: Candidate) -> Shipper:
        """Return what makes shipments that this warehouse takes."""
        (tmp_path / "staged").mkdir()
        return Shipper(tmp_path / "staged", candidate.settings.text_types)

    @pytest.fixture
    def warehouse(self, candidate: Candidate) -> Warehouse:
        """Return the warehouse, which nobody has used yet."""
        return warehouses.connect(candidate.settings)
