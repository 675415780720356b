"""The form of foretell.toml: every key with its type, default and meaning; reading and schema follow."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, field

from foretell.service.model import (
    BigQuerySettings,
    ComputeEngineSettings,
    DockerSettings,
    DuckDBSettings,
    Extra,
    Granularity,
    Mode,
    PlatformSettings,
    ProcessSettings,
    WarehouseSettings,
)

Duration: TypeAlias = str | float
"""A number of seconds, or text such as "6h", "1h30m", "90s", "1d"."""

PLATFORMS: dict[str, type[PlatformSettings]] = {
    "process": ProcessSettings,
    "docker": DockerSettings,
    "compute-engine": ComputeEngineSettings,
}
WAREHOUSES: dict[str, type[WarehouseSettings]] = {"duckdb": DuckDBSettings, "bigquery": BigQuerySettings}


def says(description: str, *, default: str = "") -> Meta:
    """Describe a key; `default` in words where the field cannot tell it, because it depends on something."""
    return Meta(description=f"{description} Default: {default}." if default else description)


REQUIRED = "none, it is required"

Count: TypeAlias = Annotated[int, Meta(ge=0, le=1000)]
Free: TypeAlias = dict[str, object]
ANY_VALUE: dict[str, object] = {"type": ["string", "number", "boolean", "array", "object"]}


class Form(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file. To the form every key may be left out; what must be there is asked later."""


class ColumnTable(Form, frozen=True, kw_only=True):
    """A column of the delivered table."""

    type: Annotated[
        str | None, says("BigQuery type name: STRING, INT64, FLOAT64, BOOL, DATE, …", default=REQUIRED)
    ] = None
    mode: Annotated[Literal["NULLABLE", "REQUIRED"], says("REQUIRED refuses rows without a value.")] = (
        "NULLABLE"
    )
    from_: Annotated[
        str | None,
        says(
            "The file's column it is taken from, or @date (the run's date), @run, @model (their run ids).",
            default="the column's own name",
        ),
    ] = field(default=None, name="from")
    description: Annotated[str, says("What it holds, for a warehouse that keeps it.")] = ""


class DeliveryTable(Form, frozen=True, kw_only=True):
    """Which file of the output becomes rows of which table."""

    file: Annotated[
        str | None,
        says(
            "Path in the output directory: CSV, Parquet or newline-delimited JSON; a glob is allowed.",
            default=REQUIRED,
        ),
    ] = None
    table: Annotated[str, says('Table name, or "dataset.table" for another dataset than the target\'s.')] = (
        "predictions"
    )
    columns: Annotated[
        str | dict[str, str | ColumnTable] | None,
        says(
            'Name and type of every column: "customer_id:STRING,label:BOOL", or a table. Matched by name.',
            default=REQUIRED,
        ),
    ] = None
    mode: Annotated[
        Mode,
        says(
            "replace the table, append (one run per date), or one partition (TABLE_latest shows the newest)."
        ),
    ] = "replace"
    partition: Annotated[
        str | None,
        says(
            "Column of the partition in mode partition; added with the run's date where it is not declared."
        ),
    ] = None
    granularity: Annotated[
        Granularity | None,
        says(
            "How much of time one partition holds; hour takes a TIMESTAMP column, the others a DATE.",
            default="day",
        ),
    ] = None
    cluster: Annotated[
        Annotated[tuple[str, ...], Meta(max_length=4)],
        says("Columns by which BigQuery sorts the table when it makes it, at most four."),
    ] = ()
    description: Annotated[str, says("What the table holds, for a warehouse that keeps it.")] = ""
    null: Annotated[
        tuple[str, ...],
        says('Texts that mean no value where they are a whole, unquoted cell of CSV: ["NA"].'),
    ] = ()
    extra: Annotated[
        Extra, says("What becomes of columns of the file that are not declared: a rejection, or nothing.")
    ] = "refuse"


class AirflowTable(Form, frozen=True, kw_only=True):
    """How Airflow schedules the action; what is Python (callbacks, deadlines) is an argument of dags() in dags.py."""

    catchup: Annotated[bool, says("Whether ticks that were missed since `start` are run.")] = False
    start: Annotated[
        str | None,
        says(
            'First date, "2026-01-01" or with a time, in the service\'s time zone.',
            default="the first tick after Airflow sees it",
        ),
    ] = None
    end: Annotated[str | None, says("Last date, as `start`.")] = None
    max_active_runs: Annotated[Annotated[int, Meta(ge=1, le=1000)], says("Runs at a time.")] = 1
    retries: Annotated[
        Count, says("How often a task is tried again: for capacity, credentials, a store; never the command.")
    ] = 2
    retry_delay: Annotated[Duration, says("Between two such tries.")] = "1m"
    pool: Annotated[str | None, says("Airflow pool of the tasks.")] = None
    queue: Annotated[str | None, says("Queue of the tasks, where the executor has queues.")] = None
    tags: Annotated[tuple[str, ...], says("Tags of the graph, beside the service's name.")] = ()
    owner: Annotated[str | None, says("Owner of the tasks, as Airflow shows it.")] = None
    paused: Annotated[
        bool | None,
        says("Whether it is paused when Airflow first sees it.", default="as Airflow is configured"),
    ] = None


class ActionTable(Form, frozen=True, kw_only=True):
    """A thing the model can do: training, application, or any other."""

    command: Annotated[
        str | tuple[str, ...] | None,
        says(
            "Program and arguments, as text (split as a shell would, but there is no shell) or as an array. "
            "Filled in: {action} {date} {interval_start} {interval_end} {run}.",
            default="python -m PACKAGE.main --action {action} [--config configs/{action}.json], "
            "if the source has exactly one package with a main",
        ),
    ] = None
    commands: Annotated[
        tuple[str | tuple[str, ...], ...] | None,
        says(
            "Several commands in its place, each as text or as an array: one after the other in one attempt, "
            "which the first that fails ends."
        ),
    ] = None
    schedule: Annotated[
        str | None,
        says(
            "Five cron fields in the service's time zone, or @hourly, @daily (@midnight), @weekly, @monthly, @yearly. "
            'Several times go into one line: "0 7,19 * * *".'
        ),
    ] = None
    overlap: Annotated[
        bool,
        says(
            "Whether `tick` starts what is due while another run of the action is open, instead of waiting for "
            "its end; Airflow has max_active_runs."
        ),
    ] = False
    after: Annotated[
        tuple[str, ...],
        says("Runs when all of these actions have succeeded; beside a schedule, then too."),
    ] = ()
    inputs: Annotated[
        tuple[str, ...] | dict[str, str],
        says(
            "Actions whose current model is put into the working directory before the command starts: where the "
            'action that made it wrote it, its `output`; as a table, {training = "models"}, into another directory. '
            "Triggers nothing."
        ),
    ] = ()
    output: Annotated[
        str,
        says(
            "Directory that the command writes to, empty when it starts. What is in it is kept, nothing else."
        ),
    ] = "output"
    timeout: Annotated[Duration, says("Time limit of the command.")] = "6h"
    retries: Annotated[Count, says("How often a command that failed is tried again.")] = 0
    losses: Annotated[Count, says("How often a machine that was lost is replaced.")] = 2
    env: Annotated[dict[str, str], says("Environment variables of this action.")] = {}
    secrets: Annotated[
        dict[str, str],
        says(
            "Environment variables, each with the version of the secret that holds its value, by Secret Manager's "
            "name for it; on this machine the variable of the same name is taken. Values are kept out of logs."
        ),
    ] = {}
    delivery: Annotated[DeliveryTable | None, says("Where the predictions go.")] = None
    airflow: Annotated[AirflowTable, says("How Airflow schedules it.")] = AirflowTable()


class SourceTable(Form, frozen=True, kw_only=True):
    """The model's code."""

    path: Annotated[
        str | None, says("Directory that is put on PYTHONPATH.", default='"source" if it is there, else "."')
    ] = None
    python: Annotated[
        str | bool | None,
        says(
            "Version of Python; false for no environment, where no command needs Python or all bring their own.",
            default=".python-version, then what the project asks for",
        ),
    ] = None
    requirements: Annotated[
        tuple[str, ...] | None,
        says(
            "What is installed: requirement files, lock files, projects, scripts with their own metadata.",
            default="the first that is there, see above",
        ),
    ] = None
    link: Annotated[
        tuple[str, ...],
        says(
            "Files and directories that are too large to copy: the working directory has a symlink to them, "
            "so a command can change the originals."
        ),
    ] = ()
    groups: Annotated[
        tuple[str, ...],
        says("Groups of dependencies, or extras, that are installed besides; of themselves none are."),
    ] = ()


class ImageTable(Form, frozen=True, kw_only=True):
    """How the service becomes a container image."""

    registry: Annotated[str | None, says("Registry and path that images are pushed to.")] = None
    base: Annotated[str, says("Image of the model's environment; {python} is its version.")] = (
        "python:{python}-slim"
    )
    agent_base: Annotated[str, says("Image of the agent, which has its own Python.")] = "python:3.11-slim"
    apt: Annotated[tuple[str, ...], says("Debian packages to install.")] = ()
    dockerfile: Annotated[str | None, says("A Dockerfile of your own, instead of the generated one.")] = None
    network: Annotated[str | None, says("Docker network of the build.")] = None


class TimesTable(Form, frozen=True, kw_only=True):
    """Durations of the run protocol; see docs/protocol.md before changing any."""

    beat: Annotated[Duration, says("Between two signs of life of an agent.")] = 10
    fence: Annotated[
        Duration, says("Without a sign of life written for so long, an agent ends its command.")
    ] = 300
    kill: Annotated[Duration, says("Between asking a command to end and killing it.")] = 15
    lease: Annotated[Duration, says("Silence after which an attempt is lost.")] = 400
    stale: Annotated[Duration, says("The same, if the platform does not find the machine either.")] = 60
    boot: Annotated[Duration, says("How long a machine may take until its agent begins.")] = 900
    poll: Annotated[Duration, says("Between two looks at a quiet run on a remote platform.")] = 12
    deliver: Annotated[Duration, says("How long a delivery is tried.")] = 900
    grace: Annotated[Duration, says("Added to the deadline of a machine.")] = 180


class TargetTable(Form, frozen=True, kw_only=True):
    """Where runs happen. `local` and `docker` are there without being declared."""

    store: Annotated[
        str | None,
        says(
            "Where runs are recorded: gs://…, s3://…, az://…, or a directory.",
            default=".foretell/store (not for machines elsewhere)",
        ),
    ] = None
    platform: Annotated[Free, says("What executes the command.")] = {}
    actions: Annotated[dict[str, Free], says("Keys of the platform, for one action.")] = {}
    warehouse: Annotated[
        Free,
        says(
            "Where predictions are delivered.",
            default="duckdb; bigquery where the platform is compute-engine",
        ),
    ] = {}
    times: Annotated[TimesTable, says("Durations of the run protocol.")] = TimesTable()


class ServiceTable(Form, frozen=True, kw_only=True):
    """A model wrapped for periodic work."""

    name: Annotated[
        str | None, says("Name of the service: a-z, 0-9 and -, beginning with a letter.", default=REQUIRED)
    ] = None
    version: Annotated[
        str, says("Generation of models: models and code of one version belong together. a-z, 0-9, . and -.")
    ] = "1"
    target: Annotated[str | None, says("The target that schedules use.")] = None
    timezone: Annotated[str, says("Time zone of schedules and partitions.")] = "UTC"
    extends: Annotated[str | None, says("Another service file: tables merge, the nearer file wins.")] = None
    source: Annotated[SourceTable, says("The model's code.")] = SourceTable()
    env: Annotated[dict[str, str], says("Environment variables of every action, on every platform.")] = {}
    env_file: Annotated[
        str | None,
        says(
            "File of more of them, NAME=value a line, read on this machine when an attempt begins; `env` wins over it. "
            "Its values are in no record and are kept out of logs. Not for machines elsewhere, which have `secrets`."
        ),
    ] = None
    actions: Annotated[dict[str, ActionTable], says("What the model can do, by name.")] = {}
    image: Annotated[ImageTable, says("How the service becomes a container image.")] = ImageTable()
    targets: Annotated[dict[str, TargetTable], says("Where runs happen, by name.")] = {}


def schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of foretell.toml, for editors."""
    kinds = (*PLATFORMS.values(), *WAREHOUSES.values())
    (root, *_), components = msgspec.json.schema_components(
        (ServiceTable, *kinds), schema_hook=lambda _free: ANY_VALUE, ref_template="#/$defs/{name}"
    )
    target = components["TargetTable"]["properties"]
    target["platform"] |= _one_of(PLATFORMS)
    target["actions"]["additionalProperties"] = _one_of(PLATFORMS)
    target["warehouse"] |= _one_of(WAREHOUSES)
    # What must be there may also stand in the file that is extended, so only the name is asked for.
    asked = [{"required": ["name"]}, {"required": ["extends"]}]
    tables = {name: _table(component) for name, component in components.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "foretell.toml",
        **root,
        "anyOf": asked,
        "$defs": tables,
    }


def _one_of(
    kinds: dict[str, type[PlatformSettings]] | dict[str, type[WarehouseSettings]],
) -> dict[str, object]:
    return {"type": "object", "anyOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in kinds.values()]}


def _table(component: dict[str, Any]) -> dict[str, object]:
    return {
        "type": "object",
        "description": component.get("description", ""),
        "properties": {name: _without_null(value) for name, value in component["properties"].items()},
        "additionalProperties": False,
    }


def _without_null(schema: dict[str, object]) -> dict[str, object]:
    """Leave null out: TOML has none, and a key without a value is one that is not there."""
    options = schema.get("anyOf")
    if isinstance(options, list):
        options = [option for option in options if option != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        schema = {**rest, **options[0]} if len(options) == 1 else {**rest, "anyOf": options}
    empty = schema.get("default") is None or isinstance(schema["default"], dict)
    return {key: value for key, value in schema.items() if key != "default" or not empty}
