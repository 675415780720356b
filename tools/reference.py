"""Write the part of docs/service-file.md that lists every key, from their declarations."""

# ruff: noqa: INP001 (a script, not a part of a package)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from foretell import platforms, warehouses  # noqa: F401 - they know the kinds
from foretell.service.load import schema

DOCUMENT = Path(__file__).parents[1] / "docs" / "service-file.md"
MARK = "<!-- From here on written by tools/reference.py. -->\n"

HEADINGS = {
    "Service": "At the top",
    "Source": "[source]",
    "Action": "[actions.NAME]",
    "AirflowSettings": "[actions.NAME.airflow]",
    "Delivery": "[actions.NAME.delivery]",
    "Column": "[actions.NAME.delivery.columns.COLUMN]",
    "Image": "[image]",
    "Target": "[targets.NAME]",
    "ProcessSettings": '[targets.NAME.platform], kind = "process"',
    "DockerSettings": '[targets.NAME.platform], kind = "docker"',
    "ComputeEngineSettings": '[targets.NAME.platform], kind = "compute-engine"',
    "DuckDBSettings": '[targets.NAME.warehouse], kind = "duckdb"',
    "BigQuerySettings": '[targets.NAME.warehouse], kind = "bigquery"',
    "Times": "[targets.NAME.times]",
}


def reference() -> str:
    """Give a section for every table, with a row for every key."""
    tables: Any = schema()["$defs"]
    return "".join(section(heading, tables[name]) for name, heading in HEADINGS.items())


def section(heading: str, table: dict[str, Any]) -> str:
    """Give the section of one table."""
    title = f"`{heading}`" if heading.startswith("[") else heading
    rows = "\n".join(row(key, said) for key, said in table["properties"].items())
    about = table["description"].partition(". ")[0].removesuffix(".")
    return (
        f"\n## {title}\n\n{about}.\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n{rows}\n"
    )


def row(key: str, said: dict[str, Any]) -> str:
    """Give the row of one key; a default in words comes from the end of its description."""
    meaning, _, default = said.get("description", "Which one it is.").partition(" Default: ")
    if "default" in said and not default:
        default = code(said["default"])
    return f"| `{key}` | {kind(said)} | {default.removesuffix('.')} | {meaning} |"


def code(value: object) -> str:
    """Give a value as it stands in the file."""
    return f"`{json.dumps(value)}`"


def kind(said: dict[str, Any]) -> str:
    """Say a type as a person would."""
    match said:
        case {"enum": choices}:
            words = ", ".join(code(choice) for choice in choices)
        case {"type": "array", "items": item}:
            words = f"array of {several(item)}"
        case {"type": "object", "additionalProperties": {"type": str(item)}}:
            words = f"table of {item}s"
        case {"type": "object"} | {"$ref": _}:
            words = "table"
        case {"anyOf": options}:
            words = " or ".join(kind(option) for option in options)
        case _:
            words = said["type"]
    return words


def several(said: dict[str, Any]) -> str:
    """Return the plural of a type."""
    match said:
        case {"anyOf": options}:
            return " or ".join(map(several, options))
        case {"type": "array", "items": item}:
            return f"arrays of {several(item)}"
        case _:
            return f"{kind(said)}s"


def main() -> None:
    """Rewrite what stands below the mark."""
    above = DOCUMENT.read_text(encoding="utf-8").partition(MARK)[0]
    DOCUMENT.write_text(above + MARK + reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
