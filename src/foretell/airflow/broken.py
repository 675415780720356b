"""A service whose file is broken, among others that are not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from airflow.exceptions import SerializationError
from airflow.sdk import DAG


class BrokenDag(DAG):
    """
    A graph that Airflow cannot store, so that it shows an import error at the service's own file.

    An error at the DAG file would make all of its graphs stale, those of the sound services too. One that comes up
    while a graph is stored is shown at the graph's own place instead, which here is the foretell.toml.
    """

    def __init__(self, file: Path, error: Exception) -> None:
        self.__dict__["_file"] = file
        self.__dict__["_message"] = str(error)
        self.__dict__["_place"] = None
        self.__dict__["_code"] = ""
        super().__init__(
            dag_id=re.sub(r"[^A-Za-z0-9_.-]", "-", f"broken-{file.parent.name}"), schedule=None, catchup=False
        )

    @property
    def edge_info(self) -> NoReturn:
        """Asked for when a graph is stored, and then this one says what is wrong with it."""
        raise SerializationError(self.__dict__["_message"])

    @edge_info.setter
    def edge_info(self, value: object) -> None:
        """Keep none."""

    @property
    def relative_fileloc(self) -> str | None:
        """Return the place of the service file, as Airflow names files: from the root of the bundle."""
        place: str | None = self.__dict__["_place"]
        file: Path = self.__dict__["_file"]
        return str(Path(place).parent / file.parent.name / file.name) if place else place

    @relative_fileloc.setter
    def relative_fileloc(self, place: str | None) -> None:
        """Take the place of the DAG file, which Airflow tells."""
        self.__dict__["_place"] = place

    @property
    def fileloc(self) -> str:
        """Return the DAG file, and once its place is told, the service file's: by that Airflow 3.1 shows the error."""
        code: str = self.__dict__["_code"]
        return self.relative_fileloc or code

    @fileloc.setter
    def fileloc(self, code: str) -> None:
        """Take the path of the DAG file, which Airflow tells."""
        self.__dict__["_code"] = code
