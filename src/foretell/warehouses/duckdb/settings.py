"""A DuckDB file: the keys of its settings, and what they mean for others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from msgspec import Meta, Struct

from foretell.service.kinds import WORK, Defaults, WarehouseSettings, bad_dataset


class DuckDBSettings(WarehouseSettings, Struct, frozen=True, kw_only=True, tag="duckdb", tag_field="kind"):
    """A DuckDB file; `path` is absolute once loaded."""

    path: Annotated[
        str, Meta(description="The database file, from foretell.toml. Default: .foretell/warehouse.duckdb.")
    ]
    dataset: Annotated[str, Meta(description="Schema of tables declared without one.")] = "main"

    @classmethod
    def completed(cls, values: Mapping[str, object], defaults: Defaults) -> dict[str, object]:
        return {**values, "path": defaults.path(str(values.get("path") or f"{WORK}/warehouse.duckdb"))}

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from bad_dataset(self.dataset)

    @property
    def file(self) -> Path:
        return Path(self.path)

    def address(self, table: str) -> str:
        dataset, name = self._qualified(table)
        return f"duckdb://{quote(self.path)}/{dataset}/{name}"
