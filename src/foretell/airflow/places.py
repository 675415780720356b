"""Where a person looks at what belongs to a run, as far as that is on this machine: paths."""

from __future__ import annotations

from foretell.names import Run
from foretell.records import Request
from foretell.service import DuckDBSettings
from foretell.store import local_directory


def paths(request: Request, run: Run) -> dict[str, str]:
    """Give paths by what they hold: "folder", "warehouse"."""
    found = {}
    if directory := local_directory(request.target.store):
        found["folder"] = str(directory / run.folder)
    if request.spec.delivery and isinstance(request.target.warehouse, DuckDBSettings):
        found["warehouse"] = request.target.warehouse.path
    return found
