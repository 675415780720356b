"""What a waiter says whose patience has ended."""

from __future__ import annotations

from foretell.errors import PatienceError
from foretell.protocol.keys import Run
from foretell.protocol.reconciler import Reconciler
from foretell.protocol.rules import Phase

UNTOLD = 'the run "{}" is withdrawn, and its table does not know it yet'
GOES_ON = "`foretell wait {}` goes on with it, and so does `foretell tidy`"


def out_of_patience(run: Run, witness: Reconciler) -> PatienceError:
    """Return the error that says what a run is still waiting for."""
    state = witness.state
    if witness.receipt_due and witness.records.withdrawn:
        return PatienceError(
            UNTOLD.format(run.label), why="the warehouse does not answer", hint=GOES_ON.format(run.label)
        )
    if witness.receipt_due or state.phase is Phase.DELIVERING:
        return PatienceError(
            f'the run "{run.label}" has produced its rows, and they are not delivered yet',
            why="the warehouse does not answer",
            hint=f"when it does, `foretell wait {run.label}` goes on with it",
        )
    unclear = f"; {witness.seen.unclear}" if witness.seen.unclear else ""
    why = (
        f"the store does not answer: {witness.trouble.why}"
        if witness.trouble
        else f"it is {state.phase}{unclear}"
    )
    return PatienceError(
        f'the run "{run.label}" is still open', why=why, hint=f"look again: `foretell wait {run.label}`"
    )
