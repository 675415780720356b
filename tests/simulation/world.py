"""
A faulty world in virtual time: processes whose talks are the product's own, and an object store they share.

One step is one request of one process; its effect and its answer are separate events. Six things can befall a
request, see `Fault`. What goes wrong is chance of a seed, or a script: this request meets that fault.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

from foretell.errors import ForetellError, StoreError
from foretell.protocol.effects import Create, Folders, Get, Probe, Put, Sleep
from foretell.service.times import Times

Talk: TypeAlias = Generator[Any, Any, Any]

REQUEST_LIMIT = 20.0
"""Seconds a client waits for an answer."""
LATENCIES = (0.05, 0.2, 0.5, 1.0, 3.0)


class Fault(IntEnum):
    """What can befall a request."""

    NONE = 0
    LOST_ANSWER = 1
    NOT_APPLIED = 2
    APPLIED_LATE = 3
    STANDS_STILL = 4
    CRASH_BEFORE = 5
    CRASH_AFTER = 6


STEADY = (Fault(1), Fault(1), Fault(2), Fault(3), Fault(4))
MORTAL = (*STEADY, Fault(3), Fault(4), Fault(5), Fault(6))


class Hazards(NamedTuple):
    """What the world does besides the faults of requests: probabilities, and times in seconds."""

    platform: str = "vm"
    """"vm": gone is a guess, machines have a deadline. "process": a probe is certain and nothing lies."""
    fault: float = 0.0
    commit_fault: float = 0.0
    """What a warehouse's commit suffers on top."""
    duplicate: float = 0.0
    hang: float = 0.0
    cut: float = 0.0
    """An agent is cut off from the store."""
    cut_for_ever: bool = False
    pause: float = 0.0
    preempt: float = 0.0
    told: float = 0.0
    """A host has the time to say that its machine is taken away."""
    regret: float = 0.0
    """Somebody takes runs back."""
    hungry: int = 0
    """So many of a run's machines are too small for its command."""
    probe_error: float = 0.0
    probe_lie: float = 0.0
    stop_fails: bool = False
    restart: bool = True
    """Waiters and starts that die are started again."""
    refused_until: float = -1.0
    rejected_until: float = -1.0
    store_down: tuple[tuple[float, float], ...] = ()
    warehouse_down: tuple[tuple[float, float], ...] = ()
    poll: float = 15.0
    boots: tuple[float, ...] = (2, 20, 60, 200)
    """Seconds from a machine to its agent."""
    relayed: bool = False
    """Waiters only look; what they come to is done by another, later: a scheduler's trigger and its task."""


class Rules(NamedTuple):
    """The rules that live outside of the protocol's own modules; a mutant leaves one out."""

    self_fencing: bool = True
    quiet_host: bool = True
    lock_row: bool = True
    ledger_inside: bool = True
    rejection_in_ledger: bool = True
    withdrawn_free: bool = True


RULES = Rules()


class Process:
    """A process of ours with a clock of its own; `kind` says what it is for."""

    def __init__(self, world: World, name: str, kind: str) -> None:
        self.world = world
        self.name = name
        self.kind = kind
        self.alive = True
        self.paused_until = 0.0
        self.ever_paused = False
        self.ever_cut = False
        self.shipped = False
        """It has asked a warehouse to deliver, or to take back."""
        self.returned = False
        """Its talk came to its end."""
        self.again: Callable[[], None] | None = None
        """Does over what this process was for."""
        self.cuts: list[tuple[float, float]] = []
        self.rate = world.drift()

    def local(self) -> float:
        return self.world.now * self.rate

    def mint(self) -> str:
        return f"{self.name.replace('-', '_')}.{next(self.world.nonces)}"

    def pause(self, seconds: float) -> None:
        self.paused_until = self.world.now + seconds
        self.ever_paused = True

    def die(self) -> None:
        """Stop at once, and let those who watch processes know."""
        self.alive = False
        self.world.say(self.name, "ends")
        self.world.ended(self)


class Task:
    """One thread of a process: a talk, and above it those it waits for."""

    __slots__ = ("done", "process", "stack")

    def __init__(self, process: Process, talk: Talk, done: Callable[[Any], None] | None) -> None:
        self.process = process
        self.stack = [talk]
        self.done = done


class Watcher(Protocol):
    """Who sees everything that is written, and what is read of it."""

    def wrote(self, process: Process, key: str, data: bytes) -> None: ...

    def served(self, process: Process, key: str, *, found: bool) -> None: ...

    def escaped(self, process: Process, error: ForetellError) -> None: ...


class World:
    """Virtual time, the processes in it, and the object store they share."""

    watcher: Watcher

    def __init__(
        self,
        seed: int,
        hazards: Hazards,
        rules: Rules,
        times: Times,
        script: Mapping[int, Fault] | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.hazards = hazards
        self.rules = rules
        self.times = times
        self.script = script
        self.now = 0.0
        self.steps = 0
        self.calm = False
        """Nothing goes wrong any more."""
        self.points: list[tuple[str, str]] = []
        """Every request so far, by process and what it asks."""
        self.trace: list[str] | None = None
        self.stats: Counter[str] = Counter()
        self.store: dict[str, bytes] = {}
        self.on_end: dict[str, Callable[[Any], None]] = {}
        self.nested: dict[type, Callable[[Any, Any], Talk]] = {}
        self.requests: dict[type, tuple[Callable[[Any, Any], object], type[ForetellError]]] = {
            Get: (self._get, StoreError),
            Folders: (self._folders, StoreError),
            Create: (self._create, StoreError),
            Put: (self._put, StoreError),
        }
        self.risks: dict[type, float] = {}
        """Probabilities of a fault on top of every request's."""
        self.reads: set[type] = {Get, Folders, Probe}
        self.nonces = itertools.count()
        self._events: list[tuple[float, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._order = itertools.count()

    # --- time and chance -----------------------------------------------------------------------------------

    def at(self, when: float, what: Callable[..., Any], *arguments: object) -> None:
        heapq.heappush(self._events, (when, next(self._order), what, arguments))

    def after(self, seconds: float, what: Callable[..., Any], *arguments: object) -> None:
        self.at(self.now + seconds, what, *arguments)

    def run(self, until: float) -> None:
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, what, arguments = heapq.heappop(events)
            what(*arguments)
        self.now = until

    def drift(self) -> float:
        return 1.0 if self.script is not None else self.rng.uniform(0.99, 1.01)

    def latency(self) -> float:
        return 0.5 if self.script is not None else LATENCIES[int(self.rng.random() * 5)]

    def pick(self, scripted: float, *likely: float) -> float:
        """Give one of the likely durations, or the scripted one where nothing is left to chance."""
        return scripted if self.script is not None else self.rng.choice(likely)

    def happens(self, probability: float) -> bool:
        return self.script is None and not self.calm and self.rng.random() < probability

    def stamp(self) -> str:
        """The time as records carry it."""
        return f"{self.now:08.1f}"

    def say(self, who: str, *what: object) -> None:
        if self.trace is not None:
            self.trace.append(f"{self.now:8.1f}  {who:<12} {' '.join(map(str, what))}")

    # --- processes and their talks -------------------------------------------------------------------------

    def spawn(self, process: Process, talk: Talk, done: Callable[[Any], None] | None = None) -> None:
        self.after(0, self._resume, Task(process, talk, done))

    def ended(self, process: Process) -> None:
        end = self.on_end.get(process.kind)
        if end:
            end(process)

    def _resume(self, task: Task, answer: object = None, error: ForetellError | None = None) -> None:
        process = task.process
        if not process.alive:
            return
        if process.paused_until > self.now:
            self.at(process.paused_until, self._resume, task, answer, error)
            return
        self.steps += 1
        wish = self._advance(task, answer, error)
        if wish is None or not process.alive:
            return
        if type(wish) is Sleep:
            self.at(self.now + wish.seconds / process.rate, self._resume, task)
        else:
            self._request(task, wish)

    def _advance(self, task: Task, answer: object, error: ForetellError | None) -> Any:
        """Let the talk go on to its next wish; None when it has ended."""
        stack = task.stack
        while stack:
            try:
                wish = stack[-1].throw(error) if error else stack[-1].send(answer)
            except StopIteration as end:
                stack.pop()
                answer, error = end.value, None
            except ForetellError as failure:
                stack.pop()
                answer, error = None, failure
            else:
                nested = self.nested.get(type(wish))
                if nested is None:
                    return wish
                stack.append(nested(task.process, wish))
                answer, error = None, None
        if error:
            self.watcher.escaped(task.process, error)
            task.process.die()
        elif task.done:
            task.done(answer)
        return None

    # --- requests and what befalls them --------------------------------------------------------------------

    def _request(self, task: Task, wish: Any) -> None:
        process = task.process
        fault = self._fault(process, wish)
        if fault:
            self.stats["faults"] += 1
            self.say(process.name, "FAULT", fault.name.lower().replace("_", " "), _told(wish))
        if fault is Fault.CRASH_BEFORE:
            process.die()
        elif fault is Fault.NOT_APPLIED or fault is Fault.APPLIED_LATE:
            if fault is Fault.APPLIED_LATE and type(wish) not in self.reads:
                late = 120.0 if self.script is not None else self.rng.uniform(REQUEST_LIMIT, 500)
                self.after(late, self._perform, process, wish)
            self.after(REQUEST_LIMIT, self._resume, task, None, self._silence(wish))
        else:
            self.after(self.latency(), self._effect, task, wish, fault)

    def _fault(self, process: Process, wish: Any) -> Fault:
        if self.calm:
            return Fault.NONE
        if self.script is not None:
            self.points.append((process.name, _told(wish)))
            return self.script.get(len(self.points) - 1, Fault.NONE)
        if self.rng.random() >= self.hazards.fault + self.risks.get(type(wish), 0.0):
            return Fault.NONE
        return self.rng.choice(MORTAL if process.kind != "other" else STEADY)

    def _effect(self, task: Task, wish: Any, fault: Fault) -> None:
        answer, error = self._perform(task.process, wish)
        delay = self.latency()
        if fault is Fault.CRASH_AFTER:
            if task.process.alive:
                task.process.die()
            return
        if fault is Fault.LOST_ANSWER:
            answer, error, delay = None, self._silence(wish), REQUEST_LIMIT
        elif fault is Fault.STANDS_STILL:
            task.process.pause(250.0 if self.script is not None else self.rng.uniform(20, 700))
        self.after(delay, self._resume, task, answer, error)

    def _perform(self, process: Process, wish: Any) -> tuple[object, ForetellError | None]:
        try:
            return self.requests[type(wish)][0](process, wish), None
        except ForetellError as error:
            return None, error

    def _silence(self, wish: Any) -> ForetellError:
        return self.requests[type(wish)][1]("there is no answer")

    # --- the object store ----------------------------------------------------------------------------------

    def store_is_down(self) -> bool:
        return any(a <= self.now < b for a, b in self.hazards.store_down) and not self.calm

    def write(self, process: Process, key: str, data: bytes) -> None:
        self.watcher.wrote(process, key, data)
        if self.trace is not None and not key.endswith("beat.json"):
            text = " ".join(data.decode(errors="replace").split())
            self.say(process.name, "writes", _short(key), text[:150])
        self.store[key] = data

    def _reach(self, process: Process) -> None:
        if process.cuts and any(a <= self.now < b for a, b in process.cuts):
            process.ever_cut = True
            raise StoreError("the store is out of reach")
        if self.hazards.store_down and self.store_is_down():
            process.ever_cut = True
            raise StoreError("the store is down")

    def _get(self, process: Process, wish: Get) -> bytes | None:
        self._reach(process)
        found = self.store.get(wish.key)
        self.watcher.served(process, wish.key, found=found is not None)
        return found

    def _folders(self, process: Process, wish: Folders) -> list[str]:
        self._reach(process)
        prefix = f"{wish.prefix}/"
        return sorted({key[len(prefix) :].split("/", 1)[0] for key in self.store if key.startswith(prefix)})

    def _create(self, process: Process, wish: Create) -> bool:
        self._reach(process)
        if wish.key in self.store:
            return False
        self.write(process, wish.key, wish.data)
        return True

    def _put(self, process: Process, wish: Put) -> None:
        self._reach(process)
        self.write(process, wish.key, wish.data)


def _short(key: str) -> str:
    """A key without what all keys share: action, run id, object."""
    return "/".join(part for index, part in enumerate(key.split("/")) if index not in (0, 1, 3))


def _told(wish: Any) -> str:
    first = wish[0]
    return f"{type(wish).__name__.lower()} {_short(first) if isinstance(first, str) else ''}".rstrip()
