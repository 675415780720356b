"""
The trigger of `wait`: watches one run until something is to be done about it.

It holds nothing but its arguments, so that another triggerer can begin it again: what was seen before is then not
known, and silence counts from there on (P9).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger, TriggerEvent

from foretell.airflow.compat import Report, find
from foretell.airflow.watch import Watch
from foretell.errors import CorruptError
from foretell.protocol import keys
from foretell.store import Store

SETTLING = 3.0
"""Seconds, beside a worker's heartbeat, in which Airflow may still take a fired trigger's task for one that died."""
UNWANTED = frozenset({"failed", "skipped", "removed", "upstream_failed"})
"""States of a task that ask for the end of its run; in every other the next try goes on with it, or a person does."""


class RunTrigger(BaseTrigger):
    """Fires when `next_step` of a run is not Wait. `store` is a URL, `run` the run's folder, `poll` seconds."""

    def __init__(self, store: str, run: str, poll: float, **_: object) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.store = store
        self.folder = run
        self.poll = poll

    def serialize(self) -> tuple[str, Report]:
        """Return what another triggerer needs to begin it again."""
        arguments = {"store": self.store, "run": self.folder, "poll": self.poll}
        return "foretell.airflow.trigger.RunTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch until something is to be done; what the run prints goes to the task's log meanwhile."""
        began = time.monotonic()
        try:
            event = await self._watch().until_due()
        except CorruptError as error:
            event = {"run": self.folder, "problem": error.what}  # the task reads it again, and tells
        # Airflow takes a task that is queued again before its deferral was heard of for one that died.
        settled = find("conf").getfloat("workers", "min_heartbeat_interval", fallback=5) + SETTLING
        await asyncio.sleep(max(0.0, settled - (time.monotonic() - began)))
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """
        End the run when its task is given up. Airflow 3.3 and newer call it; before, the task `stop` alone does it.

        It is also called where a task was cleared, and by a triggerer that stood still and lost the trigger to another.
        """
        state = await asyncio.to_thread(self._state_of_task)
        if state not in UNWANTED:
            self.log.info("the task is %s: its run is left alone", state)
            return
        outcome = await self._watch().cancel(f'the task "{self.task_id}" was marked {state}')
        self.log.info("the task is %s: its run is %s", state, outcome.kind)

    def _watch(self) -> Watch:
        return Watch(_store(self.store), keys.run_of(self.folder), self.poll, self.log.info)

    def _state_of_task(self) -> str | None:
        task: Any = self.task_instance
        states = RuntimeTaskInstance.get_task_states(
            dag_id=task.dag_id, task_ids=[task.task_id], run_ids=[task.run_id], map_index=task.map_index
        )
        found: str | None = states.get(task.run_id, {}).get(task.task_id)
        return found


@cache
def _store(url: str) -> Store:
    """Return a store, one for all triggers of this process: its connections are what costs."""
    return Store(url)
