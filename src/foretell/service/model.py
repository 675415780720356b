"""
The service as frozen values: what foretell.toml says, with every default filled in.

Each field declares the key that fills it, for reading, schema and reference; see declaration.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct, field

from foretell.errors import UsageError
from foretell.service.declaration import RESOLVED, Seconds, Written, says
from foretell.service.delivery import Delivery
from foretell.service.kinds import PLATFORMS, WAREHOUSES, PlatformSettings, WarehouseSettings
from foretell.service.times import Times

SERVICE_FILE = "foretell.toml"
LOCK_FILE = "foretell.lock"

OUTPUT = "output"
"""The directory that a command writes to, where nothing else is said."""
Count: TypeAlias = Annotated[int, Meta(ge=0, le=1000)]
Free: TypeAlias = dict[str, object]
"""A table whose keys belong to a kind of platform or warehouse."""


class Input(Struct, frozen=True, kw_only=True):
    """The current model of `action`, put into `path` (relative to the working directory)."""

    action: str
    path: str


class AirflowSettings(Struct, frozen=True, kw_only=True):
    """
    How Airflow schedules the action; what is Python (callbacks, deadlines) is an argument of dags() in dags.py.

    `start` and `end` are RFC 3339 here.
    """

    catchup: Annotated[bool, says("Whether scheduled times missed since `start` are run.")] = False
    start: Annotated[
        str | None,
        says(
            'First date, "2026-01-01" or with a time, in the service\'s time zone.',
            default="the first tick after Airflow sees it",
        ),
    ] = None
    end: Annotated[str | None, says("Last date, as `start`.")] = None
    max_active_runs: Annotated[
        Annotated[int, Meta(ge=1, le=1000)], says("How many runs may be open at the same time.")
    ] = 1
    retries: Annotated[
        Count,
        says(
            "How often a task is retried, for example if capacity, credentials or the store fail; never the command."
        ),
    ] = 2
    retry_delay: Annotated[Seconds, says("Time between two such retries.")] = 60.0
    pool: Annotated[str | None, says("Airflow pool of the tasks.")] = None
    queue: Annotated[str | None, says("Queue of the tasks, where the executor has queues.")] = None
    tags: Annotated[tuple[str, ...], says("Tags of the DAG, in addition to the service's name.")] = ()
    owner: Annotated[str | None, says("Owner of the tasks, as Airflow shows it.")] = None
    paused: Annotated[
        bool | None,
        says("Whether the DAG is paused when Airflow first sees it.", default="as Airflow is configured"),
    ] = None


class Action(Struct, frozen=True, kw_only=True):
    """A thing the model can do: training, application, or any other."""

    name: Annotated[str, RESOLVED]
    command: Annotated[
        tuple[str, ...],
        Written(type=str | tuple[str, ...]),
        says(
            "Program and arguments, as text (split as a shell would, but there is no shell) or as an array. "
            "Filled in: {action} {date} {interval_start} {interval_end} {run}.",
            default="python -m PACKAGE.main --action {action} [--config configs/{action}.json], "
            "if the source has exactly one package with a main",
        ),
    ] = ()
    commands: Annotated[
        tuple[tuple[str, ...], ...],
        Written(type=tuple[str | tuple[str, ...], ...]),
        says(
            "Several commands instead of one, each as text or as an array. They run one after the other in one "
            "attempt; the first that fails ends it.",
            default="`command` alone",
        ),
    ] = ()
    """Two or more; `command` is then empty."""
    output: Annotated[
        str,
        says("Directory that the command writes to, empty when it starts. Only what is in it is kept."),
    ] = OUTPUT
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
        says("Runs when all of these actions have succeeded, in addition to its schedule if it has one."),
    ] = ()
    inputs: Annotated[
        tuple[Input, ...],
        Written(type=tuple[str, ...] | dict[str, str]),
        says(
            "Actions whose current model is put into the working directory before the command starts: where the "
            'action that made it wrote it, its `output`; as a table, {training = "models"}, into another directory. '
            "Triggers nothing."
        ),
    ] = ()
    timeout: Annotated[Seconds, says("Time limit of the command.")] = 6 * 3600.0
    retries: Annotated[Count, says("How often a failed command is retried.")] = 0
    losses: Annotated[Count, says("How often a lost machine is replaced.")] = 2
    env: Annotated[dict[str, str], says("Environment variables of this action.")] = field(
        default_factory=dict
    )
    secrets: Annotated[
        dict[str, str],
        says(
            "Environment variables, each with the version of the secret that holds its value, by Secret Manager's "
            "name for it; on this machine the variable of the same name is taken. Values are masked in logs."
        ),
    ] = field(default_factory=dict)
    delivery: Annotated[Delivery | None, says("Where the predictions go.")] = None
    airflow: Annotated[AirflowSettings, says("How Airflow schedules it.")] = AirflowSettings()

    @property
    def steps(self) -> tuple[tuple[str, ...], ...]:
        """Program and arguments of every command, in turn."""
        return self.commands or (self.command,)


class Source(Struct, frozen=True, kw_only=True):
    """The model's code."""

    path: Annotated[
        str, says("Directory that is put on PYTHONPATH.", default='"source" if it is there, else "."')
    ] = "."
    python: Annotated[
        str | None,
        Written(type=str | bool),
        says(
            "Version of Python; false for no environment, where no command needs Python or all bring their own.",
            default=".python-version, then what the project asks for",
        ),
    ] = None
    requirements: Annotated[
        tuple[str, ...],
        says(
            "What is installed: requirement files, lock files, projects, scripts with their own metadata.",
            default="the first that is there, see above",
        ),
    ] = ()
    locked: Annotated[str | None, RESOLVED] = None
    """The directory of a pyproject.toml with a uv.lock, which is then synced instead of `requirements`."""
    link: Annotated[
        tuple[str, ...],
        says(
            "Files and directories that are too large to copy: the working directory has a symlink to them, "
            "so a command can change the originals."
        ),
    ] = ()
    groups: Annotated[
        tuple[str, ...],
        says("Dependency groups or extras to install as well; by default none."),
    ] = ()
    """By their normalized names."""
    environment: Annotated[bool, RESOLVED] = True
    """Whether an environment of Python is made; if not, commands find what is on the PATH."""


class Image(Struct, frozen=True, kw_only=True):
    """How the service becomes a container image."""

    registry: Annotated[str | None, says("Registry and path that images are pushed to.")] = None
    base: Annotated[str, says("Image of the model's environment; {python} is its version.")] = (
        "python:{python}-slim"
    )
    agent_base: Annotated[str, says("Image of the agent, which has its own Python.")] = "python:3.11-slim"
    apt: Annotated[tuple[str, ...], says("Debian packages to install.")] = ()
    dockerfile: Annotated[str | None, says("A Dockerfile of your own, instead of the generated one.")] = None
    network: Annotated[str | None, says("Docker network of the build.")] = None
    agent_packages: Annotated[
        tuple[str, ...],
        says(
            "Distributions that the agent has besides, in the versions installed here: those that bring the kinds of "
            'platform and warehouse that are not Foretell\'s own, ["foretell-snowflake"].'
        ),
    ] = ()


class Target(Struct, frozen=True, kw_only=True):
    """Where runs happen. `local` and `docker` are there without being declared."""

    name: Annotated[str, RESOLVED]
    store: Annotated[
        str,
        says(
            "Where runs are recorded: gs://…, s3://…, az://…, or a directory.",
            default=".foretell/store (not for remote machines)",
        ),
    ]
    """A URL: file:///…, gs://… or s3://…."""
    platform: Annotated[
        PlatformSettings, Written(type=Free), says("What executes the command.", default='kind = "process"')
    ]
    warehouse: Annotated[
        WarehouseSettings,
        Written(type=Free),
        says(
            "Where predictions are delivered.",
            default="duckdb; bigquery where the platform is compute-engine",
        ),
    ]
    actions: Annotated[
        dict[str, PlatformSettings],
        Written(type=dict[str, Free]),
        says("Keys of the platform, for one action."),
    ] = field(default_factory=dict)
    """The platform as overridden for one action, complete."""
    times: Annotated[Times, says("Durations of the run protocol.")] = Times()

    def platform_of(self, action: str) -> PlatformSettings:
        return self.actions.get(action, self.platform)

    @property
    def platforms(self) -> list[PlatformSettings]:
        """Every platform that it uses, each once."""
        found: list[PlatformSettings] = []
        for settings in (self.platform, *self.actions.values()):
            if settings not in found:
                found.append(settings)
        return found

    @property
    def packages(self) -> list[str]:
        """The distributions that bring its kinds of platform and warehouse, where those are not Foretell's own."""
        found = (PLATFORMS.package(self.platform.kind), WAREHOUSES.package(self.warehouse.kind))
        return sorted({package for package in found if package})

    @property
    def needs_google(self) -> bool:
        """Whether an agent on it talks to Google, and so brings the libraries for it."""
        return self.store.startswith("gs://") or self.warehouse.needs_google or self.platform.google_identity


class Service(Struct, frozen=True, kw_only=True):
    """A model wrapped for periodic work."""

    name: Annotated[str, says("Name of the service: a-z, 0-9 and -, beginning with a letter.")]
    root: Annotated[Path, RESOLVED]
    """The directory of foretell.toml, absolute."""
    version: Annotated[
        str,
        says(
            "Generation of the service: models are only used by code of the same version. a-z, 0-9, . and -."
        ),
    ] = "1"
    target: Annotated[str | None, says("The target that schedules use.")] = None
    timezone: Annotated[str, says("Time zone of schedules and partitions.")] = "UTC"
    extends: Annotated[str | None, says("Another service file: tables merge, the nearer file wins.")] = None
    source: Annotated[Source, says("The model's code.")] = Source()
    env: Annotated[dict[str, str], says("Environment variables of every action, on every platform.")] = field(
        default_factory=dict
    )
    env_file: Annotated[
        str | None,
        says(
            "File with more of them, one NAME=value per line, read on this machine when an attempt begins; "
            "`env` wins over it. Its values are in no record and are masked in logs. "
            "Not for remote machines; use `secrets` there."
        ),
    ] = None
    """An absolute path."""
    actions: Annotated[dict[str, Action], says("What the model can do, by name.")] = field(
        default_factory=dict
    )
    image: Annotated[Image, says("How the service becomes a container image.")] = Image()
    targets: Annotated[dict[str, Target], says("Where runs happen, by name.")] = field(default_factory=dict)

    def action_named(self, name: str) -> Action:
        """Return an action; UsageError where there is none of this name."""
        if name not in self.actions:
            raise UsageError(f'unknown action "{name}"', hint=f"use one of: {', '.join(self.actions)}")
        return self.actions[name]

    def target_named(self, name: str) -> Target:
        """Return a target; UsageError where there is none of this name."""
        if name not in self.targets:
            raise UsageError(f'unknown target "{name}"', hint=f"use one of: {', '.join(self.targets)}")
        return self.targets[name]

    @property
    def not_code(self) -> list[str]:
        """Paths of the directory that are no code: the actions' output directories, and the env file, sorted."""
        found = {action.output for action in self.actions.values()}
        if self.env_file and Path(self.env_file).is_relative_to(self.root):
            found.add(Path(self.env_file).relative_to(self.root).as_posix())
        return sorted(found)
