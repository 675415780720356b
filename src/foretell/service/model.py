"""The service as frozen values: what foretell.toml says, with every default filled in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct, field

SERVICE_FILE = "foretell.toml"
LOCK_FILE = "foretell.lock"


class Column(Struct, frozen=True, kw_only=True):
    """
    One column of the delivered table.

    `source` is the file's column it is taken from (`from` in the file): a name, or "@date", "@run",
    "@model" for the run's date in the service's time zone, its id, the run id of its first input.
    `type` is a BigQuery type name in upper case: STRING, INT64, FLOAT64, NUMERIC, BOOL, DATE, ...
    """

    name: str
    type: str
    mode: Literal["NULLABLE", "REQUIRED"] = "NULLABLE"
    source: str
    description: str = ""


TYPES: dict[str, str] = {
    "STRING": "VARCHAR",
    "BYTES": "BLOB",
    "INT64": "BIGINT",
    "INTEGER": "BIGINT",
    "INT": "BIGINT",
    "FLOAT64": "DOUBLE",
    "FLOAT": "DOUBLE",
    "NUMERIC": "DECIMAL(38,9)",
    "DECIMAL": "DECIMAL(38,9)",
    "BIGNUMERIC": "DECIMAL(38,18)",
    "BIGDECIMAL": "DECIMAL(38,18)",
    "BOOL": "BOOLEAN",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIME": "TIME",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "JSON": "JSON",
}
"""The column types that can be declared: BigQuery's names and synonyms, and DuckDB's name for each."""


RESERVED = re.compile(
    r"_TABLE_|_FILE_|_PARTITION|_ROW_TIMESTAMP|__ROOT__|_COLIDENTIFIER|_CHANGE_(?:TYPE|TIMESTAMP|SEQUENCE_NUMBER)$",
    re.IGNORECASE,
)
"""How the names of columns begin that BigQuery keeps for itself; the last are whole names."""

Mode: TypeAlias = Literal["replace", "append", "partition"]
Granularity: TypeAlias = Literal["day", "hour", "month"]
Extra: TypeAlias = Literal["refuse", "ignore"]


class Delivery(Struct, frozen=True, kw_only=True):
    """
    Which file of an action's output becomes rows of which table.

    `file` is a path or glob in the output directory. `table` is "name" or "dataset.name". `partition`
    names the DATE (granularity day, month) or TIMESTAMP (hour) column of mode "partition"; it is always
    one of `columns` (with source "@date" where the file lacks it), and None in the other modes. `cluster` and
    `description` are for warehouses that know such things. `null` are the texts that mean no value as whole, unquoted
    cells of CSV, beside the empty one; `extra` is what becomes of columns of the file that are not declared.
    """

    file: str
    table: str
    columns: tuple[Column, ...]
    mode: Mode = "replace"
    partition: str | None = None
    granularity: Granularity = "day"
    cluster: tuple[str, ...] = ()
    description: str = ""
    null: tuple[str, ...] = ()
    extra: Extra = "refuse"


class Input(Struct, frozen=True, kw_only=True):
    """The current model of `action`, put into `path` (relative to the working directory)."""

    action: str
    path: str


class AirflowSettings(Struct, frozen=True, kw_only=True):
    """
    How Airflow schedules an action. `start` and `end` are RFC 3339, `retry_delay` is seconds.

    `retries` are of Airflow's tasks, for what fails around the command; how often the command is tried is the action's.
    """

    catchup: bool = False
    start: str | None = None
    end: str | None = None
    max_active_runs: int = 1
    retries: int = 2
    retry_delay: float = 60
    pool: str | None = None
    queue: str | None = None
    tags: tuple[str, ...] = ()
    owner: str | None = None
    paused: bool | None = None
    """Whether the graph is paused when Airflow first sees it; None for Airflow's own default."""


class Action(Struct, frozen=True, kw_only=True):
    """A thing the model can do. Times are seconds; `retries` counts failed commands, `losses` lost machines."""

    name: str
    command: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    """Two or more in its place, which is then empty: one after the other, as far as each succeeds."""
    output: str = "output"
    schedule: str | None = None
    overlap: bool = False
    """Whether `tick` starts a due run while another one is open."""
    after: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    timeout: float = 6 * 3600
    retries: int = 0
    losses: int = 2
    env: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    delivery: Delivery | None = None
    airflow: AirflowSettings = AirflowSettings()

    @property
    def steps(self) -> tuple[tuple[str, ...], ...]:
        """Program and arguments of every command, in turn."""
        return self.commands or (self.command,)


class Source(Struct, frozen=True, kw_only=True):
    """Where the model's code is, relative to the service's directory, and what it needs to run."""

    path: str = "."
    python: str | None = None
    requirements: tuple[str, ...] = ()
    locked: str | None = None
    """The directory of a pyproject.toml with a uv.lock, which is then synced instead of `requirements`."""
    link: tuple[str, ...] = ()
    """Files and directories that a working directory has a symlink to, and no copy of; on this machine only."""
    groups: tuple[str, ...] = ()
    """Groups of dependencies that are installed besides, by their normalized names."""
    environment: bool = True
    """Whether an environment of Python is made; if not, commands find what is on the PATH."""


class Image(Struct, frozen=True, kw_only=True):
    """How the service becomes an image."""

    registry: str | None = None
    base: str = "python:{python}-slim"
    agent_base: str = "python:3.11-slim"
    apt: tuple[str, ...] = ()
    dockerfile: str | None = None
    network: str | None = None


class ProcessSettings(Struct, frozen=True, kw_only=True, tag="process", tag_field="kind"):
    """A child process on this machine. `home` is where its machines work: absolute once loaded."""

    elsewhere: ClassVar[bool] = False
    """Whether its machines are others than this one, and see none of its files."""
    home: Annotated[str, Meta(description="Where its machines work. Default: .foretell.")] = ""


class DockerSettings(Struct, frozen=True, kw_only=True, tag="docker", tag_field="kind"):
    """A container on this machine. `memory` and `cpus` as `docker run` takes them."""

    elsewhere: ClassVar[bool] = False
    """Whether its machines are others than this one, and see none of its files."""
    memory: Annotated[str | None, Meta(description='Limit of memory, as `docker run` takes it: "4g".')] = None
    cpus: Annotated[Annotated[float, Meta(gt=0)] | None, Meta(description="Limit of processors.")] = None
    gpus: Annotated[str | None, Meta(description='Graphics cards, as `docker run` takes them: "all".')] = None
    network: Annotated[str | None, Meta(description="Docker network of the container.")] = None
    volumes: Annotated[tuple[str, ...], Meta(description='Mounts: "/on/host:/in/container:ro".')] = ()
    env: Annotated[dict[str, str], Meta(description="Environment variables of the container.")] = field(
        default_factory=dict
    )
    google_credentials: Annotated[
        bool, Meta(description="Whether this user's application default credentials are mounted.")
    ] = False


class ComputeEngineSettings(Struct, frozen=True, kw_only=True, tag="compute-engine", tag_field="kind"):
    """One virtual machine per attempt; keys as gcloud names them. `disk_size` in GB."""

    elsewhere: ClassVar[bool] = True
    """Whether its machines are others than this one, and see none of its files."""
    project: Annotated[str, Meta(description="Cloud project of the machines. Default: none, it is required.")]
    zones: Annotated[
        tuple[str, ...], Meta(description="Zones to try. Default: none, it is required.", min_length=1)
    ]
    machine_type: Annotated[
        str | Annotated[tuple[str, ...], Meta(min_length=1)],
        Meta(description="Machine type; of a list, the next is taken after out of memory."),
    ] = "n1-standard-1"
    network: Annotated[str | None, Meta(description="Network of the machine.")] = None
    subnet: Annotated[str | None, Meta(description="Subnet of the machine.")] = None
    external_ip: Annotated[bool, Meta(description="Whether it has an address on the internet.")] = True
    service_account: Annotated[str | None, Meta(description="Service account the machine runs as.")] = None
    impersonate: Annotated[str | None, Meta(description="Service account that makes the machine.")] = None
    labels: Annotated[dict[str, str], Meta(description="Its labels.")] = field(default_factory=dict)
    tags: Annotated[tuple[str, ...], Meta(description="Its network tags.")] = ()
    disk_size: Annotated[int, Meta(description="Size of the boot disk in GB.", ge=10, le=65536)] = 20
    accelerators: Annotated[dict[str, int], Meta(description="Their number by type.")] = field(
        default_factory=dict
    )
    spot: Annotated[bool, Meta(description="Whether it is cheaper and preemptible.")] = False
    preemptions: Annotated[
        int, Meta(description="How many Spot machines are taken away before a standard one.", ge=1, le=100)
    ] = 2
    body: Annotated[
        dict[str, object], Meta(description="Merged into the insert request, but for the leak guards.")
    ] = field(default_factory=dict)

    @property
    def machine_types(self) -> tuple[str, ...]:
        """The types to take, the next after out of memory."""
        return (self.machine_type,) if isinstance(self.machine_type, str) else self.machine_type


PlatformSettings: TypeAlias = ProcessSettings | DockerSettings | ComputeEngineSettings


class DuckDBSettings(Struct, frozen=True, kw_only=True, tag="duckdb", tag_field="kind"):
    """A DuckDB file; `path` is absolute once loaded."""

    path: Annotated[
        str, Meta(description="The database file, from foretell.toml. Default: .foretell/warehouse.duckdb.")
    ]
    dataset: Annotated[str, Meta(description="Schema of tables declared without one.")] = "main"


class BigQuerySettings(Struct, frozen=True, kw_only=True, tag="bigquery", tag_field="kind"):
    """A BigQuery dataset. `project` is None for the platform's own or the credentials' project."""

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


WarehouseSettings: TypeAlias = DuckDBSettings | BigQuerySettings


EXACT = 1e-6
"""Seconds: 6 x 0.2 is more than 1.2 to a computer, and not to us."""


class Times(Struct, frozen=True, kw_only=True):
    """
    The durations of the protocol, in seconds; see docs/protocol.md. Each side measures them by its own clock.

    They hold only together: `faults` names the inequalities that a set of them breaks.
    """

    beat: float = 10
    fence: float = 300
    kill: float = 15
    lease: float = 400
    stale: float = 60
    boot: float = 900
    poll: float = 12
    deliver: float = 900
    grace: float = 180

    def deadline(self, timeout: float) -> float:
        """Seconds after which a machine whose command may run for `timeout` is ended, whatever it is doing."""
        return self.boot + timeout + self.kill + self.deliver + self.grace

    def scaled(self, factor: float) -> Times:
        """All durations times one factor."""
        return Times(**{name: getattr(self, name) * factor for name in self.__struct_fields__})

    def faults(self) -> list[str]:
        """Return what is wrong with these durations, one sentence each; an empty list for a sound set."""
        least = {
            "stale must be at least 6 x beat, else a slow write looks like silence": (
                self.stale,
                6 * self.beat,
            ),
            "lease must be at least stale": (self.lease, self.stale),
            "fence must be at least 3 x beat, else one lost beat ends the command": (
                self.fence,
                3 * self.beat,
            ),
            "boot must be at least 3 x poll, else a machine is given up unseen": (self.boot, 3 * self.poll),
            "lease must be larger than 1.02 x (fence + beat / 5 + kill), else a command may outlive its loss": (
                self.lease / 1.02 - self.kill,
                self.fence + self.beat / 5 + EXACT,
            ),
        }
        found = [rule for rule, (given, least) in least.items() if given < least - EXACT / 2]
        if min(getattr(self, name) for name in self.__struct_fields__) <= 0:
            found.insert(0, "every duration must be positive")
        return found


class Target(Struct, frozen=True, kw_only=True):
    """Where runs happen. `store` is a URL: file:///…, gs://… or s3://…."""

    name: str
    store: str
    platform: PlatformSettings
    warehouse: WarehouseSettings
    actions: dict[str, PlatformSettings] = field(default_factory=dict)
    """The platform as overridden for one action, complete."""
    times: Times = Times()

    def platform_of(self, action: str) -> PlatformSettings:
        return self.actions.get(action, self.platform)


class Service(Struct, frozen=True, kw_only=True):
    """A model wrapped for periodic work. `root` is the directory of foretell.toml, absolute."""

    name: str
    root: Path
    version: str = "1"
    target: str | None = None
    timezone: str = "UTC"
    source: Source
    env: dict[str, str] = field(default_factory=dict)
    env_file: str | None = None
    """The absolute path of a file of environment variables on this machine."""
    actions: dict[str, Action]
    image: Image
    targets: dict[str, Target]

    @property
    def not_code(self) -> list[str]:
        """Paths of the directory that are no code: the actions' output directories, and the env file, sorted."""
        found = {action.output for action in self.actions.values()}
        if self.env_file and Path(self.env_file).is_relative_to(self.root):
            found.add(Path(self.env_file).relative_to(self.root).as_posix())
        return sorted(found)
