"""What the settings of a kind of platform or warehouse answer, so that nobody else asks which kind it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import StructConfig

from foretell.errors import MissingKindError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

WORK = ".foretell"
"""Where a service's machines, store and warehouse are, unless it says otherwise."""
DATASET = re.compile(r"[A-Za-z0-9_]{1,128}")


class CloudLog(Struct, frozen=True, kw_only=True):
    """Where Google's Cloud Logging keeps what the machines of a platform print."""

    project: str
    location: str


class Defaults(Struct, frozen=True, kw_only=True):
    """What the values that are left out follow from. `path` resolves one that is relative to the service file."""

    service: str
    google_project: str | None = None
    path: Callable[[str], str]


class KindSettings:
    """
    The settings of one kind, as [targets.NAME.platform] or [targets.NAME.warehouse] has them.

    A kind is a frozen Struct of its keys that also inherits from PlatformSettings or WarehouseSettings; its tag is
    its name, its tag field "kind".
    """

    __slots__ = ()
    __struct_config__: ClassVar[StructConfig]

    @property
    def kind(self) -> str:
        """The name of the kind."""
        return tag(type(self))

    @classmethod
    def completed(cls, values: Mapping[str, object], defaults: Defaults) -> dict[str, object]:  # noqa: ARG003
        """Return the values of a service file with those filled in that depend on something."""
        return dict(values)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Return what no type says: keys, and what is wrong with the value of each in a sentence."""
        yield from ()


class PlatformSettings(KindSettings):
    """What the settings of every platform answer."""

    __slots__ = ()

    is_remote: ClassVar[bool] = False
    """Whether its machines are others than this one, and see none of its files."""
    runs_images: ClassVar[bool] = True
    """Whether attempts run in images; if not, in `directory`, from frozen sources."""
    google_identity: ClassVar[bool] = False
    """Whether its machines have a Google service account of their own, by which they get secrets."""
    usual_warehouse: ClassVar[str] = "duckdb"
    """The kind of warehouse of a target that names none."""

    @property
    def directory(self) -> Path | None:
        """Where on this machine its machines work and sources are frozen; None for one that runs images."""
        return None

    @property
    def architectures(self) -> Mapping[str, str]:
        """What to build images for, by machine type; empty where the engine that builds is the one that runs."""
        return {}

    @property
    def growths(self) -> int:
        """How often a larger machine can be taken after one that was out of memory."""
        return 0

    @property
    def spots(self) -> int:
        """How many machines may be taken away before one is asked for that is not."""
        return 0

    @property
    def google_project(self) -> str | None:
        """The project of Google's cloud that its machines are in."""
        return None

    @property
    def acts_as(self) -> str | None:
        """The service account by which whoever starts its machines acts, where that is not their own."""
        return None

    @property
    def cloud_log(self) -> CloudLog | None:
        """Where its machines write a copy of the log, if they do."""
        return None

    def connect(self) -> object:
        """Return the `platforms.base.Platform` of these settings, of a kind that another package brings."""
        raise NotImplementedError


class WarehouseSettings(KindSettings):
    """What the settings of every warehouse answer. `dataset` is that of tables declared without one."""

    __slots__ = ()

    dataset: str
    needs_google: ClassVar[bool] = False
    """Whether who delivers to it needs Google's libraries."""
    text_types: ClassVar[frozenset[str]] = frozenset()
    """The declared types whose values it takes as text in the checked Parquet files."""

    @property
    def google_project(self) -> str | None:
        """The project of Google's cloud that its tables are in, where it is named."""
        return None

    @property
    def google_location(self) -> str:
        """Where in Google's cloud a bucket belongs that it reads."""
        return "EU"

    @property
    def file(self) -> Path | None:
        """The file of this machine that it is, with others of its own beside it; None for a service."""
        return None

    def reads_store(self, store: str) -> bool:  # noqa: ARG002
        """Whether it reads the checked files in the store at this URL by itself."""
        return False

    def address(self, table: str) -> str:  # noqa: ARG002
        """Return a table's address in Airflow's own conventions; empty where a part of it is not known."""
        return ""

    def link(self, table: str, project: str | None) -> str:  # noqa: ARG002
        """Return the page where a person looks at a table, "" where there is none; `project` is its machines'."""
        return ""

    def connect(self, waits: Callable[[str], None]) -> object:
        """Return the `warehouses.base.Warehouse` of these settings, of a kind that another package brings."""
        raise NotImplementedError

    def _qualified(self, table: str) -> tuple[str, str]:
        """Return dataset and name of a table as it is declared."""
        dataset, _, name = table.rpartition(".")
        return dataset or self.dataset, name


def bad_dataset(name: str) -> Iterator[tuple[str, str]]:
    """Return the fault of a name that no dataset can have, for `faults`."""
    if not DATASET.fullmatch(name):
        yield "dataset", f'bad dataset name "{name}"; use A-Z, a-z, 0-9 and _'


S = TypeVar("S", bound=KindSettings)


class Kinds(Generic[S]):
    """
    The kinds of one noun by name: those that Foretell brings, and those that other packages bring by an entry point.

    What Foretell brings is put in by `foretell.platforms` and `foretell.warehouses`, and is found first.
    """

    def __init__(self, noun: str, base: type[S]) -> None:
        self._noun = noun
        self._base = base
        self._group = f"foretell.{noun}s"
        self._own: dict[str, type[S]] = {}
        self._brought: dict[str, Brought[S]] = {}

    def add(self, *kinds: type[S]) -> None:
        """Make kinds known that Foretell brings, each by its tag."""
        self._own |= {tag(kind): kind for kind in kinds}

    def all(self) -> dict[str, type[S]]:
        """Return every kind by name; what cannot be loaded is left out."""
        found = dict(self._own)
        for name in self.names():
            with suppress(MissingKindError):
                if kind := self.find(name):
                    found[name] = kind
        return found

    def names(self) -> list[str]:
        """Return the names of all kinds, Foretell's own first."""
        return list(dict.fromkeys([*self._own, *(entry.name for entry in self._entry_points())]))

    def find(self, name: str) -> type[S] | None:
        """Return the kind of this name; None where nobody brings it, MissingKindError where it cannot be loaded."""
        if not self._own:
            raise AssertionError(f"{self._group} must be imported before a kind is asked for")
        if name in self._own:
            return self._own[name]
        return brought.kind if (brought := self._bring(name)) else None

    def package(self, name: str) -> str | None:
        """Return the distribution that brings a kind; None where it is Foretell's own."""
        if name in self._own:
            return None
        return brought.package if (brought := self._bring(name)) else None

    def decoded(self, value: object) -> S:
        """Return the settings of a record, as their own kind reads them; MissingKindError where nobody brings it."""
        name = str(value.get("kind")) if isinstance(value, dict) else ""
        kind = self.find(name)
        if kind is None:
            raise MissingKindError(
                f'there is no {self._noun} of the kind "{name}" here',
                why=f'no package that is installed beside this Foretell brings "{name}"',
                hint=f"install the one that does: pip install foretell-{name}, if it is called as is usual",
            )
        return msgspec.convert(value, kind)

    def _entry_points(self) -> Iterable[EntryPoint]:
        # Loaded here: who uses what Foretell brings has no need to look through what is installed.
        from importlib.metadata import entry_points

        return entry_points(group=self._group)

    def _bring(self, name: str) -> Brought[S] | None:
        if name not in self._brought:
            for entry in self._entry_points():
                if entry.name == name:
                    self._brought[name] = self._loaded(entry)
        return self._brought.get(name)

    def _loaded(self, entry: EntryPoint) -> Brought[S]:
        package = entry.dist.name if entry.dist else entry.module
        try:
            kind = entry.load()
        except Exception as error:  # somebody else's code, which may raise anything
            raise MissingKindError(
                f'the {self._noun} "{entry.name}" cannot be loaded',
                where=package,
                why=f"{type(error).__name__}: {error}",
                hint=f"see what {package} needs: pip check",
            ) from error
        is_kind = isinstance(kind, type) and issubclass(kind, self._base) and issubclass(kind, Struct)
        if not is_kind or tag(kind) != entry.name:
            raise MissingKindError(
                f'"{entry.value}" is no {self._noun} of the kind "{entry.name}"',
                where=package,
                why=f'it is no Struct with {self._base.__name__} as a base and tag="{entry.name}"',
                hint=f"tell who makes {package}; docs/kinds.md says what a kind is",
            )
        return Brought(kind, package)


class Brought(NamedTuple, Generic[S]):
    """A kind of somebody else's, and the distribution that brings it."""

    kind: type[S]
    package: str


def tag(kind: type[KindSettings]) -> str:
    """Return the name of a kind."""
    return str(kind.__struct_config__.tag)


PLATFORMS: Kinds[PlatformSettings] = Kinds("platform", PlatformSettings)
WAREHOUSES: Kinds[WarehouseSettings] = Kinds("warehouse", WarehouseSettings)


def decoded(annotation: type, value: object) -> object:
    """Return a value that msgspec does not read by itself: the settings of whichever kind it says."""
    if annotation is PlatformSettings:
        return PLATFORMS.decoded(value)
    if annotation is WarehouseSettings:
        return WAREHOUSES.decoded(value)
    if annotation is object:  # any JSON, as the metrics of an outcome are
        return value
    raise NotImplementedError(annotation)
