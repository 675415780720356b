"""
Every problem Foretell can name.

ForetellError                 1   something the user can act on
├── UsageError                2   asked in a way that cannot be carried out
│   ├── ServiceFileError      2   foretell.toml is wrong; carries every fault at once
│   ├── UnknownRunError       2   no such run in the store
│   └── NoModelError          2   an input has no model yet
├── InfrastructureError       3   what Foretell stands on did not answer as it must
│   ├── StoreError            3   the object store cannot be read or written
│   │   ├── StoreRefusedError 3   ... and says that it will not be: permissions, read-only
│   │   └── StoreFullError    3   ... and has no room
│   ├── NoRoomError           3   the disk has no room for the copies that a run works on
│   ├── CorruptError          3   an object is not what its record says
│   ├── MissingKindError      3   nobody here brings the kind of platform or warehouse that a record names
│   ├── PlatformError         3   the machine could not be started or asked
│   │   └── RefusedError      3   ... and positively never will be, as asked
│   ├── ImageError            3   the image could not be built, pushed or found
│   ├── WarehouseError        3   the warehouse cannot be reached
│   ├── PatienceError         3   still open when patience ended
│   └── StreamError           3   standard output takes no more
├── EnvironmentFailedError    1   the model's environment could not be made
├── OutputError               1   an action kept nothing that others need, or has no place for an input
└── DeliveryRejectedError     5   the predictions are not what was declared

A ForetellError is printed without a traceback. Anything else is a bug, is printed with one, and
exits with 70. How a run ended is a value, not an exception: see `protocol.exit_code`.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class ForetellError(Exception):
    """
    Something the user can act on, told in up to four parts.

    what: one sentence, lower case, no full stop. where: file and line, object or machine.
    why: what was found. hint: the next step, a command where there is one.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(self.lines())

    @property
    def summary(self) -> str:
        """Return what and why in one line."""
        return f"{self.what}: {self.why}" if self.why else self.what

    def lines(self) -> list[str]:
        """Return the message as lines, the labelled parts only where they say something."""
        parts = (("where", self.where), ("why", self.why), ("next", self.hint))
        return [self.what, *(f"  {label}: {text}" for label, text in parts if text)]


class UsageError(ForetellError):
    """Asked in a way that cannot be carried out."""

    exit_code = 2


class ServiceFileError(UsageError):
    """foretell.toml is wrong. `faults` lists everything found, each with its own line and fix."""

    def __init__(self, what: str, *, faults: tuple[str, ...] = (), where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.faults = faults

    def lines(self) -> list[str]:
        first, *rest = super().lines()
        return [first, *(f"  {fault}" for fault in self.faults), *rest]


class UnknownRunError(UsageError):
    """No such run in the store."""


class NoModelError(UsageError):
    """An input of the action has no model as of the date."""


class InfrastructureError(ForetellError):
    """What Foretell stands on did not answer as it must."""

    exit_code = 3


class StoreError(InfrastructureError):
    """The object store cannot be read or written."""


class StoreRefusedError(StoreError):
    """The store says no: missing permission, read-only. Repeating alone does not help."""


class StoreFullError(StoreError):
    """The store has no room for what is to be written."""


class NoRoomError(InfrastructureError):
    """The disk of this machine has no room for the copies that a run works on."""


class CorruptError(InfrastructureError):
    """An object is not what its record says: cut, changed or unreadable."""


class MissingKindError(InfrastructureError):
    """A record names a kind of platform or warehouse that no package brings which is installed here."""


class PlatformError(InfrastructureError):
    """The machine could not be started or asked; it may or may not be there."""


class RefusedError(PlatformError):
    """
    The platform said no for certain (quota, permission, no such image): nothing was started.

    `reason` is its word for it, see `records.Reason`; `final` says that no further attempt can mend it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        why: str = "",
        hint: str = "",
        reason: str = "",
        final: bool = False,
    ) -> None:
        super().__init__(what, where=where, why=why, hint=hint)
        self.reason = reason
        self.final = final


class ImageError(InfrastructureError):
    """The image of a service could not be built, pushed or found."""


class WarehouseError(InfrastructureError):
    """The warehouse cannot be reached; nothing is known about the delivery."""


class PatienceError(InfrastructureError):
    """The run was still open when the patience of its waiter ended."""


class StreamError(InfrastructureError):
    """Standard output takes no more: there is no room where it leads, say."""

    def __init__(self, error: OSError) -> None:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        why = "" if full else error.strerror or str(error)
        super().__init__(
            "no space left on standard output" if full else "cannot write to standard output", why=why
        )


class EnvironmentFailedError(ForetellError):
    """The model's environment could not be made: no interpreter, or a package that does not install."""


class OutputError(ForetellError):
    """An action kept nothing, though others take its output as input; or an input has no place in its directory."""


class DeliveryRejectedError(ForetellError):
    """
    The predictions are not what was declared, or the warehouse refused them for good.

    `columns` is the line of foretell.toml that would declare what was written, where that is another.
    """

    exit_code = 5
    columns: str = ""

    def lines(self) -> list[str]:
        return [*super().lines(), *([f"  {self.columns}"] if self.columns else [])]
