"""The links on a task: where its machine, log, files and rows are looked at."""

from __future__ import annotations

from airflow.sdk import BaseOperatorLink


class _Link(BaseOperatorLink):
    """A link to one of an operator's `places`, which its task found out while it ran; none where there is no page."""

    name = ""

    def get_link(self, operator: object, *, ti_key: object) -> str:
        del ti_key
        places: dict[str, str] = getattr(operator, "places", {})
        return places.get(self.name.lower(), "")


class MachineLink(_Link):
    """The machine of the newest attempt."""

    name = "Machine"


class LogLink(_Link):
    """What the newest attempt printed."""

    name = "Log"


class BucketLink(_Link):
    """The run's folder in the store."""

    name = "Bucket"


class TableLink(_Link):
    """The delivered rows."""

    name = "Table"


LINKS = (MachineLink(), LogLink(), BucketLink(), TableLink())
