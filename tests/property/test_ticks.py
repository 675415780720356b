"""Whatever happens between ticks: no runs overlap, no due tick is lost, and every end is told."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.controller.survey import Memory, acknowledge, ended_since
from foretell.controller.tick import tick
from foretell.protocol import keys
from foretell.protocol.effects import get
from foretell.protocol.keys import Run
from foretell.protocol.records import Told
from foretell.protocol.rules import Phase
from foretell.service import schedule
from tests.support.past import NOON, Past

SERVICE = """
    name = "toy"
    [actions.quick]
    command = "true"
    schedule = "*/10 * * * *"
    [actions.slow]
    command = "true"
    schedule = "0 * * * *"
    [actions.both]
    command = "true"
    schedule = "*/30 * * * *"
    overlap = true
"""
ACTIONS = ("quick", "slow", "both")
ENDS = ("produced", "failed", "lost", "cancelled", "timeout")
MOMENT = timedelta(milliseconds=1)

events = st.lists(
    st.tuples(
        st.sampled_from(["tick", "tick", "tick", "start", "backdate", "end", "end", "see", "crash"]),
        st.sampled_from(ACTIONS),
        st.sampled_from(ENDS),
        st.integers(0, 45),
    ),
    min_size=5,
    max_size=40,
)


def free(past: Past, action: str, date: datetime) -> int:
    run = Run("toy", past.service.version, action, date, 1)
    while past.store.is_there() and past.store.get(run.request):
        run = run._replace(n=run.n + 1)
    return run.n


class History:
    """A service on a clock of its own, and what a person would hold against `tick`."""

    def __init__(self, root: Path) -> None:
        self.past = Past(root, SERVICE)
        self.controller = self.past.unstarted
        self.at = NOON
        self.memory = Memory()
        self.first: datetime | None = None
        self.open: list[Run] = []
        self.untold: set[Run] = set()
        self.begun: set[tuple[str, datetime]] = set()

    def start(self, action: str, date: datetime) -> None:
        self.open.append(
            self.past.add(date, "running", action=action, key=keys.nonce(), n=free(self.past, action, date))
        )

    def end(self, kind: str) -> Run | None:
        if not self.open:
            return None
        run = self.open.pop(0)
        self.past._decide(run, kind, self.at)
        self.untold.add(run)
        return run

    def tick(self, *, crash: bool = False) -> None:
        before = {run.action for run in self.open}
        found = tick(self.controller, self.at, memory=self.memory)
        self.first = self.first or self.at
        for one in found.done:
            if one.new and one.run:
                assert one.due.action == "both" or one.due.action not in before, "it overlaps"
                self.open.append(one.run)
        self.must_have_begun()
        if crash:
            return  # before anything was told or remembered
        told = {one.run for one in [*found.found.ended, *ended_since(self.controller, found.found)]}
        assert told == self.untold
        for run in told:
            acknowledge(self.controller, run, "tick")
        self.untold -= told

    def must_have_begun(self) -> None:
        """Of every action the newest due tick has been started, or waits for a run that is open."""
        assert self.first
        for action in ACTIONS:
            line = self.past.service.actions[action].schedule
            assert line
            due = schedule.previous(line, "UTC", self.at)
            run = Run("toy", "1", action, due, 1)
            key = keys.key(action, due)
            started = False
            while self.past.store.get(run.request):
                started = started or self.controller.request(run).key == key
                run = run._replace(n=run.n + 1)
            if due <= self.first:
                assert not started, "it was due before it was seen"
            else:
                waits = action != "both" and any(one.action == action for one in self.open)
                assert started or waits, "a due tick is lost"


@settings(max_examples=20, deadline=None, database=None)
@given(events=events)
def test_no_overlap_no_lost_tick_and_no_untold_end(events: list[tuple[str, str, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        history = History(Path(place, "service"))
        for what, action, kind, minutes in [*events, *[("end", "", "failed", 1)] * 5, ("tick", "", "", 60)]:
            history.at += timedelta(minutes=minutes) + MOMENT
            match what:
                case "tick" | "crash":
                    history.tick(crash=what == "crash")
                case "start":
                    history.start(action, history.at)
                case "backdate":
                    history.start(action, history.at - timedelta(days=minutes))
                case "end":
                    history.end(kind)
                case "see":
                    if run := history.end(kind):
                        acknowledge(history.controller, run, "run")
                        history.untold.discard(run)
        assert history.untold == set()
        for run in history.open:
            assert history.controller.check(run).phase is Phase.RUNNING
            assert history.controller.execute(get(run.told, Told)) is None
