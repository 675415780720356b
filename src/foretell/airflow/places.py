"""Where a person looks at what belongs to a run: addresses of pages, as far as there are any."""

from __future__ import annotations

from foretell.controller import Controller
from foretell.names import Run
from foretell.records import Request


def places(controller: Controller, run: Run, request: Request) -> dict[str, str]:
    """Give addresses by the name of their link: Machine, Log, Bucket, Table. What is on this machine has a path."""
    del request
    folder = f"{controller.store.url}/{run.folder}"
    return {"Bucket": folder}
