"""
How a run is taken back: a person's word first, then the warehouse's ledger.

The word, `withdrawn.json`, decides. What the ledger says follows from it, by whoever comes: the one who withdrew, a
waiter, a janitor; `withdrawal.json` says that it is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from foretell.protocol.effects import Effects, Revoke, create, get
from foretell.protocol.keys import Run
from foretell.protocol.records import Outcome, Receipt, Request, Withdrawn
from foretell.protocol.steps import until_settled


def is_settled(run: Run) -> Effects[bool]:
    """Whether no rows of a run are in its table, nor may come there: it was rejected, superseded, or withdrawn."""
    receipt = (yield from get(run.withdrawal, Receipt)) or (yield from get(run.delivery, Receipt))
    return receipt is not None and receipt.state != "delivered"


def withdraw(run: Run, mine: Withdrawn) -> Effects[Withdrawn | None]:
    """Take a run back; gives the word that stands, None when the run has no outcome to take back."""
    if (yield from get(run.outcome, Outcome)) is None:
        return None
    yield from create(run.withdrawn, mine)
    return (yield from get(run.withdrawn, Withdrawn))


def revoke(
    request: Request, outcome: Outcome, *, clock: Callable[[], float], patience: float
) -> Effects[Receipt | None]:
    """
    Have the ledger say that a produced run is withdrawn, as often as it takes; None when patience ended.

    A run that was not delivered before is not delivered any more: its ledger row says so, and `delivery.json` after it.
    """
    run = request.run

    def settle() -> Effects[Receipt]:
        receipt = cast("Receipt", (yield Revoke(request, outcome)))
        yield from create(run.delivery, receipt)
        yield from create(run.withdrawal, receipt)
        return receipt

    return (yield from until_settled(run.withdrawal, settle, clock=clock, patience=patience))
