"""A BigQuery dataset: the keys of its settings, and what they mean for others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from msgspec import Meta, Struct, field

from foretell.google import console
from foretell.service.kinds import Defaults, WarehouseSettings, bad_dataset


class BigQuerySettings(
    WarehouseSettings, Struct, frozen=True, kw_only=True, tag="bigquery", tag_field="kind"
):
    """A BigQuery dataset. `project` is None for the platform's own or the credentials' project."""

    needs_google: ClassVar[bool] = True
    text_types: ClassVar[frozenset[str]] = frozenset({"TIME", "DATETIME", "JSON"})
    """What its loader has taken for other values in Parquet, or does not know there; see `table.STAGED`."""
    dataset: Annotated[
        str,
        Meta(
            description="Dataset of tables declared without one. Default: the service's name, with _ for -."
        ),
    ]
    project: Annotated[
        str | None,
        Meta(description="Cloud project. Default: the platform's, or that of the credentials."),
    ] = None
    location: Annotated[str, Meta(description="Location of the dataset.")] = "EU"
    labels: Annotated[
        dict[str, str], Meta(description="Labels of the dataset and the tables that are made.")
    ] = field(default_factory=dict)

    @classmethod
    def completed(cls, values: Mapping[str, object], defaults: Defaults) -> dict[str, object]:
        usual = {"dataset": defaults.service.replace("-", "_"), "project": defaults.google_project}
        return {**usual, **values}

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from bad_dataset(self.dataset)

    @property
    def google_project(self) -> str | None:
        return self.project

    @property
    def google_location(self) -> str:
        return self.location

    def reads_store(self, store: str) -> bool:
        return store.startswith("gs://")

    def link(self, table: str, project: str | None) -> str:
        owner = self.project or project  # else that of whoever's credentials are used
        return console.table(owner, *self._qualified(table)) if owner else ""

    def address(self, table: str) -> str:
        dataset, name = self._qualified(table)
        return f"bigquery://{self.project}/{dataset}/{name}" if self.project else ""
